package telemetry

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-proxy/postern/connection"
)

// expiries is when the tokens and client certificates in use expire. There may be many of a provider: the
// metric is the first of them, and read when somebody asks.
type expiries struct {
	mu sync.Mutex
	at map[connection.Key]time.Time
}

var expiryDesc = prometheus.NewDesc("postern_credential_expiry_timestamp_seconds", "When the first of the tokens and client certificates that are in use for a provider expires; absent if no expiry is known.", []string{"provider"}, nil)

// Describe implements [prometheus.Collector].
func (e *expiries) Describe(to chan<- *prometheus.Desc) { to <- expiryDesc }

// Collect implements [prometheus.Collector].
func (e *expiries) Collect(to chan<- prometheus.Metric) {
	first := map[string]time.Time{}
	e.mu.Lock()
	for k, at := range e.at {
		if before, ok := first[k.Provider]; !ok || at.Before(before) {
			first[k.Provider] = at
		}
	}
	e.mu.Unlock()
	for provider, at := range first {
		to <- prometheus.MustNewConstMetric(expiryDesc, prometheus.GaugeValue, float64(at.UnixMilli())/1000, provider)
	}
}

// Renewed counts a renewal of a token. result is of a closed set.
func (t *Telemetry) Renewed(provider, result string) {
	t.m.refreshes.WithLabelValues(provider, result).Inc()
}

// Expires takes note of when the token in use of a connection does; zero is
// unknown, or that there is none.
func (t *Telemetry) Expires(k connection.Key, at time.Time) {
	e := t.m.expiries
	e.mu.Lock()
	defer e.mu.Unlock()
	if at.IsZero() {
		delete(e.at, k)
	} else {
		e.at[k] = at
	}
}

// Moved logs a move of a connection.
func (t *Telemetry) Moved(k connection.Key, m connection.Move) {
	level := slog.LevelInfo
	if m.To == connection.NeedsReconnect || m.To == connection.Active && m.From == connection.Refreshing && m.Failed {
		level = slog.LevelWarn
	}
	t.Transition(level, "connection "+string(m.To), slog.String("provider", k.Provider), slog.String("account", k.Account), slog.String("kind", k.Credential),
		slog.String("from", string(m.From)), slog.String("to", string(m.To)), slog.Int64("generation", m.Generation), slog.String("reason", m.Reason), slog.String("by", m.By))
}

// Alarm logs what a person has to know about a connection.
func (t *Telemetry) Alarm(k connection.Key, what string) {
	t.Transition(slog.LevelError, "connection: "+what, slog.String("provider", k.Provider), slog.String("account", k.Account), slog.String("kind", k.Credential))
}
