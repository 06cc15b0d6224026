# Twilio's REST APIs. Facts were checked on 2026-11-29; the source stands beside
# each.

provider "twilio" {
  # One host for each product, all with the same credentials
  # (github.com/api-evangelist/twilio, read 2026-11-23). What an application does not
  # call it leaves out of `hosts`.
  hosts = ["api.twilio.com", "conversations.twilio.com", "lookups.twilio.com", "messaging.twilio.com", "verify.twilio.com"]

  endpoints = [
    "/2010-04-01/Accounts/{sid}/Messages.json", "/2010-04-01/Accounts/{sid}/Messages/{id}",
    "/2010-04-01/Accounts/{sid}/Calls.json", "/2010-04-01/Accounts/{sid}/Calls/{id}",
    "/2010-04-01/Accounts/{sid}/**",
    "/v1/Conversations", "/v1/Conversations/{sid}", "/v1/Conversations/{sid}/Messages",
    "/v1/Services", "/v1/Services/{sid}", "/v1/Services/{sid}/**",
    "/v2/Services/{sid}/Verifications", "/v2/Services/{sid}/VerificationCheck",
    "/v2/PhoneNumbers/{number}",
  ]

  # An API key and its secret, which can be revoked by itself
  # (twilio.com/docs/errors/20003): username = "SK…". The account's SID (AC…) and its
  # auth token do as well, but that token also signs all webhooks of the account.
  credential "basic" {}

  # There is no idempotency key (github.com/api-evangelist/twilio, read
  # 2026-11-23). twilio-node 6.2.0 tries a 429 again three times, and nothing else.
  retry {
    attempts = 4
    on       = ["rate_limited", "unreachable", "timeout", "server_error"]
    backoff {
      first = "100ms"
      max   = "3s"
    }
  }

  timeout {
    attempt = "30s"
    total   = "90s"
  }

  breaker {}

  # github.com/api-evangelist/twilio, read 2026-11-23.
  error {
    code       = response.body.code
    message    = response.body.message
    request_id = response.header["Twilio-Request-Id"]
  }

  # twilio.com/docs/api/errors, by number; not looked up.
  outcome "client_error" {
    when = response.status >= 400 && response.body.code == 21610
    hint = "The recipient has replied STOP: do not write to them until they have sent START."
  }
  outcome "validation" {
    when = response.status >= 400 && (response.body.code == 21211 || response.body.code == 21614)
    hint = "The number is not one that can be written to: check it by Lookup, in E.164 (+14155550100)."
  }
  outcome "forbidden" {
    when = response.status >= 400 && response.body.code == 21408
    hint = "The account may not send to this country: allow it in the console's geo permissions."
  }
  outcome "forbidden" {
    when = response.status >= 400 && response.body.code == 21608
    hint = "A trial account writes to verified numbers only: verify this one, or upgrade."
  }
  outcome "not_found" {
    when = response.status >= 400 && response.body.code == 20404
    hint = "There is no such resource in this account and region: check the SID, and the account in the path."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "Twilio refuses the credentials (20003): the key was deleted, or belongs to another account or region."
  }
  # 429 means too many requests at once, not in a minute, and that nothing was done
  # (twilio.com/docs/errors/20429).
  outcome "rate_limited" {
    when = response.status == 429
    hint = "Too many calls at once: Twilio limits concurrency for an account."
  }
}

webhook "twilio" {
  provider = "twilio"
  # twilio.com/docs/usage/webhooks/webhooks-security, facts of 2026-11; the port as
  # twilio-go has it. secrets are the account's Auth Token.
  verify "form" {
    header    = "X-Twilio-Signature"
    ports     = true
    body_hash = "bodySHA256"
  }
  # A message and a recording are known by their ids and status, what happens in a call or a
  # conference by its id and number (help.twilio.com, Recording Status Callbacks, read 2026-11-30; of
  # conferences not looked up). A call that is asked what to do next has no number: its id would be that
  # of all that it is asked, so such an event has a digest for one.
  event {
    id      = body.MessageSid != null ? "${body.MessageSid} ${coalesce(body.MessageStatus, body.SmsStatus)}" : body.RecordingSid != null ? "${body.RecordingSid} ${body.RecordingStatus}" : "${coalesce(body.ConferenceSid, body.CallSid)} ${body.SequenceNumber}"
    type    = coalesce(body.MessageStatus, body.SmsStatus, body.RecordingStatus, body.StatusCallbackEvent, body.CallStatus)
    account = body.AccountSid
    key     = coalesce(body.MessageSid, body.RecordingSid, body.ConferenceSid, body.CallSid)
  }
}
