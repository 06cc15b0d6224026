# Telegram bots. Facts were checked on 2026-11-29.

webhook "telegram" {
  # The secret_token of setWebhook (core.telegram.org/bots/api#setwebhook; not looked up, 2026-11-29).
  verify "token" {
    header = "X-Telegram-Bot-Api-Secret-Token"
  }
  # The id grows by one: a gap is a lost update.
  event {
    id   = body.update_id
    time = body.message.date
    key  = body.message.chat.id
  }
}
