package telemetry

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-proxy/postern/inbound/oversight"
)

// Oversight is the observer of oversight.
func (t *Telemetry) Oversight() oversight.Observer {
	return oversight.Observer{Named: t.m.named, Swept: t.swept, Silent: t.silent, Subscribed: t.subscribed, Trouble: t.Trouble}
}

func (m *metrics) oversight() {
	m.inboxExpected = m.counter("inbox_expected_total", "Events that a provider's list has named, each once.", "webhook")
	m.inboxBackfilled = m.counter("inbox_backfilled_total", "Of these, those that had not come by themselves and were fetched.", "webhook")
}

func (m *metrics) named(webhook string, expected, backfilled int) {
	m.inboxExpected.WithLabelValues(webhook).Add(float64(expected))
	m.inboxBackfilled.WithLabelValues(webhook).Add(float64(backfilled))
}

// swept takes note of a run of reconcile.
func (t *Telemetry) swept(r *oversight.Report) {
	level := slog.LevelInfo
	if r.Backfilled > 0 || r.Gone > 0 || r.Unknown > 0 || r.Error != "" {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("webhook", r.Webhook)}
	if r.Account != "" {
		attrs = append(attrs, slog.String("account", r.Account))
	}
	attrs = append(attrs, slog.Time("since", r.Since.UTC()), slog.Time("until", r.Until.UTC()), slog.Int("pages", r.Pages), slog.Int("listed", r.Listed),
		slog.Int("expected", r.Expected), slog.Int("received", r.Received), slog.Int("backfilled", r.Backfilled), slog.Int("late", r.Late), slog.Int("unknown_to_provider", r.Unknown))
	if r.Gone > 0 {
		attrs = append(attrs, slog.Int("gone", r.Gone))
	}
	if r.DryRun {
		attrs = append(attrs, slog.Bool("dry_run", true))
	}
	if r.Error != "" {
		attrs = append(attrs, slog.String("error", r.Error))
	}
	t.Transition(level, "reconciled", attrs...)
}

// silent takes note of a silence that is too long, or is over.
func (t *Telemetry) silent(s oversight.Silence, over bool) {
	if over {
		t.Transition(slog.LevelInfo, "webhooks come again", slog.String("webhook", s.Webhook), slog.Time("newest", s.Since.UTC()))
		return
	}
	t.Transition(slog.LevelError, "no webhooks come", slog.String("webhook", s.Webhook), slog.Time("newest", s.Since.UTC()),
		slog.String("silent_for", s.Alarm.Sub(s.Since).Round(time.Second).String()), slog.String("limit", s.Limit.Round(time.Second).String()))
}

// subscribed takes note of how a subscription does.
func (t *Telemetry) subscribed(s oversight.Subscription, before oversight.Health) {
	level := slog.LevelInfo
	switch s.Health {
	case oversight.Missing:
		level = slog.LevelError
	case oversight.Expiring, oversight.Unclear:
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("webhook", s.Webhook)}
	if s.Account != "" {
		attrs = append(attrs, slog.String("account", s.Account))
	}
	if before != "" {
		attrs = append(attrs, slog.String("before", string(before)))
	}
	if !s.Expires.IsZero() {
		attrs = append(attrs, slog.Time("expires", s.Expires.UTC()))
	}
	if s.Why != "" {
		attrs = append(attrs, slog.String("reason", s.Why))
	}
	t.Transition(level, "subscription "+string(s.Health), attrs...)
}

// OversightStats lets the metrics about silence and subscriptions be read from r. It
// may be called once.
func (t *Telemetry) OversightStats(r *oversight.Runner) {
	t.Registry.MustRegister(&oversightStats{r, asked[oversight.Subscription]{t: t, doing: "reading how subscriptions do", ask: r.Subscriptions}})
}

var (
	silenceDesc      = prometheus.NewDesc("postern_inbox_silence_seconds", "Time since the newest event came of a webhook that is expected to; absent where another replica watches.", []string{"webhook"}, nil)
	subscriptionDesc = prometheus.NewDesc("postern_inbox_subscription_active", "Whether the provider still has the subscriptions of a webhook: 1, or 0 if it lacks one.", []string{"webhook"}, nil)
	endDesc          = prometheus.NewDesc("postern_inbox_subscription_expiry_timestamp_seconds", "When the first of the subscriptions of a webhook ends; absent if none does.", []string{"webhook"}, nil)
)

type oversightStats struct {
	runner *oversight.Runner
	asked[oversight.Subscription]
}

// Describe implements [prometheus.Collector].
func (c *oversightStats) Describe(to chan<- *prometheus.Desc) {
	to <- silenceDesc
	to <- subscriptionDesc
	to <- endDesc
}

// Collect implements [prometheus.Collector].
func (c *oversightStats) Collect(to chan<- prometheus.Metric) {
	for _, s := range c.runner.Silences() {
		to <- prometheus.MustNewConstMetric(silenceDesc, prometheus.GaugeValue, time.Since(s.Since).Seconds(), s.Webhook)
	}
	active, ends := map[string]float64{}, map[string]time.Time{}
	for _, s := range c.read() {
		if _, known := active[s.Webhook]; !known {
			active[s.Webhook] = 1
		}
		if s.Health == oversight.Missing {
			active[s.Webhook] = 0
		}
		if first := ends[s.Webhook]; !s.Expires.IsZero() && (first.IsZero() || s.Expires.Before(first)) {
			ends[s.Webhook] = s.Expires
		}
	}
	for webhook, v := range active {
		to <- prometheus.MustNewConstMetric(subscriptionDesc, prometheus.GaugeValue, v, webhook)
	}
	for webhook, at := range ends {
		to <- prometheus.MustNewConstMetric(endDesc, prometheus.GaugeValue, float64(at.Unix()), webhook)
	}
}
