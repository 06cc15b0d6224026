test "a call carries the personal access token" {
  request { url = "https://api.airtable.com/v0/app1/Table" }
  upstream {}
  expect { status = 200 }
  assert { condition = sent[0].header["Authorization"] == "Bearer stand-in-for-env-AIRTABLE_TOKEN" && sent[0].host == "api.airtable.com" && sent[0].path == "/v0/app1/Table" }
}

test "a base is left alone after a 429" {
  request { url = "https://api.airtable.com/v0/app1/Table" }
  upstream { status = 429 }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited >= 30 }
}
