package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// TestThreeStatementsAnEvent: with 64 senders and as many deliveries at once, the
// whole life of an event costs at most three statements, transactions and what only
// reads included.
func TestThreeStatementsAnEvent(t *testing.T) {
	const events = 4096
	var n atomic.Int64
	box := store.OpenCounted(t, filepath.Join(t.TempDir(), "postern.db"), &n).Inbox()
	together(events, func(i int) {
		if _, what, err := storetest.Insert(context.Background(), box, storetest.Event(fmt.Sprintf("id-%d", i), fmt.Sprintf("evt_%d", i), "{}"), "hook"); err != nil || what != inbound.Stored {
			t.Errorf("event %d: %v, %v", i, what, err)
		}
	})
	stored := n.Swap(0)
	finished := 0
	for finished < events && !t.Failed() {
		items, _, err := box.Claim(t.Context(), map[string]int{"hook": 64}, time.Minute)
		if err != nil || len(items) == 0 {
			t.Fatalf("%d claimed, %v", len(items), err)
		}
		together(len(items), func(i int) {
			if err := box.Finish(context.Background(), items[i].Lease, inbound.Move{To: inbound.Applied, Attempt: 1, Status: 200}); err != nil {
				t.Errorf("finish: %v", err)
			}
		})
		finished += len(items)
	}
	moved := n.Load()
	t.Logf("%.2f statements an event: %.2f to store it, %.2f to claim it and to finish it", float64(stored+moved)/events, float64(stored)/events, float64(moved)/events)
	if stored+moved > 3*events {
		t.Errorf("%d statements for %d events", stored+moved, events)
	}
	if c, err := box.Count(t.Context(), inbound.Filter{State: inbound.Applied}); err != nil || c.N != events {
		t.Errorf("%d applied, %v", c.N, err)
	}
}

// TestWhoCanRunIsLetIn: on one processor, changes that are about to be asked for are
// committed with the one that was first.
func TestWhoCanRunIsLetIn(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var n atomic.Int64
	s := store.OpenCounted(t, filepath.Join(t.TempDir(), "postern.db"), &n)
	box, ids := s.Inbox(), 0
	eight := func(meanwhile func()) int64 {
		n.Store(0)
		var wg sync.WaitGroup
		for range 8 {
			ids++
			id := fmt.Sprint(ids)
			wg.Go(func() {
				if _, _, err := storetest.Insert(context.Background(), box, storetest.Event(id, id, "{}"), "hook"); err != nil {
					t.Error(err)
				}
			})
		}
		meanwhile()
		wg.Wait()
		return n.Load()
	}
	held := func() int64 {
		release := s.Hold()
		return eight(func() {
			for s.Asked() < 8 {
				time.Sleep(time.Millisecond)
			}
			release()
		})
	}
	held() // prepares
	together, got := held(), int64(0)
	for range 10 { // the scheduler promises no order
		if got = eight(func() {}); got <= together {
			return
		}
	}
	t.Errorf("%d statements; %d when they were asked for before", got, together)
}

// together does n things, 64 at once.
func together(n int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	wg.Wait()
}
