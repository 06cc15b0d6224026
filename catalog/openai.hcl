# OpenAI's API. Facts were checked on 2026-11-29; the source stands beside each.

provider "openai" {
  hosts = ["api.openai.com"]

  endpoints = [
    "/v1/responses", "/v1/responses/{id}", "/v1/chat/completions", "/v1/completions",
    "/v1/embeddings", "/v1/moderations", "/v1/models", "/v1/models/{model}",
    "/v1/images/**", "/v1/audio/**", "/v1/files", "/v1/files/{id}", "/v1/files/{id}/content",
    "/v1/batches", "/v1/batches/{id}", "/v1/vector_stores/**", "/v1/fine_tuning/**",
  ]

  # A key of a project (developers.openai.com/api/docs/guides/error-codes):
  # expect(env("OPENAI_API_KEY"), "^sk-(proj|svcacct)-"), own knowledge. Keys of
  # administrators are others, and open /v1/organization. OpenAI-Organization and
  # OpenAI-Project are the application's to send.
  credential "bearer" {}

  # openai-node 6.49: x-should-retry first; else 408, 409, 429 and 5xx; 0.5 s doubling
  # to 8 s. What may have been computed, and billed, is not asked again: inference
  # has no idempotency key (github.com/api-evangelist/openai, read 2026-11-23).
  retry {
    attempts = 3
    on       = ["rate_limited", "conflict", "server_error", "timeout", "unreachable"]
    verdict  = response.header["X-Should-Retry"]
    stop     = "x-should-retry"
    # As 6m0s or 20ms (github.com/api-evangelist/openai, read 2026-11-23).
    after = response.header["X-RateLimit-Remaining-Requests"] == "0" ? response.header["X-RateLimit-Reset-Requests"] : response.header["X-RateLimit-Reset-Tokens"]
    unit  = "duration"
    backoff {
      first = "500ms"
      max   = "8s"
    }
  }

  # 10 minutes is the time limit of openai-node 6.49. A model may think for long
  # before the next event.
  timeout {
    attempt = "10m"
    total   = "11m"
    idle    = "10m"
  }

  # Requests and tokens a minute, of each model. The reset is when all of it is there
  # again, and what is used comes back all the time
  # (community.openai.com/t/1268905 and 535297, which cite
  # platform.openai.com/docs/guides/rate-limits; read 2026-11-29).
  limit "requests" {
    remaining = response.header["X-RateLimit-Remaining-Requests"]
    refill    = response.header["X-RateLimit-Limit-Requests"] / 60
    by        = "${coalesce(account, "")} ${coalesce(request.body.model, "")}"
  }
  # platform.openai.com/docs/guides/rate-limits, as above.
  limit "tokens" {
    remaining = response.header["X-RateLimit-Remaining-Tokens"]
    refill    = response.header["X-RateLimit-Limit-Tokens"] / 60
    cost      = response.body.usage.total_tokens
    by        = "${coalesce(account, "")} ${coalesce(request.body.model, "")}"
  }

  breaker {}

  # developers.openai.com/api/docs/guides/error-codes
  error {
    code       = response.body.error.code
    message    = response.body.error.message
    request_id = response.header["X-Request-Id"]
  }

  # Of the meanings of 429, this one is never waited for
  # (developers.openai.com/docs/guides/error-codes, looked up; billing_not_active is own
  # knowledge).
  outcome "quota_exhausted" {
    when = response.status == 429 && (response.body.error.type == "insufficient_quota" || response.body.error.code == "insufficient_quota" || response.body.error.code == "credit_balance_exhausted" || response.body.error.code == "billing_not_active")
    hint = "The credit or the monthly limit is spent: waiting does not help, see the organization's billing and limits."
  }
  # developers.openai.com/docs/guides/error-codes, looked up.
  outcome "forbidden" {
    when = response.status == 403 && response.body.error.code == "unsupported_country_region_territory"
    hint = "OpenAI does not serve the country that this call comes from: send it from another one, by a proxy or region."
  }
  outcome "not_found" {
    when = response.status == 404 && response.body.error.code == "model_not_found"
    hint = "There is no such model for this project: GET /v1/models lists those that it may use."
  }
  outcome "validation" {
    when = response.status == 400 && response.body.error.code == "context_length_exceeded"
    hint = "The input is longer than the model's context: shorten it, or use a model with a larger one."
  }
  outcome "server_error" {
    when = response.status == 503
    hint = "OpenAI is overloaded, or asks to slow down: go back to the rate of before, keep it for a quarter of an hour, then raise it slowly."
  }
  outcome "rate_limited" {
    when = response.status == 429
    hint = "Requests or tokens a minute of this model are used up: x-ratelimit-remaining-requests and -tokens say which. Send less at once, or raise the usage tier."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "OpenAI refuses the key: it was deleted, or is another project's."
  }
}

webhook "openai" {
  provider = "openai"
  # The Webhooks of the API, by Standard Webhooks (github.com/hookdeck/webhook-skills f8a4801,
  # openai-webhooks; not looked up at OpenAI, 2026-11-29).
  verify "standard" {}
  event {
    type = body.type
    time = body.created_at
    key  = body.data.id
  }
}
