# Dropbox. Facts were checked on 2026-11-29.

webhook "dropbox" {
  # The key is the app secret (dropbox.com/developers/reference/webhooks; not looked up, 2026-11-29).
  verify "hmac" {
    header = "X-Dropbox-Signature"
    handshake "challenge" {
      method = "GET"
      body   = query.challenge
    }
  }
  # A ping says that something changed, not what: /files/list_folder/continue tells.
  # So the same bytes mean a change each time they come.
  event {
    split   = body.list_folder.accounts
    account = item
    key     = item
    repeat  = "1m"
  }
}
