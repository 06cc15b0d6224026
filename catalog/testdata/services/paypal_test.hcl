test "an order carries the application's token and one id for both attempts" {
  request {
    method = "POST"
    url    = "https://api-m.paypal.com/v2/checkout/orders"
    body   = "{}"
    header = { "Content-Type" = "application/json" }
  }
  upstream { status = 503 }
  upstream { status = 201 }
  expect {
    status   = 201
    attempts = 2
  }
  assert { condition = asked[0].host == "api-m.paypal.com" && asked[0].path == "/v1/oauth2/token" && asked[0].body == "grant_type=client_credentials" && length(asked) == 1 }
  assert { condition = asked[0].header["Authorization"] == "Basic ${base64encode("client-1:stand-in-for-env-PAYPAL_SECRET")}" }
  assert { condition = sent[0].header["Authorization"] == "Bearer granted-token" && sent[0].header["Paypal-Request-Id"] != null && sent[0].header["Paypal-Request-Id"] == sent[1].header["Paypal-Request-Id"] }
}

test "a secret that PayPal does not know is followed by the one before" {
  request { url = "https://api-m.paypal.com/v2/checkout/orders/1" }
  token {
    status = 401
    body   = "{\"error\":\"invalid_client\",\"error_description\":\"Client Authentication failed\"}"
  }
  token { body = "{\"access_token\":\"A21AA2\",\"token_type\":\"Bearer\",\"expires_in\":32400}" }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[1].header["Authorization"] == "Basic ${base64encode("client-1:stand-in-for-env-PAYPAL_SECRET_BEFORE")}" && sent[0].header["Authorization"] == "Bearer A21AA2" }
}

test "a refused token is replaced once" {
  request { url = "https://api-m.paypal.com/v2/checkout/orders/1" }
  upstream {
    status = 401
    body   = "{\"error\":\"invalid_token\",\"error_description\":\"Access Token not found in cache\"}"
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = length(asked) == 2 }
}

test "an SDK that asks by itself gets a token that opens nothing" {
  request {
    method = "POST"
    url    = "https://api-m.paypal.com/v1/oauth2/token"
    body   = "grant_type=client_credentials"
    header = { "Authorization" = "Basic eDp5", "Content-Type" = "application/x-www-form-urlencoded" }
  }
  expect {
    status = 200
    source = "postern"
  }
  assert { condition = response.body.access_token == "postern-stub-token" && length(sent) == 0 }
}
