# Binance's spot API. Facts were checked on 2026-11-29; the source stands beside
# each (github.com/binance/binance-spot-api-docs, rest-api.md and errors.md).

provider "binance" {
  hosts = ["api.binance.com", "api1.binance.com", "api2.binance.com", "api3.binance.com", "api4.binance.com", "api-gcp.binance.com"]

  # "SIGNED endpoint examples": HMAC-SHA256 of the query followed by the body, in
  # hexadecimal digits, as parameter signature; timestamp in milliseconds. Public
  # endpoints take no signature.
  credential "hmac" {
    message = "${request.raw_query}${request.raw_body}"
    unit    = "ms"
    query   = { timestamp = "${timestamp}", signature = "${signature}" }
    header  = { X-MBX-APIKEY = "${key_id}" }
    requests = [
      "/api/v3/account", "/api/v3/account/**", "/api/v3/allOrderList", "/api/v3/allOrders", "/api/v3/myAllocations", "/api/v3/myFilters",
      "/api/v3/myPreventedMatches", "/api/v3/myTrades", "/api/v3/openOrderList", "/api/v3/openOrders", "/api/v3/order", "/api/v3/order/**",
      "/api/v3/orderList", "/api/v3/orderList/**", "/api/v3/rateLimit/order", "/api/v3/sor/**", "/sapi/**",
    ]
  }

  # "HTTP Return Codes": a 5xx may have succeeded, so only what is safe is sent again.
  retry {
    backoff {
      first = "1s"
      max   = "1m"
    }
  }

  error {
    code    = response.body.code
    message = response.body.msg
  }

  # "IP Limits": 429 asks to back off, 418 is a ban, both with Retry-After.
  outcome "rate_limited" {
    when = response.status == 418
    hint = "Binance has banned this address for a time: wait for Retry-After."
  }
  # errors.md: -1021 timestamp, -1022 signature, -2014 and -2015 key.
  outcome "auth" {
    when = response.status == 400 && (response.body.code == -1021 || response.body.code == -1022) || response.status == 401 && (response.body.code == -2014 || response.body.code == -2015)
    hint = "Binance refuses the signature or the key: see provider_code."
  }
}
