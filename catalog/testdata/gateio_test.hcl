# www.gate.com/docs/developers/apiv4/#authentication: its two examples.
test "gateio: the documented signature of a GET" {
  at       = "2018-11-12T03:35:15Z"
  stand_in = { GATE_SECRET = "secret", GATE_KEY = "key" }
  request { url = "https://api.gateio.ws/api/v4/futures/orders?contract=BTC_USD&status=finished&limit=50" }
  assert {
    condition = sent[0].header["Sign"] == "55f84ea195d6fe57ce62464daaa7c3c02fa9d1dde954e4c898289c9a2407a3d6fb3faf24deff16790d726b66ac9f74526668b13bd01029199cc4fcc522418b8a"
  }
  assert { condition = sent[0].header["Key"] == "key" && sent[0].header["Timestamp"] == "1541993715" }
}

test "gateio: the documented signature of a POST" {
  at       = "2018-11-12T03:35:15Z"
  stand_in = { GATE_SECRET = "secret" }
  request {
    method = "POST"
    url    = "https://api.gateio.ws/api/v4/futures/orders"
    header = { "Content-Type" = "application/json" }
    body   = "{\"contract\":\"BTC_USD\",\"type\":\"limit\",\"size\":100,\"price\":6800,\"time_in_force\":\"gtc\"}"
  }
  assert {
    condition = sent[0].header["Sign"] == "eae42da914a590ddf727473aff25fc87d50b64783941061f47a3fdb92742541fc4c2c14017581b4199a1418d54471c269c03a38d788d802e2c306c37636389f0"
  }
}
