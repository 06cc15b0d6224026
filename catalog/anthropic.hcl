# Anthropic's Claude API. Facts were checked on 2026-11-29; the source stands
# beside each.

provider "anthropic" {
  hosts = ["api.anthropic.com"]

  endpoints = [
    "/v1/messages", "/v1/messages/count_tokens",
    "/v1/messages/batches", "/v1/messages/batches/{id}", "/v1/messages/batches/{id}/results", "/v1/messages/batches/{id}/cancel",
    "/v1/files", "/v1/files/{id}", "/v1/files/{id}/content", "/v1/models", "/v1/models/{id}",
  ]

  # @anthropic-ai/sdk 1.14.0 sends it so. expect(env("ANTHROPIC_API_KEY"), "^sk-ant-api"):
  # keys of the Admin API begin with sk-ant-admin (own knowledge).
  credential "header" { name = "x-api-key" }

  # The header is required (platform.claude.com/docs/en/api/versioning). This is the
  # version that @anthropic-ai/sdk 1.14.0 sends; an application with an older one pins
  # that one's, such as 2023-06-01.
  version {
    header = "anthropic-version"
    pin    = "2026-10-21"
  }

  # @anthropic-ai/sdk 1.14.0: x-should-retry first; else 408, 409, 429 and 5xx; 0.5 s
  # doubling to 8 s. There is no idempotency key.
  retry {
    attempts = 3
    on       = ["rate_limited", "conflict", "server_error", "timeout", "unreachable"]
    verdict  = response.header["X-Should-Retry"]
    stop     = "x-should-retry"
    backoff {
      first = "500ms"
      max   = "8s"
    }
  }

  # 10 minutes is the time limit of @anthropic-ai/sdk 1.14.0.
  timeout {
    attempt = "10m"
    total   = "11m"
    idle    = "10m"
  }

  # Requests and tokens a minute, of each model. The reset is when the limit is full
  # again (docs.anthropic.com/en/api/rate-limits, read 2026-11-29); that it fills all the time is own knowledge.
  limit "requests" {
    remaining = response.header["Anthropic-RateLimit-Requests-Remaining"]
    refill    = response.header["Anthropic-RateLimit-Requests-Limit"] / 60
    by        = "${coalesce(account, "")} ${coalesce(request.body.model, "")}"
  }
  # docs.anthropic.com/en/api/rate-limits, as above.
  limit "input tokens" {
    remaining = response.header["Anthropic-RateLimit-Input-Tokens-Remaining"]
    refill    = response.header["Anthropic-RateLimit-Input-Tokens-Limit"] / 60
    cost      = response.body.usage.input_tokens
    by        = "${coalesce(account, "")} ${coalesce(request.body.model, "")}"
  }
  # docs.anthropic.com/en/api/rate-limits, as above.
  limit "output tokens" {
    remaining = response.header["Anthropic-RateLimit-Output-Tokens-Remaining"]
    refill    = response.header["Anthropic-RateLimit-Output-Tokens-Limit"] / 60
    cost      = response.body.usage.output_tokens
    by        = "${coalesce(account, "")} ${coalesce(request.body.model, "")}"
  }

  breaker {}

  # platform.claude.com/docs/en/api/errors
  error {
    code       = response.body.error.type
    message    = response.body.error.message
    request_id = response.header["Request-Id"]
  }

  # platform.claude.com/docs/en/api/rate-limits; not looked up.
  outcome "rate_limited" {
    when = response.status == 429
    hint = "Requests or tokens a minute of this model are used up: anthropic-ratelimit-* say which. Send less at once, or raise the tier."
  }
  # platform.claude.com/docs/en/api/errors; not looked up.
  outcome "validation" {
    when = response.status == 413
    hint = "The request is larger than 32 MB: upload files by the Files API, or send less."
  }
  outcome "forbidden" {
    when = response.status == 403
    hint = "The key may not use this (permission_error): its workspace lacks the model or the feature."
  }
  outcome "server_error" {
    when = response.status == 504
    hint = "The answer took too long (timeout_error): stream it, or use a batch."
  }
  # 529 is overloaded_error: nothing was done, and it is nobody's quota.
  outcome "rate_limited" {
    when = response.status == 529
    hint = "Anthropic is overloaded: this is not your limit, wait and try again."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "Anthropic refuses the key (authentication_error): it was deleted or disabled, or is another workspace's."
  }
  # Own knowledge: spent credit comes as a 400.
  outcome "quota_exhausted" {
    when = response.status == 400 && can(regex("credit balance is too low", response.body.error.message))
    hint = "The credit is spent: buy more in the Claude Console, or turn automatic reloading on."
  }
  outcome "quota_exhausted" {
    when = response.status == 402
    hint = "There is a problem with billing (billing_error): see the Claude Console."
  }
}
