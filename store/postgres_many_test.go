package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/queue"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// fillBy inserts events with these ids from many senders.
func fillBy(t testing.TB, box inbound.Store, senders, n int) {
	t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				id := fmt.Sprintf("id-%06d", i)
				if _, _, err := storetest.Insert(context.Background(), box, storetest.Event(id, "evt_"+id, "body of "+id), "hook"); err != nil {
					t.Errorf("insert: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestF33ClaimedOnce: eight workers of two replicas claim 20,000 events, each
// once, and get the body that belongs to it.
func TestF33ClaimedOnce(t *testing.T) {
	const n = 20000
	url := peers.Database(t)
	boxes := []inbound.Store{postgres(t, url, store.Options{Replica: "a"}).Inbox(), postgres(t, url, store.Options{Replica: "b"}).Inbox()}
	fillBy(t, boxes[0], 128, n)
	var mu sync.Mutex
	seen := map[string]int{}
	var wg sync.WaitGroup
	for w := range 8 {
		box := boxes[w%2]
		wg.Go(func() {
			for {
				items, _, err := box.Claim(t.Context(), map[string]int{"hook": 100}, time.Minute)
				if err != nil {
					t.Errorf("claim: %v", err)
					return
				}
				if len(items) == 0 {
					return
				}
				var done sync.WaitGroup
				for _, it := range items {
					done.Go(func() {
						e := it.Work.Event
						if string(e.Body) != "body of "+e.ID {
							t.Errorf("event %s came with %q", e.ID, e.Body)
						}
						if err := box.Finish(t.Context(), it.Lease, inbound.Move{To: inbound.Applied, Attempt: 1}); err != nil {
							t.Errorf("finish: %v", err)
						}
					})
				}
				done.Wait()
				mu.Lock()
				for _, it := range items {
					seen[it.Work.Event.ID]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for id, times := range seen {
		if times != 1 {
			t.Errorf("%s was claimed %d times", id, times)
		}
	}
	if len(seen) != n {
		t.Errorf("%d events were claimed, want %d", len(seen), n)
	}
	stats, err := boxes[1].Stats(t.Context())
	if err != nil || len(stats) != 1 || stats[0].State != inbound.Applied || stats[0].Count != n {
		t.Errorf("stats %v, %v", stats, err)
	}
}

// TestF31Storm: inserts, duplicates, other bodies, actions, claims, renewals,
// ends and deletions of many at once, in few lanes, from two replicas: nothing
// waits for ever, and no lane stands still.
func TestF31Storm(t *testing.T) {
	pg := peers.PostgresFor(t, peers.PostgresOptions{Settings: map[string]string{"deadlock_timeout": "100ms"}})
	boxes := []inbound.Store{
		postgres(t, pg.URL("postgres"), store.Options{}).Inbox(),
		postgres(t, pg.URL("postgres"), store.Options{}).Inbox(),
	}
	stop := time.Now().Add(4 * time.Second)
	storm(t, boxes, stop)
	// What is left is delivered in order, to the end.
	box, at := boxes[0], map[string]bool{}
	for left, idle := true, 0; left && idle < 200; {
		items, _, err := box.Claim(t.Context(), map[string]int{"hook": 50}, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range items {
			if it.Lane != "" && at[it.Lane] {
				t.Errorf("two of lane %s at once", it.Lane)
			}
			at[it.Lane] = true
		}
		for _, it := range items {
			if err := box.Finish(t.Context(), it.Lease, inbound.Move{To: inbound.Applied, Attempt: 1}); err != nil && !errors.Is(err, queue.ErrStale) {
				t.Fatal(err)
			}
			delete(at, it.Lane)
		}
		if idle++; len(items) > 0 {
			idle = 0
		}
		n := 0
		for _, state := range []inbound.State{inbound.Received, inbound.Retrying, inbound.Processing} {
			m, err := box.Count(t.Context(), inbound.Filter{State: state})
			if err != nil {
				t.Fatal(err)
			}
			n += m.N
		}
		if left = n > 0; left && len(items) == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		if left && idle == 200 {
			t.Errorf("%d deliveries are open and never due", n)
		}
	}
	t.Logf("deadlocks that the server had to end: %s", must(t)(pg.SQL("postgres", "SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'")))
}

func must(t testing.TB) func(string, error) string {
	return func(s string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func storm(t *testing.T, boxes []inbound.Store, stop time.Time) {
	var n atomic.Int64
	var wg sync.WaitGroup
	many := func(count int, run func(box inbound.Store) error) {
		for w := range count {
			wg.Go(func() {
				for time.Now().Before(stop) {
					if err := run(boxes[w%2]); err != nil {
						t.Errorf("storm: %v", err)
						return
					}
				}
			})
		}
	}
	many(24, func(box inbound.Store) error {
		key := n.Add(1) / int64(1+rand.IntN(3))
		e := storetest.Event(fmt.Sprintf("id-%d", n.Add(1)), fmt.Sprint("evt_", key), []string{"x", "y"}[rand.IntN(8)/7])
		if lane := rand.IntN(12); lane > 0 {
			e.Lane = fmt.Sprint("lane", lane)
		}
		_, _, err := storetest.Insert(t.Context(), box, e, "hook")
		return err
	})
	many(4, func(box inbound.Store) error {
		items, _, err := box.Claim(t.Context(), map[string]int{"hook": 20}, 200*time.Millisecond)
		if err != nil {
			return err
		}
		var ends sync.WaitGroup
		for i, it := range items {
			if i%7 == 0 {
				if err := box.Release(t.Context(), []queue.Lease{it.Lease}); err != nil {
					return err
				}
				continue
			}
			ends.Go(func() {
				m := inbound.Move{To: []inbound.State{inbound.Applied, inbound.Failed, inbound.Retrying}[rand.IntN(3)], Due: time.Now().Add(time.Duration(rand.IntN(20)) * time.Millisecond), Attempt: 1}
				if err := box.Finish(t.Context(), it.Lease, m); err != nil && !errors.Is(err, queue.ErrStale) {
					t.Errorf("finish: %v", err)
				}
			})
		}
		var leases []queue.Lease
		for _, it := range items {
			leases = append(leases, it.Lease)
		}
		_, err = box.Renew(t.Context(), leases, 200*time.Millisecond)
		ends.Wait()
		return err
	})
	many(3, func(box inbound.Store) error {
		a := []inbound.Action{inbound.ActReplay, inbound.ActRelease, inbound.ActDiscard}[rand.IntN(3)]
		_, err := box.Act(t.Context(), a, inbound.Filter{Limit: 1 + rand.IntN(60)}, "ann")
		return err
	})
	many(1, func(box inbound.Store) error {
		time.Sleep(20 * time.Millisecond)
		_, err := box.Prune(t.Context(), time.Now().Add(-500*time.Millisecond), 50)
		return err
	})
	wg.Wait()
}
