test "a call carries the private app's token" {
  request { url = "https://api.hubapi.com/crm/v3/objects/contacts?limit=1" }
  upstream {}
  expect { status = 200 }
  assert { condition = sent[0].header["Authorization"] == "Bearer stand-in-for-env-HUBSPOT_TOKEN" && sent[0].host == "api.hubapi.com" && sent[0].query == "limit=1" }
}

test "the limit of ten seconds is waited for, the day's is not" {
  request { url = "https://api.hubapi.com/crm/v3/objects/contacts" }
  upstream {
    status = 429
    body   = "{\"status\":\"error\",\"policyName\":\"DAILY\"}"
  }
  expect {
    status   = 429
    attempts = 1
    outcome  = "quota_exhausted"
  }
}

test "the limit of ten seconds is waited for" {
  request { url = "https://api.hubapi.com/crm/v3/objects/contacts" }
  upstream {
    status = 429
    body   = "{\"status\":\"error\",\"policyName\":\"TEN_SECONDLY_ROLLING\"}"
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
}

test "a second's calls are there again a second later" {
  request { url = "https://api.hubapi.com/crm/v3/objects/contacts" }
  upstream {
    status = 503
    header = { "X-HubSpot-RateLimit-Secondly-Remaining" = "0", "X-HubSpot-RateLimit-Interval-Milliseconds" = "10000", "X-HubSpot-RateLimit-Remaining" = "90" }
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited >= 1 && waited < 2 }
}
