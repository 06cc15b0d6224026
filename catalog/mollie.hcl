# Mollie, classic webhooks. Facts were checked on 2026-11-29.

webhook "mollie" {
  # A form with the id of what has changed, and nothing else; nobody signs it, and what it is now is to be
  # fetched (docs.mollie.com/reference/webhooks, looked up 2026-11-29). Events are marked as unverified: write a
  # latest block. The next-gen webhooks of the same company are signed, and another kind.
  verify "none" {}
  # Each change of a payment has the same bytes. Of those within a second one is kept: its state is read after
  # that. The type is how the id begins: tr is a payment.
  event {
    type   = try(split("_", body.id)[0], null)
    key    = body.id
    repeat = "1s"
  }
}
