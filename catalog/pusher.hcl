# Pusher Channels, the HTTP API. Facts were checked on 2026-11-29; the source stands
# beside each.

provider "pusher" {
  hosts = ["api.pusherapp.com", "*.pusher.com"]

  # pusher.com/docs/channels/library_auth_reference/rest-api: HMAC-SHA256 of method,
  # path and the parameters in order, not escaped, in hexadecimal digits; the MD5 of
  # the body is one of them.
  credential "hmac" {
    message = "${request.method}\n${request.path}\n${request.sorted_decoded_query}"
    query = {
      auth_key       = "${key_id}"
      auth_timestamp = "${timestamp}"
      auth_version   = "1.0"
      body_md5       = "${part.body_md5}"
      auth_signature = "${signature}"
    }

    part "body_md5" {
      message   = request.raw_body
      algorithm = "md5"
      with_body = true
    }
  }
}

webhook "pusher" {
  provider = "pusher"
  headers  = ["X-Pusher-Key"]
  # The key is the secret of the key that X-Pusher-Key names
  # (pusher.com/docs/channels/server_api/webhooks; not looked up, 2026-11-29).
  verify "hmac" {
    header = "X-Pusher-Signature"
  }
  # Webhooks come in batches, which are what is set from the beginning (pusher.com/blog/batch-webhooks,
  # read 2026-11-30).
  event {
    split = body.events
    type  = item.name
    time  = body.time_ms
    unit  = "ms"
    key   = item.channel
  }
}
