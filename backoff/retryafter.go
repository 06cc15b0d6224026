package backoff

import (
	"net/http"
	"strings"
	"time"
)

// RetryAfter returns the wait that h asks for, clamped to [0, limit]: by
// Retry-After-Ms, in milliseconds, which OpenAI's and Azure's SDKs read first
// (openai-node 6.49, retryRequest); else by Retry-After (RFC 9110 section 10.2.3),
// in whole or fractional seconds, as an HTTP date, or as a time or duration of ISO
// 8601. A time is measured against [Dated]. ok is false when both fields are absent,
// repeated with different values, or anything else: the caller then uses its own
// backoff.
func RetryAfter(h http.Header, now time.Time, limit time.Duration) (d time.Duration, ok bool) {
	limit = max(limit, 0)
	if text, ok := single(h, "Retry-After-Ms"); ok {
		if ms, ok := parseSeconds(text); ok {
			return min((ms / 1000).wait(), limit), true
		}
	}
	text, ok := single(h, "Retry-After")
	if !ok {
		return 0, false
	}
	d, ok = Reset(text, Natural, Dated(h, now))
	return min(d, limit), ok
}

// single returns a field that stands there once, or always with the same value.
func single(h http.Header, name string) (string, bool) {
	values := h[name]
	if len(values) == 0 {
		return "", false
	}
	for _, v := range values[1:] {
		if v != values[0] {
			return "", false
		}
	}
	return strings.Trim(values[0], " \t"), true
}
