# docs.kraken.com/exchange/guides/rest/authentication: its example.
test "kraken: the documented signature" {
  at       = "2021-03-23T09:39:36.594Z"
  stand_in = { KRAKEN_SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg==" }
  request {
    method = "POST"
    url    = "https://api.kraken.com/0/private/AddOrder"
    header = { "Content-Type" = "application/x-www-form-urlencoded" }
    body   = "nonce=1&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
  }
  assert {
    condition = sent[0].body == "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
  }
  assert {
    condition = sent[0].header["Api-Sign"] == "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
  }
  assert { condition = sent[0].header["Api-Key"] == "stand-in-for-env-KRAKEN_KEY" }
}

test "kraken: each attempt has a greater nonce" {
  request {
    method = "POST"
    url    = "https://api.kraken.com/0/private/Balance"
  }
  upstream { status = 429 }
  upstream {}
  expect { attempts = 2 }
  assert { condition = sent[0].body == "nonce=946684800000" && sent[1].body != sent[0].body && sent[0].header["Api-Sign"] != sent[1].header["Api-Sign"] }
}

test "kraken: a 200 with an error is one" {
  request {
    method = "POST"
    url    = "https://api.kraken.com/0/private/Balance"
  }
  upstream { body = "{\"error\":[\"EAPI:Invalid nonce\"]}" }
  expect { outcome = "auth" }
}
