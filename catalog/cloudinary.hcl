# Cloudinary. Facts were checked on 2026-11-29.

webhook "cloudinary" {
  # A plain hash that ends with the API secret; the SDKs tolerate two hours
  # (cloudinary.com/documentation/notification_signatures); not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header    = "X-Cld-Signature"
    algorithm = "sha1"
    timestamp = "X-Cld-Timestamp"
    tolerance = "2h"
    secret_in = "message"
    message   = "${raw_body}${timestamp}${secret}"
  }
  event {
    type = body.notification_type
    time = body.timestamp
    unit = "rfc3339"
    key  = body.public_id
  }
}
