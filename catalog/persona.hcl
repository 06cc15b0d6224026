# Persona. Facts were checked on 2026-11-29.

webhook "persona" {
  # While a secret is rotated there are two lists, with a space between (docs.withpersona.com/webhooks);
  # not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header          = "Persona-Signature"
    group           = " "
    separator       = ","
    field           = "v1"
    timestamp_field = "t"
    message         = "${timestamp}.${raw_body}"
  }
  event {
    id   = body.data.id
    type = body.data.attributes.name
    time = body.data.attributes.created-at
    unit = "rfc3339"
    key  = body.data.attributes.payload.data.id
  }
}
