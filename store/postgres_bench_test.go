package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/store/storetest"
)

// openForBench opens an empty database.
func openForBench(b *testing.B) *Postgres {
	p, err := OpenPostgres(b.Context(), peers.Database(b), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.Close() })
	return p
}

// ingestBy inserts n events of 1.3 KB from so many senders.
func ingestBy(b *testing.B, box inbound.Store, senders, n int, lane func(int) string) {
	body := []byte(strings.Repeat("x", 1300))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				e := &inbound.Event{ID: fmt.Sprintf("id-%d", i), Webhook: "hook", EventID: fmt.Sprintf("evt-%d", i), Received: time.Now(), Body: body, Size: len(body), Lane: lane(int(i))}
				if _, _, err := storetest.Insert(context.Background(), box, e, "hook"); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func noLane(int) string { return "" }

// BenchmarkPostgresInsert compares numbers of flushers.
func BenchmarkPostgresInsert(b *testing.B) {
	for _, flushers := range []int{1, 2, 3, 4} {
		for _, senders := range []int{64, 256} {
			b.Run(fmt.Sprintf("%d flushers %d senders", flushers, senders), func(b *testing.B) {
				p := openForBench(b)
				p.inserts.close()
				p.inserts = newFlusher(flushers, p.insertAll)
				b.ResetTimer()
				start := time.Now()
				ingestBy(b, p.Inbox(), senders, b.N, noLane)
				b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "events/s")
			})
		}
	}
}

// BenchmarkPostgresLimit is the bare insert of the same bytes, without dedupe,
// deliveries and trail.
func BenchmarkPostgresLimit(b *testing.B) {
	for _, writers := range []int{1, 3} {
		b.Run(fmt.Sprint(writers, " writers"), func(b *testing.B) {
			p := openForBench(b)
			if _, err := p.pool.Exec(b.Context(), "CREATE TABLE bare (id text PRIMARY KEY, webhook text, body bytea)"); err != nil {
				b.Fatal(err)
			}
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			start := time.Now()
			for range writers {
				wg.Go(func() {
					for {
						first := next.Add(256) - 256
						if first >= int64(b.N) {
							return
						}
						var ids, hooks []string
						var bodies [][]byte
						for i := range int64(256) {
							ids, hooks, bodies = append(ids, fmt.Sprint("evt-", first+i)), append(hooks, "hook"), append(bodies, []byte(strings.Repeat("x", 1300)))
						}
						if _, err := p.pool.Exec(context.Background(), "INSERT INTO bare SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[])", ids, hooks, bodies); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "events/s")
		})
	}
}

// BenchmarkPostgresLife claims in batches and finishes, with and without lanes.
func BenchmarkPostgresLife(b *testing.B) {
	for name, lane := range map[string]func(int) string{"no lanes": noLane, "1000 lanes": func(i int) string { return fmt.Sprint("lane-", i%1000) }} {
		b.Run(name, func(b *testing.B) {
			p := openForBench(b)
			box := p.Inbox()
			ingestBy(b, box, 256, b.N, lane)
			if _, err := p.pool.Exec(b.Context(), "VACUUM ANALYZE", pgx.QueryExecModeExec); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			start := time.Now()
			var claiming atomic.Int64
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					for left.Load() > 0 {
						began := time.Now()
						items, _, err := box.Claim(context.Background(), map[string]int{"hook": 256}, time.Minute)
						claiming.Add(int64(time.Since(began)))
						if err != nil {
							b.Error(err)
							return
						}
						var done sync.WaitGroup
						for _, it := range items {
							done.Go(func() {
								if err := box.Finish(context.Background(), it.Lease, inbound.Move{To: inbound.Applied, Attempt: 1, Status: 200}); err != nil {
									b.Error(err)
								}
								left.Add(-1)
							})
						}
						done.Wait()
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "lives/s")
			b.ReportMetric(float64(b.N)/time.Duration(claiming.Load()).Seconds(), "claims/s/worker")
		})
	}
}
