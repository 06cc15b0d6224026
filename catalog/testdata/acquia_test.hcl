# github.com/acquia/http-hmac-spec, README.md and fixtures.json: GET 1 and POST 1.
test "acquia: the documented signature of a GET" {
  at    = "2015-05-19T22:53:02Z"
  nonce = "d1954337-5319-4821-8427-115542e08d10"
  stand_in = {
    ACQUIA_ID     = "efdde334-fe7b-11e4-a322-1697f925ec7b"
    ACQUIA_SECRET = "W5PeGMxSItNerkNFqQMfYiJvH14WzVJMy54CPoTAYoI="
  }
  request { url = "https://example.acquiapipet.net/v1.0/task-status/133?limit=10" }
  assert {
    condition = sent[0].header["Authorization"] == "acquia-http-hmac realm=\"Pipet%20service\",id=\"efdde334-fe7b-11e4-a322-1697f925ec7b\",nonce=\"d1954337-5319-4821-8427-115542e08d10\",version=\"2.0\",headers=\"\",signature=\"MRlPr/Z1WQY2sMthcaEqETRMw4gPYXlPcTpaLWS2gcc=\""
  }
  assert { condition = sent[0].header["X-Authorization-Timestamp"] == "1432075982" && sent[0].header["X-Authorization-Content-Sha256"] == null }
}

test "acquia: the documented signature of a POST" {
  at    = "2015-05-19T22:53:02Z"
  nonce = "d1954337-5319-4821-8427-115542e08d10"
  stand_in = {
    ACQUIA_ID     = "efdde334-fe7b-11e4-a322-1697f925ec7b"
    ACQUIA_SECRET = "W5PeGMxSItNerkNFqQMfYiJvH14WzVJMy54CPoTAYoI="
  }
  request {
    method = "POST"
    url    = "https://example.acquiapipet.net/v1.0/task"
    header = { "Content-Type" = "application/json" }
    body   = "{\"method\":\"hi.bob\",\"params\":[\"5\",\"4\",\"8\"]}"
  }
  assert { condition = sent[0].header["X-Authorization-Content-Sha256"] == "6paRNxUA7WawFxJpRp4cEixDjHq3jfIKX072k9slalo=" }
  assert { condition = endswith(sent[0].header["Authorization"], ",signature=\"XDBaXgWFCY3aAgQvXyGXMbw9Vds2WPKJe2yP+1eXQgM=\"") }
}

test "acquia: each attempt has a nonce of its own" {
  request { url = "https://example.acquiapipet.net/v1.0/task" }
  upstream { status = 503 }
  upstream {}
  expect { attempts = 2 }
  assert { condition = sent[0].header["Authorization"] != sent[1].header["Authorization"] }
}
