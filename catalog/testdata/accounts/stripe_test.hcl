test "a call carries the token of the connected account" {
  connection "stripe" {
    account = "acme"
    answer  = { stripe_user_id = "acct_1" }
  }
  request {
    method  = "POST"
    url     = "https://api.stripe.com/v1/customers"
    account = "acme"
  }
  upstream {}
  expect { status = 200 }
  assert { condition = sent[0].header["Authorization"] == "Bearer token-of-acme" && sent[0].header["Stripe-Version"] == "2026-10-28.endive" && length(asked) == 0 }
}

test "a refused token is renewed once, with the platform's secret key in the body" {
  connection "stripe" {}
  request { url = "https://api.stripe.com/v1/customers" }
  upstream { status = 401 }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = asked[0].method == "POST" && asked[0].host == "connect.stripe.com" && asked[0].path == "/oauth/token" }
  assert { condition = asked[0].body == "client_id=client-1&client_secret=stand-in-for-env-STRIPE_SECRET&grant_type=refresh_token&refresh_token=refresh-token-of-" }
  assert { condition = asked[0].header["Authorization"] == null && sent[1].header["Authorization"] == "Bearer granted-token" }
}

test "an account that has left needs a new connection" {
  connection "stripe" { expired = true }
  token {
    status = 400
    body   = "{\"error\":\"invalid_grant\",\"error_description\":\"This application is not connected to stripe account acct_1\"}"
  }
  request { url = "https://api.stripe.com/v1/customers" }
  expect {
    status = 424
    code   = "needs_connection"
  }
}
