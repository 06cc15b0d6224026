package telemetry

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-proxy/postern/policy"
)

type callLabels struct {
	provider, endpoint, method string
	outcome                    policy.Outcome
	source                     policy.AnswerSource
}

type callHandles struct {
	requests           prometheus.Counter
	duration, overhead prometheus.Observer
}

type tryLabels struct{ provider, endpoint, class string }

type limitLabels struct{ provider, limit string }

func (m *metrics) callHandles(l callLabels) callHandles {
	return callHandles{
		m.requests.WithLabelValues(l.provider, l.endpoint, l.method, string(l.outcome), string(l.source)),
		m.duration.WithLabelValues(l.provider, l.endpoint, string(l.outcome)),
		m.overhead.WithLabelValues(l.provider),
	}
}

func (m *metrics) tryHandle(l tryLabels) prometheus.Counter {
	return m.attempts.WithLabelValues(l.provider, l.endpoint, l.class)
}

// call counts a call and its attempts. One that was refused before a provider
// was found has empty labels.
func (m *metrics) call(x *policy.Exchange, c *Call) {
	l := callLabels{method: methodLabel(x.Request.Method), outcome: c.Outcome, source: c.Source}
	if x.Plan != nil {
		l.provider, l.endpoint = x.Plan.Provider, x.Endpoint
	}
	h := m.calls.get(l)
	h.requests.Inc()
	h.duration.Observe(c.Duration.Seconds())
	h.overhead.Observe(c.Overhead.Seconds())
	if x.Repeat {
		m.retries.WithLabelValues(l.provider, "sdk").Inc()
	}
	for i := range x.Trail {
		m.try(&l, &x.Trail[i])
		if i > 0 {
			m.retries.WithLabelValues(l.provider, reasonLabel(&x.Trail[i-1])).Inc()
		}
	}
	switch c.Code {
	case policy.Limited:
		m.rateLimited.WithLabelValues(l.provider, "postern").Inc()
	case policy.IdempotencyMismatch:
		m.idempotency.WithLabelValues(l.provider, "mismatch").Inc()
	case policy.IdempotencyInFlight:
		m.idempotency.WithLabelValues(l.provider, "in_flight").Inc()
	default:
		if c.Source == policy.Replayed {
			m.idempotency.WithLabelValues(l.provider, "replayed").Inc()
		} else if x.Key.Origin != policy.KeyNone && x.Attempts > 0 {
			m.keyed.get(l.provider).Inc()
		}
	}
}

// try counts one attempt.
func (m *metrics) try(l *callLabels, t *policy.Try) {
	m.tries.get(tryLabels{l.provider, l.endpoint, classLabel(t.Status)}).Inc()
	switch t.Status {
	case http.StatusUnauthorized:
		m.authFailures.WithLabelValues(l.provider, "401").Inc()
	case http.StatusForbidden:
		m.authFailures.WithLabelValues(l.provider, "403").Inc()
	}
	if t.Outcome == policy.RateLimited {
		m.rateLimited.WithLabelValues(l.provider, "provider").Inc()
	}
}

// reasonLabel is why an attempt was followed by another: a class.
func reasonLabel(t *policy.Try) string {
	for _, reason := range []policy.Outcome{policy.Outcome(t.Reason), t.Outcome} {
		if reason.Valid() {
			return string(reason)
		}
	}
	return "other"
}

func classLabel(status int) string {
	switch status / 100 {
	case 1:
		return "1xx"
	case 2:
		return "2xx"
	case 3:
		return "3xx"
	case 4:
		return "4xx"
	case 5:
		return "5xx"
	}
	return "error"
}

// methodLabel is the method, or _OTHER for what is no registered one.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return method
	}
	return "_OTHER"
}
