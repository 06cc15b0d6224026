package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-proxy/postern/inbound"
)

// InboxStats lets the metrics about stored events be read by stats, which is
// asked when somebody reads the metrics, and not more often than every 2 s. It
// may be called once.
func (t *Telemetry) InboxStats(stats func(context.Context) ([]inbound.Stat, error)) {
	t.Registry.MustRegister(&inboxStats{asked[inbound.Stat]{t: t, doing: "counting stored events", ask: stats}})
}

const (
	statsFor    = 2 * time.Second // one answer of the store is good
	statsWithin = 2 * time.Second // the store has to answer
)

var (
	eventsDesc = prometheus.NewDesc("postern_inbox_events", "Deliveries of stored events by their state: an event has one for each deliver block.", []string{"webhook", "status"}, nil)
	oldestDesc = prometheus.NewDesc("postern_inbox_oldest_unapplied_timestamp_seconds", "When the oldest event was received that is still to be delivered; absent if there is none.", []string{"webhook"}, nil)
)

type inboxStats struct{ asked[inbound.Stat] }

// asked is what the store counts, as it last said.
type asked[T any] struct {
	t     *Telemetry
	doing string // for word of a failure
	ask   func(context.Context) ([]T, error)

	mu   sync.Mutex
	last []T
	at   time.Time
}

// read asks the store, unless it has just been asked. It is empty if the store
// does not answer.
func (a *asked[T]) read() []T {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.at) < statsFor {
		return a.last
	}
	ctx, cancel := context.WithTimeout(context.Background(), statsWithin)
	defer cancel()
	last, err := a.ask(ctx)
	if err != nil {
		a.t.Trouble(a.doing, err)
	}
	a.last, a.at = last, time.Now()
	return a.last
}

// Describe implements [prometheus.Collector].
func (c *inboxStats) Describe(to chan<- *prometheus.Desc) {
	to <- eventsDesc
	to <- oldestDesc
}

// Collect implements [prometheus.Collector]. While the store does not answer,
// there are no such metrics.
func (c *inboxStats) Collect(to chan<- prometheus.Metric) {
	counts := map[string]map[inbound.State]int{}
	oldest := map[string]time.Time{}
	for _, s := range c.read() {
		if counts[s.Webhook] == nil {
			counts[s.Webhook] = map[inbound.State]int{}
		}
		counts[s.Webhook][s.State] += s.Count
		if first := oldest[s.Webhook]; !s.Oldest.IsZero() && (first.IsZero() || s.Oldest.Before(first)) {
			oldest[s.Webhook] = s.Oldest
		}
	}
	for webhook, states := range counts {
		for _, state := range inbound.States {
			to <- prometheus.MustNewConstMetric(eventsDesc, prometheus.GaugeValue, float64(states[state]), webhook, string(state))
		}
	}
	for webhook, at := range oldest {
		to <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, float64(at.UnixMilli())/1000, webhook)
	}
}
