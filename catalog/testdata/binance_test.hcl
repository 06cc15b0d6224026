# github.com/binance/binance-spot-api-docs, rest-api.md, "SIGNED Endpoint Examples
# for POST /api/v3/order": both of its examples.
test "binance: the documented signature" {
  at = "2017-07-12T02:41:59.559Z"
  stand_in = {
    BINANCE_KEY    = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
    BINANCE_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
  }
  request {
    method = "POST"
    url    = "https://api.binance.com/api/v3/order?symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1&signature=theirs"
    header = { "X-MBX-APIKEY" = "theirs" }
  }
  assert {
    condition = sent[0].query == "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559&signature=c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
  }
  assert {
    condition = sent[0].header["X-Mbx-Apikey"] == "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
  }
}

test "binance: the documented signature of a symbol that is not ASCII" {
  at       = "2017-07-12T02:41:59.559Z"
  stand_in = { BINANCE_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j" }
  request {
    method = "POST"
    url    = "https://api.binance.com/api/v3/order?symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000"
  }
  assert {
    condition = endswith(sent[0].query, "&recvWindow=5000&timestamp=1499827319559&signature=e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3")
  }
}

test "binance: what is public leaves as it is" {
  request { url = "https://api.binance.com/api/v3/ticker/price?symbol=LTCBTC" }
  assert { condition = sent[0].query == "symbol=LTCBTC" && sent[0].header["X-Mbx-Apikey"] == null }
}

test "binance: a clock that is wrong is made up for" {
  request { url = "https://api.binance.com/api/v3/account" }
  upstream {
    status = 400
    header = { Date = "Sat, 01 Jan 2000 00:05:12 GMT" }
    body   = "{\"code\":-1021,\"msg\":\"Timestamp for this request is outside of the recvWindow.\"}"
  }
  upstream { header = { Date = "Sat, 01 Jan 2000 00:05:12 GMT" } }
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = startswith(sent[0].query, "timestamp=946684800000&") && startswith(sent[1].query, "timestamp=946685112500&") }
}
