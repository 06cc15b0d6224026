package store

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// BenchmarkCommit compares commits of what waits with one commit for each event,
// at 64 senders.
func BenchmarkCommit(b *testing.B) {
	for name, size := range map[string]int{"grouped": maxBatch, "one by one": 1} {
		b.Run(name, func(b *testing.B) {
			s, err := open(b.Context(), filepath.Join(b.TempDir(), "postern.db"), size)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			rate := ingest(b, s.Inbox(), b.N)
			b.ReportMetric(rate, "events/s")
		})
	}
}

// ingest inserts n events from 64 senders and returns events per second.
func ingest(t testing.TB, box inbound.Store, n int) float64 {
	body := []byte(strings.Repeat("x", 1300))
	events := make(chan int)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := range events {
				e := &inbound.Event{ID: fmt.Sprintf("id-%d", i), Webhook: "hook", EventID: fmt.Sprintf("evt-%d", i), Received: time.Now(), Body: body, Size: len(body)}
				if _, _, err := box.Insert(context.Background(), e, []string{"hook"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	start := time.Now()
	for i := range n {
		events <- i
	}
	close(events)
	wg.Wait()
	return float64(n) / time.Since(start).Seconds()
}

func TestVersions(t *testing.T) {
	for _, tt := range []struct {
		v     string
		older bool
	}{{"3.51.3", false}, {"3.51.2", true}, {"3.9.99", true}, {"3.54", false}, {"3.51", true}, {"4.0.0", false}} {
		if got := olderThan(tt.v, minSQLite); got != tt.older {
			t.Errorf("%s older than %s: %v", tt.v, minSQLite, got)
		}
	}
}
