# The example of developers.sinch.com, of the days when there was /v1/sms: the key is
# in its copy in github.com/mdigger/sms.
test "sinch: the documented signature" {
  at = "2014-06-04T13:41:58Z"
  stand_in = {
    SINCH_KEY    = "5F5C418A0F914BBC8234A9BF5EDDAD97"
    SINCH_SECRET = "JViE5vDor0Sw3WllZka15Q=="
  }
  request {
    method = "POST"
    url    = "https://verification.api.sinch.com/v1/sms/+46700000000"
    header = { "Content-Type" = "application/json" }
    body   = "{\"message\":\"Hello world\"}"
  }
  assert {
    condition = sent[0].header["Authorization"] == "Application 5F5C418A0F914BBC8234A9BF5EDDAD97:qDXMwzfaxCRS849c/2R0hg0nphgdHciTo7OdM6MsdnM="
  }
  assert { condition = sent[0].header["X-Timestamp"] == "2014-06-04T13:41:58Z" }
}
