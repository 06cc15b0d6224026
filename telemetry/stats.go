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
	t.Registry.MustRegister(&inboxStats{t: t, stats: stats})
}

const (
	statsFor    = 2 * time.Second // one answer of the store is good
	statsWithin = 2 * time.Second // the store has to answer
)

var (
	eventsDesc = prometheus.NewDesc("postern_inbox_events", "Stored events with a delivery in this state.", []string{"webhook", "status"}, nil)
	oldestDesc = prometheus.NewDesc("postern_inbox_oldest_unapplied_timestamp_seconds", "When the oldest event was received that is still to be delivered; absent if there is none.", []string{"webhook"}, nil)
)

type inboxStats struct {
	t     *Telemetry
	stats func(context.Context) ([]inbound.Stat, error)

	mu   sync.Mutex
	last []inbound.Stat
	at   time.Time
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

func (c *inboxStats) read() []inbound.Stat {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.at) < statsFor {
		return c.last
	}
	ctx, cancel := context.WithTimeout(context.Background(), statsWithin)
	defer cancel()
	last, err := c.stats(ctx)
	if err != nil {
		c.t.Trouble("counting stored events", err)
	}
	c.last, c.at = last, time.Now()
	return c.last
}
