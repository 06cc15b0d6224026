package inbound_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// kept runs an inbox of events that are done for so long, and returns those that
// have their body still.
func kept(t *testing.T, o inbound.Options, run time.Duration, ages ...time.Duration) (bodies []int, gone []int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		s := store.NewMemory().Inbox()
		o.Store = s
		var ids []string
		longest := slices.Max(ages)
		time.Sleep(time.Second)
		for i, age := range ages { // the longest ago first
			time.Sleep(time.Until(begin.Add(time.Second + longest - age)))
			e := storetest.Event(string(rune('a'+i)), string(rune('a'+i)), strings.Repeat("x", 100))
			e.Received = time.Now()
			if err := s.Insert(t.Context(), &inbound.Arrival{Event: e, To: []inbound.Placement{{Target: "hook", State: inbound.Ignored}}}); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, e.ID)
		}
		in := inbound.New(o)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); in.Run(ctx) }()
		time.Sleep(run)
		cancel()
		<-done
		for i, id := range ids {
			_, err := in.Body(t.Context(), id)
			switch {
			case err == nil:
				bodies = append(bodies, i)
			case errors.Is(err, inbound.ErrNotFound):
				gone = append(gone, i)
			case !errors.Is(err, inbound.ErrEmptied):
				t.Error(err)
			}
		}
	})
	return bodies, gone
}

// TestRetention: bodies go before their events, by age and by what they take.
func TestRetention(t *testing.T) {
	const day = 24 * time.Hour
	ages := []time.Duration{12 * day, 8 * day, 6 * day, 3 * day, day}
	for name, tt := range map[string]struct {
		o            inbound.Options
		bodies, gone []int
	}{
		"for ever":       {inbound.Options{}, []int{0, 1, 2, 3, 4}, nil},
		"events":         {inbound.Options{Retain: 10 * day}, []int{1, 2, 3, 4}, []int{0}},
		"bodies":         {inbound.Options{Retain: 10 * day, RetainBodies: 7 * day}, []int{2, 3, 4}, []int{0}},
		"size":           {inbound.Options{RetainSize: 250}, []int{3, 4}, nil},
		"size, exactly":  {inbound.Options{RetainSize: 300}, []int{2, 3, 4}, nil},
		"size and age":   {inbound.Options{RetainBodies: 2 * day, RetainSize: 400}, []int{4}, nil},
		"size of enough": {inbound.Options{RetainSize: 500}, []int{0, 1, 2, 3, 4}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if bodies, gone := kept(t, tt.o, 10*time.Minute, ages...); !slices.Equal(bodies, tt.bodies) || !slices.Equal(gone, tt.gone) {
				t.Errorf("bodies of %v, events without %v, want %v and %v", bodies, gone, tt.bodies, tt.gone)
			}
		})
	}
}

// TestRetentionOfMany: more than is removed at once goes at once, and is added up
// once.
func TestRetentionOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &summed{Store: store.NewMemory().Inbox()}
		time.Sleep(time.Hour)
		for i := range 1000 {
			e := storetest.Event("Continue"+string(rune(1000+i)), string(rune(1000+i)), "0123456789")
			e.Received = time.Now()
			if err := s.Insert(t.Context(), &inbound.Arrival{Event: e, To: []inbound.Placement{{Target: "hook", State: inbound.Ignored}}}); err != nil {
				t.Fatal(err)
			}
		}
		in := inbound.New(inbound.Options{Store: s, RetainSize: 1005})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); in.Run(ctx) }()
		time.Sleep(time.Minute + 10*time.Second)
		if left, _ := s.Finished(t.Context()); left != 1000 || s.sums.Load() != 2 {
			t.Errorf("%d bytes are left, after adding up %d times", left, s.sums.Load()-1)
		}
		cancel()
		<-done
	})
}

type summed struct {
	inbound.Store
	sums atomic.Int64
}

func (s *summed) Finished(ctx context.Context) (int64, error) {
	s.sums.Add(1)
	return s.Store.Finished(ctx)
}

// TestReplayWithoutABody: neither a replay nor a copy of what has no body is made,
// and each is counted.
func TestReplayWithoutABody(t *testing.T) {
	s := store.NewMemory().Inbox()
	e := storetest.Event("e", "e", "body")
	if _, _, err := storetest.Insert(t.Context(), s, e, "hook"); err != nil {
		t.Fatal(err)
	}
	items, _, err := s.Claim(t.Context(), map[string]int{"hook": 1}, time.Minute)
	if err != nil || len(items) != 1 {
		t.Fatal(err)
	}
	if err := s.Finish(t.Context(), items[0].Lease, inbound.Move{To: inbound.Applied, Attempt: 1}); err != nil {
		t.Fatal(err)
	}
	if n, freed, err := s.Empty(t.Context(), time.Now().Add(time.Second), 0, 10); n != 1 || freed != 4 || err != nil {
		t.Fatal(n, freed, err)
	}
	in := inbound.New(inbound.Options{Store: s})
	if done, err := in.Act(t.Context(), inbound.ActReplay, inbound.Filter{}, "ann"); err != nil || len(done.Moved) != 0 || done.Emptied != 1 || done.Skipped != 0 {
		t.Errorf("replayed: %+v, %v", done, err)
	}
	if done, err := in.Anew(t.Context(), inbound.Filter{}, "ann"); err != nil || len(done.Moved) != 0 || done.Emptied != 1 || done.Skipped != 0 {
		t.Errorf("copied: %+v, %v", done, err)
	}
	if n, _ := in.Count(t.Context(), inbound.Filter{}); n.N != 1 {
		t.Errorf("%d events", n.N)
	}
}
