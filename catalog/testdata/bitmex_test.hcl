# www.bitmex.com/app/apiKeysUsage: its three examples. expires is a minute after the
# call.
test "bitmex: the documented signature of a GET" {
  at = "2018-02-08T04:29:36Z"
  stand_in = {
    BITMEX_KEY    = "LAqUlngMIQkIUjXMUreyu3qn"
    BITMEX_SECRET = "chNOOS4KvNXR_Xq4k4c9qsfoKWvnDecLATCRlcBwyKDYnWgO"
  }
  request { url = "https://www.bitmex.com/api/v1/instrument" }
  assert {
    condition = sent[0].header["Api-Signature"] == "c7682d435d0cfe87c16098df34ef2eb5a549d4c5a3c2b1f0f77b8af73423bf00"
  }
  assert { condition = sent[0].header["Api-Expires"] == "1518064236" && sent[0].header["Api-Key"] == "LAqUlngMIQkIUjXMUreyu3qn" }
}

test "bitmex: the documented signature with a query" {
  at       = "2018-02-08T04:29:37Z"
  stand_in = { BITMEX_SECRET = "chNOOS4KvNXR_Xq4k4c9qsfoKWvnDecLATCRlcBwyKDYnWgO" }
  request { url = "https://www.bitmex.com/api/v1/instrument?filter=%7B%22symbol%22%3A+%22XBTM15%22%7D" }
  assert {
    condition = sent[0].header["Api-Signature"] == "e2f422547eecb5b3cb29ade2127e21b858b235b386bfa45e1c1756eb3383919f"
  }
}

test "bitmex: the documented signature with a body" {
  at       = "2018-02-08T04:29:38Z"
  stand_in = { BITMEX_SECRET = "chNOOS4KvNXR_Xq4k4c9qsfoKWvnDecLATCRlcBwyKDYnWgO" }
  request {
    method = "POST"
    url    = "https://www.bitmex.com/api/v1/order"
    header = { "Content-Type" = "application/json" }
    body   = "{\"symbol\":\"XBTM15\",\"price\":219.0,\"clOrdID\":\"mm_bitmex_1a/oemUeQ4CAJZgP3fjHsA\",\"orderQty\":98}"
  }
  assert {
    condition = sent[0].header["Api-Signature"] == "1749cd2ccae4aa49048ae09f0b95110cee706e0944e6a14ad0b3a8cb45bd336b"
  }
}
