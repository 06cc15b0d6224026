# Scrapfly. Facts were checked on 2026-11-29.

webhook "scrapfly" {
  headers = ["X-Scrapfly-Webhook-Name", "X-Scrapfly-Webhook-Job-Id"]
  # The digits are capitals (scrapfly.io/docs/scrape-api/webhook); not looked up at the provider,
  # 2026-11-29.
  verify "hmac" {
    header = "X-Scrapfly-Webhook-Signature"
  }
  # The id is not signed.
  event {
    id = header["X-Scrapfly-Webhook-Job-Id"]
  }
}
