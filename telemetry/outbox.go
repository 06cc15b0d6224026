package telemetry

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/policy"
)

// Outbox is the observer of an outbox.
func (t *Telemetry) Outbox() outbox.Observer {
	return outbox.Observer{Moved: t.callMoved, Letter: t.letter, Trouble: t.Trouble}
}

// letter counts a dead letter.
func (t *Telemetry) letter(provider string, o policy.Outcome) {
	t.m.deadLetters.WithLabelValues(provider, string(o)).Inc()
}

// callMoved takes note of one move of a call in the outbox.
func (t *Telemetry) callMoved(m *outbox.Transition) {
	level := slog.LevelInfo
	if m.To.Waits() {
		level = slog.LevelWarn
	}
	if !t.Log.Enabled(context.Background(), level) {
		return
	}
	var l line
	l.add(slog.String("log", kindTransition))
	l.identify("", m.ID)
	l.str("kind", string(m.Kind))
	l.str("provider", m.Provider)
	l.str("account", m.Account)
	l.str("from", string(m.From))
	l.str("to", string(m.To))
	l.add(slog.Int("attempt", m.Attempt))
	l.str("outcome", string(m.Outcome))
	if m.Status != 0 {
		l.add(slog.Int("status", m.Status))
	}
	if m.Took != 0 {
		l.seconds("duration", m.Took)
	}
	l.str("reason", m.Reason)
	l.str("by", m.By)
	l.write(t, level, "call "+string(m.To))
}

// OutboxStats lets the metric about kept calls be read by stats, which is asked
// when somebody reads the metrics, and not more often than every 2 s. It may be
// called once.
func (t *Telemetry) OutboxStats(stats func(context.Context) ([]outbox.Stat, error)) {
	t.Registry.MustRegister(&outboxStats{asked[outbox.Stat]{t: t, doing: "counting the calls of the outbox", ask: stats}})
}

var callsDesc = prometheus.NewDesc("postern_outbox_calls", "Calls that are kept, handed over by the application or as dead letters, in this state.", []string{"provider", "status"}, nil)

type outboxStats struct{ asked[outbox.Stat] }

// Describe implements [prometheus.Collector].
func (c *outboxStats) Describe(to chan<- *prometheus.Desc) { to <- callsDesc }

// Collect implements [prometheus.Collector]. While the store does not answer,
// there is no such metric. Callbacks are not counted.
func (c *outboxStats) Collect(to chan<- prometheus.Metric) {
	counts := map[string]map[outbox.State]int{}
	for _, s := range c.read() {
		if s.Kind == outbox.Callback {
			continue
		}
		if counts[s.Provider] == nil {
			counts[s.Provider] = map[outbox.State]int{}
		}
		counts[s.Provider][s.State] += s.Count
	}
	for provider, states := range counts {
		for _, state := range outbox.States {
			to <- prometheus.MustNewConstMetric(callsDesc, prometheus.GaugeValue, float64(states[state]), provider, string(state))
		}
	}
}
