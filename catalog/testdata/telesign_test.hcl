# github.com/TeleSign/python_telesign, tests/test_rest.py:
# test_generate_telesign_headers_with_post. Its key has dashes, which are not Base64
# and which the decoder there passes over: here they are left out.
test "telesign: the documented signature" {
  at    = "2016-12-14T18:20:12Z"
  nonce = "A1592C6F-E384-4CDB-BC42-C3AB970369E9"
  stand_in = {
    TELESIGN_CUSTOMER_ID = "FFFFFFFF-EEEE-DDDD-1234-AB1234567890"
    TELESIGN_API_KEY     = "EXAMPLETE8sTgg45yusumoN6BYsBVkh+yRJ5czgsnCehZaOYldPJdmFh6NeX8kunZ2zU1YWaUw/0wV6xfw=="
  }
  request {
    method = "POST"
    url    = "https://rest-api.telesign.com/v1/resource"
    header = { "Content-Type" = "application/x-www-form-urlencoded" }
    body   = "test=param"
  }
  assert {
    condition = sent[0].header["Authorization"] == "TSA FFFFFFFF-EEEE-DDDD-1234-AB1234567890:2xVlmbrxLjYrrPun3G3WMNG6Jon4yKcTeOoK9DjXJ/Q="
  }
  assert {
    condition = sent[0].header["Date"] == "Wed, 14 Dec 2016 18:20:12 GMT" && sent[0].header["X-Ts-Nonce"] == "A1592C6F-E384-4CDB-BC42-C3AB970369E9" && sent[0].header["X-Ts-Auth-Method"] == "HMAC-SHA256"
  }
}
