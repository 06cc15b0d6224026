test "a call carries the API key by Basic, and nothing of the application's" {
  request {
    method = "POST"
    url    = "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json"
    header = { "Authorization" = "Basic bWluZTptaW5l", "Content-Type" = "application/x-www-form-urlencoded" }
    body   = "To=%2B15558675310&Body=hello"
  }
  upstream { status = 201 }
  expect { status = 201 }
  assert {
    condition = sent[0].header["Authorization"] == "Basic ${base64encode("SK0123456789abcdef:stand-in-for-env-TWILIO_SECRET")}" && sent[0].host == "api.twilio.com"
  }
  assert { condition = sent[0].method == "POST" && sent[0].path == "/2010-04-01/Accounts/AC1/Messages.json" && sent[0].body == "To=%2B15558675310&Body=hello" }
}

test "each product has its host, with the same key" {
  request { url = "https://verify.twilio.com/v2/Services/VA1" }
  upstream {}
  expect { status = 200 }
  assert { condition = sent[0].host == "verify.twilio.com" && startswith(sent[0].header["Authorization"], "Basic ") }
}

test "too many calls at once are tried again" {
  request {
    method = "POST"
    url    = "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json"
  }
  upstream {
    status = 429
    body   = "{\"code\":20429,\"message\":\"Too Many Requests\",\"status\":429}"
  }
  upstream { status = 201 }
  expect {
    status   = 201
    attempts = 2
  }
}

test "a refused key is an auth failure, and the message may not be sent twice" {
  request {
    method = "POST"
    url    = "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json"
  }
  upstream {
    status = 401
    body   = "{\"code\":20003,\"message\":\"Authenticate\",\"status\":401}"
  }
  expect {
    status   = 401
    attempts = 1
    outcome  = "auth"
  }
}
