# pusher.com/docs/channels/library_auth_reference/rest-api#worked-authentication-example
test "pusher: the documented signature" {
  at       = "2012-11-16T17:49:39Z"
  stand_in = { PUSHER_KEY = "278d425bdf160c739803", PUSHER_SECRET = "7ad3773142a6692b25b8" }
  request {
    method = "POST"
    url    = "https://api.pusherapp.com/apps/3/events?auth_signature=theirs"
    header = { "Content-Type" = "application/json" }
    body   = "{\"name\":\"foo\",\"channels\":[\"project-3\"],\"data\":\"{\\\"some\\\":\\\"data\\\"}\"}"
  }
  assert {
    condition = sent[0].query == "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0&body_md5=ec365a775a4cd0599faeb73354201b6f&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
  }
}

test "pusher: without a body there is no MD5" {
  request { url = "https://api-eu.pusher.com/apps/3/channels?filter_by_prefix=presence-&info=user_count" }
  assert {
    condition = startswith(sent[0].query, "filter_by_prefix=presence-&info=user_count&auth_key=stand-in-for-env-PUSHER_KEY&auth_timestamp=946684800&auth_version=1.0&auth_signature=")
  }
}
