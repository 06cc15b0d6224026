# Calls to Stripe. This is a whole policy: the built-in definition knows the
# host, the API version, the idempotency keys, what may be retried and when, the
# rate limit and the errors. `postern explain POST https://api.stripe.com/v1/charges`
# shows all of it.

provider "stripe" {
  catalog = "stripe"

  # The key is Postern's, and the application never holds it. This is a
  # reference: it is read when a call needs it, and printed nowhere.
  credential "bearer" {
    token = env("STRIPE_KEY")
  }

  # Least privilege: what is not listed never leaves. Remove the block to allow
  # everything, or set mode = "observe" to be told first.
  allow {
    requests = [
      "GET /v1/**",
      "POST /v1/customers",
      "POST /v1/customers/{id}",
      "POST /v1/charges",
    ]
  }

  # A route changes what differs for some calls, attribute by attribute.
  route "POST /v1/charges" {
    timeout {
      attempt = "30s"
      total   = "90s"
    }
  }
}

# Webhooks from Stripe. The sender's address is http://127.0.0.1:8081/stripe.

webhook "stripe" {
  catalog = "stripe"
  path    = "/stripe"

  # A list, so that a new secret can stand beside the old one for a while.
  verify "stripe" {
    secrets   = [env("STRIPE_WEBHOOK_SECRET")]
    tolerance = "5m"
  }

  # Your application. 2xx means applied; 400 and 422 mean that it never will be;
  # anything else is tried again. It dedupes by the header Postern-Event-Id.
  deliver {
    to = "http://127.0.0.1:3000/webhooks/stripe"
  }

  retry {
    attempts = 8
    backoff {
      first = "1s"
      max   = "1h"
    }
  }
}
