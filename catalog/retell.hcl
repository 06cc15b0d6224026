# Retell AI. Facts were checked on 2026-11-29.

webhook "retell" {
  # docs.retellai.com/features/secure-webhook; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header          = "X-Retell-Signature"
    separator       = ","
    field           = "d"
    timestamp_field = "v"
    unit            = "ms"
    message         = "${raw_body}${timestamp}"
  }
  event {
    type    = body.event
    account = body.call.agent_id
    time    = body.call.start_timestamp
    unit    = "ms"
    key     = body.call.call_id
  }
}
