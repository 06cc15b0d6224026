package inbound_test

import (
	"context"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// TestCopiesAreNotCopied: an operation that copies page after page comes to its own
// copies in the end, and passes them over, though they were applied meanwhile.
func TestCopiesAreNotCopied(t *testing.T) {
	s := store.NewMemory().Inbox()
	if _, _, err := storetest.Insert(t.Context(), s, storetest.Event("e", "e", "body"), "hook"); err != nil {
		t.Fatal(err)
	}
	apply := func() {
		t.Helper()
		items, _, err := s.Claim(t.Context(), map[string]int{"hook": 1}, time.Minute)
		if err != nil || len(items) != 1 {
			t.Fatal(len(items), err)
		}
		if err := s.Finish(t.Context(), items[0].Lease, inbound.Move{To: inbound.Applied, Attempt: 1}); err != nil {
			t.Fatal(err)
		}
	}
	apply()
	time.Sleep(time.Millisecond)
	in, f := inbound.New(inbound.Options{Store: s}), inbound.Filter{Unmoved: time.Now()}
	for i, moved := range []int{1, 0} {
		done, err := in.Anew(t.Context(), f, "ann")
		if err != nil || len(done.Moved) != moved {
			t.Fatalf("%d: %+v, %v", i, done, err)
		}
		if moved > 0 {
			apply()
		}
	}
	if n, _ := in.Count(t.Context(), inbound.Filter{}); n.N != 2 {
		t.Errorf("%d events", n.N)
	}
}

// TestCopyIsNotStale: a person wants a copy delivered, however old the event is.
func TestCopyIsNotStale(t *testing.T) {
	inTime(t, &upstream{}, `order { mode = "stale_drop" }`, func(o *timely) {
		o.post(`{"id":"old","key":"k","time":1}`)
		page, err := o.in.List(context.Background(), inbound.Filter{})
		if err != nil {
			o.Fatal(err)
		}
		time.Sleep(time.Minute)
		o.post(`{"id":"new","key":"k","time":2}`)
		time.Sleep(time.Minute)
		if done, err := o.in.Anew(context.Background(), inbound.Filter{IDs: []string{page.Events[0].ID}}, "ann"); err != nil || len(done.Moved) != 1 {
			o.Fatal(done, err)
		}
		time.Sleep(time.Minute)
		if got := o.app.since(0); len(got) != 3 {
			o.Errorf("delivered %+v", got)
		}
	})
}
