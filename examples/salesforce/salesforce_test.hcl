test "an order whose answer is lost is found by its number" {
  request {
    method = "POST"
    url    = "https://acme.my.salesforce.com/services/data/v64.0/sobjects/Order"
    header = { "Content-Type" = "application/json" }
    body   = "{\"Order_Number__c\":\"A-7\",\"Status\":\"Draft\"}"
  }
  upstream { fault = "reset" }
  upstream { body = "{\"Id\":\"801000000000001\",\"Order_Number__c\":\"A-7\"}" }
  expect {
    status   = 201
    source   = "reconciled"
    attempts = 1
    body     = "{\"errors\":[],\"id\":\"801000000000001\",\"success\":true}"
  }
  assert { condition = sent[1].method == "GET" && sent[1].path == "/services/data/v64.0/sobjects/Order/Order_Number__c/A-7" }
}

test "an order that is not there is sent again" {
  request {
    method = "POST"
    url    = "https://acme.my.salesforce.com/services/data/v64.0/sobjects/Order"
    header = { "Content-Type" = "application/json" }
    body   = "{\"Order_Number__c\":\"A-7\",\"Status\":\"Draft\"}"
  }
  upstream { status = 503 }
  upstream { status = 404 }
  upstream { status = 404 }
  upstream { status = 404 }
  upstream {
    status = 201
    body   = "{\"id\":\"801000000000001\",\"success\":true,\"errors\":[]}"
  }
  expect {
    status   = 201
    source   = "provider"
    attempts = 2
  }
}

test "an order without a number cannot be looked up" {
  request {
    method = "POST"
    url    = "https://acme.my.salesforce.com/services/data/v64.0/sobjects/Order"
    header = { "Content-Type" = "application/json" }
    body   = "{\"Status\":\"Draft\"}"
  }
  upstream { fault = "reset" }
  expect {
    status   = 502
    executed = "maybe"
    attempts = 1
  }
}
