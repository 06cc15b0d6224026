# Azure Event Grid. Facts were checked on 2026-11-29.

webhook "event_grid" {
  # With a token of Entra ID (learn.microsoft.com/azure/event-grid/secure-webhook-delivery; not looked
  # up, 2026-11-29).
  verify "microsoft" {
    # In Event Grid's own schema (learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema;
    # not looked up, 2026-11-29). It is answered whoever sends it: what follows has to carry the token.
    handshake "validation" {
      signed = false
      when   = header["Aeg-Event-Type"] == "SubscriptionValidation" && body[0].data.validationCode != null
      body   = { validationResponse = body[0].data.validationCode }
    }
    # In the schema of CloudEvents (github.com/cloudevents/spec, http-webhook.md, section 4; not looked
    # up, 2026-11-29).
    handshake "abuse_protection" {
      method = "OPTIONS"
      when   = header["WebHook-Request-Origin"] != null
      header = {
        WebHook-Allowed-Origin = header["WebHook-Request-Origin"]
        WebHook-Allowed-Rate   = "*"
      }
    }
  }
  # A CloudEvent comes alone; Event Grid's own events in a list, of one unless batches are asked for
  # (learn.microsoft.com/azure/event-grid/delivery-and-retry, read 2026-11-30).
  event {
    split   = body
    id      = item.id
    type    = coalesce(item.type, item.eventType)
    account = coalesce(item.source, item.topic)
    time    = coalesce(item.time, item.eventTime)
    unit    = "rfc3339"
    key     = item.subject
  }
}
