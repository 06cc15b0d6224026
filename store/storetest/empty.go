package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// old inserts an event that was received so long ago.
func (s *suite) old(eventID, body string, ago time.Duration, to ...inbound.Placement) *inbound.Event {
	s.Helper()
	e := s.event(eventID, body)
	e.Received = e.Received.Add(-ago)
	if to == nil {
		to = inbound.To("hook")
	}
	if err := s.Insert(s.ctx(), &inbound.Arrival{Event: e, To: to}); err != nil {
		s.Fatal(err)
	}
	return e
}

// empties has bodies removed, and compares how many and how much.
func (s *suite) empties(before time.Time, bytes int64, n, want int, freed int64) {
	s.Helper()
	if got, size, err := s.Empty(s.ctx(), before, bytes, n); err != nil || got != want || size != freed {
		s.Errorf("%d bodies with %d bytes are removed, %v, want %d with %d", got, size, err, want, freed)
	}
}

// finished compares how much may be removed.
func (s *suite) finished(want int64) {
	s.Helper()
	if got, err := s.Finished(s.ctx()); err != nil || got != want {
		s.Errorf("%d bytes may be removed, %v, want %d", got, err, want)
	}
}

// bodiless names those of events whose body was removed, and checks what is left.
func (s *suite) bodiless(events ...*inbound.Event) (gone []int) {
	s.Helper()
	for i, e := range events {
		r := s.show(e.ID)
		got, err := s.Body(s.ctx(), e.ID)
		page, _ := s.List(s.ctx(), inbound.Filter{IDs: []string{e.ID}})
		if r.Size != e.Size || r.SHA256 != e.SHA256 || r.EventID != e.EventID || len(page.Events) != 1 || !page.Events[0].Emptied.Equal(r.Emptied) {
			s.Errorf("%s is %+v", e.ID, r)
		}
		switch {
		case errors.Is(err, inbound.ErrEmptied) && time.Since(r.Emptied).Abs() < time.Minute && len(r.Header) == 0:
			gone = append(gone, i)
		case err != nil || string(got.Body) != string(e.Body) || !r.Emptied.IsZero() || len(r.Header) != len(e.Header):
			s.Errorf("%s: %v, %+v", e.ID, err, r)
		}
	}
	return gone
}

func emptying(s *suite) {
	var all []*inbound.Event
	for i := range 6 { // the last is the oldest
		all = append(all, s.old(fmt.Sprint("evt_", i), strings.Repeat("x", 100), time.Duration(i+1)*time.Hour))
	}
	all = append(all, s.old("none", "", 9*time.Hour))
	s.finished(0)
	for _, it := range s.claim(10, lease) {
		s.finish(it, inbound.Applied, time.Time{})
	}
	s.finished(600)
	s.empties(time.Now().Add(-time.Minute), 0, 10, 0, 0) // they moved just now
	now := time.Now().Add(time.Second)
	s.empties(now, 0, 1, 1, 100)
	if gone := s.bodiless(all...); !slices.Equal(gone, []int{5}) {
		s.Errorf("the bodies of %v are gone, not that of the oldest", gone)
	}
	s.empties(now, 101, 10, 2, 200)
	if gone := s.bodiless(all...); !slices.Equal(gone, []int{3, 4, 5}) {
		s.Errorf("the bodies of %v are gone", gone)
	}
	s.finished(300)
	s.empties(all[0].Received, 0, 10, 0, 0) // received before that, but not still since
	s.empties(now, 0, 10, 3, 300)
	s.empties(now, 0, 10, 0, 0)
}

func needed(s *suite) {
	hour := time.Hour
	states := []inbound.State{inbound.Applied, inbound.Failed, inbound.Retrying, inbound.Processing}
	var all []*inbound.Event
	for i := range states {
		all = append(all, s.old(fmt.Sprint("evt_", i), "body", hour-time.Duration(i)))
	}
	for i, it := range s.claim(4, lease) {
		if i < 3 {
			s.finish(it, states[i], time.Now().Add(hour))
		}
	}
	all = append(all,
		s.old("ignored", "body", hour, inbound.Placement{Target: "hook", State: inbound.Ignored}),
		s.old("quarantined", "body", hour, inbound.Placement{Target: "hook", State: inbound.Quarantined}),
		s.old("evt_0", "another", hour),
		s.old("received", "body", hour),
		s.old("half", "body", hour, inbound.Placement{Target: "hook", State: inbound.Ignored}, inbound.Placement{Target: "hook/b", State: inbound.Quarantined}))
	// A request that brought two events, and these: each counts by itself.
	batch, item, held := s.event("", "[1,2]"), s.event("item", "1"), s.event("held", "2")
	batch.EventID, batch.Items, item.Parent, held.Parent = "batch", 2, batch.ID, batch.ID
	for _, e := range []*inbound.Event{batch, item, held} {
		e.Received = e.Received.Add(-hour)
	}
	err := s.Insert(s.ctx(), &inbound.Arrival{Event: batch}, &inbound.Arrival{Event: item, To: []inbound.Placement{{Target: "hook", State: inbound.Ignored}}},
		&inbound.Arrival{Event: held, To: []inbound.Placement{{Target: "hook", State: inbound.Quarantined}}})
	if err != nil {
		s.Fatal(err)
	}
	all = append(all, batch, item, held)
	s.finished(4 + 4 + 5 + 1)
	s.empties(time.Now().Add(time.Second), 0, 100, 4, 14)
	if gone := s.bodiless(all...); !slices.Equal(gone, []int{0, 4, 9, 10}) {
		s.Errorf("the bodies of %v are gone", gone)
	}
	s.finished(0)
	if done, err := s.Act(s.ctx(), inbound.ActDiscard, inbound.Filter{State: inbound.Failed}, "ann"); err != nil || len(done.Moved) != 1 {
		s.Errorf("%+v, %v", done, err)
	}
	s.finished(4)
	if n, err := s.Prune(s.ctx(), time.Now().Add(time.Minute), 100); err != nil || n == 0 {
		s.Errorf("%d deleted, %v", n, err)
	}
}

func emptied(s *suite) {
	first, second := s.old("evt_1", "1", time.Hour), s.old("evt_2", "2", time.Hour)
	for _, it := range s.claim(2, lease) {
		s.finish(it, inbound.Applied, time.Time{})
	}
	ignored := s.old("evt_3", "3", 2*time.Hour, inbound.Placement{Target: "hook", State: inbound.Ignored})
	s.empties(time.Now().Add(time.Second), 2, 10, 2, 2)
	if gone := s.bodiless(first, second, ignored); !slices.Equal(gone, []int{0, 2}) {
		s.Errorf("the bodies of %v are gone", gone)
	}
	for a, want := range map[inbound.Action][2]int{inbound.ActReplay: {1, 1}, inbound.ActRelease: {0, 1}} {
		f := inbound.Filter{State: inbound.Applied}
		if a == inbound.ActRelease {
			f.State = inbound.Ignored
		}
		if done, err := s.Act(s.ctx(), a, f, "ann"); err != nil || len(done.Moved) != want[0] || done.Emptied != want[1] || done.Skipped != 0 {
			s.Errorf("%s: %d moved, %d without a body, %d skipped, %v", a, len(done.Moved), done.Emptied, done.Skipped, err)
		}
	}
	if it := s.one(lease); it.Work.Event.ID != second.ID || string(it.Work.Event.Body) != "2" {
		s.Errorf("delivered %+v", it.Work.Event)
	}
	if _, what := s.insert(s.event("evt_1", "1")); what != inbound.Duplicate {
		s.Errorf("the provider again: %v", what)
	}
	if _, what := s.insert(s.event("evt_1", "other")); what != inbound.Conflicted {
		s.Errorf("another body: %v", what)
	}
	if n, err := s.Prune(s.ctx(), time.Now().Add(time.Minute), 10); err != nil || n < 2 {
		s.Errorf("%d deleted, %v", n, err)
	}
}

// emptyingWhileActing has bodies removed while they are asked for again: whatever is
// delivered has its body.
func emptyingWhileActing(s *suite) {
	const n = 40
	for i := range n {
		s.old(fmt.Sprint("evt_", i), "body", time.Hour, inbound.Placement{Target: "hook", State: inbound.Ignored})
	}
	var both sync.WaitGroup
	var moved, refused, removed int
	both.Go(func() {
		for f := (inbound.Filter{State: inbound.Ignored, Limit: 3}); ; {
			done, err := s.Act(s.ctx(), inbound.ActRelease, f, "ann")
			if err != nil {
				s.Error(err)
				return
			}
			moved, refused = moved+len(done.Moved), refused+done.Emptied
			if f.Cursor = done.Next; f.Cursor == "" {
				return
			}
		}
	})
	both.Go(func() {
		for range n {
			k, _, err := s.Empty(s.ctx(), time.Now().Add(time.Second), 0, 2)
			if err != nil {
				s.Error(err)
				return
			}
			removed += k
		}
	})
	both.Wait()
	if moved+removed != n || refused > removed {
		s.Errorf("%d released, %d refused, %d removed, of %d", moved, refused, removed, n)
	}
	for _, it := range s.claim(n, lease) {
		if string(it.Work.Event.Body) != "body" {
			s.Errorf("%s is delivered with %q", it.Work.Event.ID, it.Work.Event.Body)
		}
	}
}
