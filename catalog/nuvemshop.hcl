# Nuvemshop. Facts were checked on 2026-11-29.

webhook "nuvemshop" {
  # tiendanube.github.io/api-documentation/resources/webhook; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header = "X-Linkedstore-HMAC-SHA256"
  }
  # store_id, event and id are all that there is (the same page, looked up 2026-11-30): each update of a product
  # has the same bytes.
  event {
    type    = body.event
    account = body.store_id
    key     = body.id
    repeat  = "1m"
  }
}
