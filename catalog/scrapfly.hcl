# Scrapfly. Facts were checked on 2026-11-29.

webhook "scrapfly" {
  headers = ["X-Scrapfly-Webhook-Name", "X-Scrapfly-Webhook-Job-Id"]
  # The digits are capitals (scrapfly.io/docs/scrape-api/webhook); not looked up at the provider,
  # 2026-11-29.
  verify "hmac" {
    header = "X-Scrapfly-Webhook-Signature"
  }
  # The id is not signed. Of the crawler, which names its events, it is that of all events of a crawl
  # (scrapfly.io/docs/crawler-api, looked up 2026-11-30): those are known by their body. That the body counts
  # failures is what hookdeck/webhook-skills has, scrapfly-webhooks (read 2026-11-30).
  event {
    id     = body.event == null ? header["X-Scrapfly-Webhook-Job-Id"] : null
    type   = body.event
    varies = [body.context.webhook.consecutive_failed_count]
  }
}
