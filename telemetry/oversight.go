package telemetry

import (
	"log/slog"

	"github.com/postern-proxy/postern/inbound/oversight"
)

// Oversight is the observer of oversight.
func (t *Telemetry) Oversight() oversight.Observer {
	return oversight.Observer{Named: t.m.named, Swept: t.swept, Trouble: t.Trouble}
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
