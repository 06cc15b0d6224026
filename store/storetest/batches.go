package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// horizon deletes an event whose key is known for a while yet.
func horizon(s *suite) {
	e := s.event("evt_1", "one")
	e.Received, e.Horizon = time.Now().Add(-time.Hour).Truncate(time.Microsecond), time.Now().Add(time.Hour).Truncate(time.Microsecond)
	short := s.event("evt_2", "two")
	short.Received, short.Horizon = e.Received, time.Now().Add(-time.Minute)
	s.insert(e)
	s.insert(short)
	if r := s.show(e.ID); !r.Horizon.Equal(e.Horizon) {
		s.Errorf("horizon %v, want %v", r.Horizon, e.Horizon)
	}
	for _, it := range s.claim(2, lease) {
		s.finish(it, inbound.Applied, time.Time{})
	}
	if n, err := s.Prune(s.ctx(), time.Now().Add(time.Minute), 10); n != 2 || err != nil {
		s.Fatalf("%d deleted, %v", n, err)
	}
	for range 2 {
		if page, err := s.List(s.ctx(), inbound.Filter{}); err != nil || len(page.Events) != 0 {
			s.Errorf("left %v, %v", idsOf(page), err)
		}
		if n, err := s.Count(s.ctx(), inbound.Filter{IDs: []string{e.ID}}); n.N != 0 || err != nil {
			s.Errorf("%v counted, %v", n, err)
		}
		if _, err := s.Show(s.ctx(), e.ID); err != inbound.ErrNotFound {
			s.Errorf("show: %v", err)
		}
		if n, err := s.Prune(s.ctx(), time.Now().Add(time.Minute), 10); n != 0 || err != nil {
			s.Errorf("%d deleted again, %v", n, err)
		}
	}
	if id, what := s.insert(s.event("evt_1", "one")); id != e.ID || what != inbound.Duplicate {
		s.Errorf("a repeat after the event is gone: %s, %v", id, what)
	}
	other := s.event("evt_1", "other")
	if id, what := s.insert(other); id != other.ID || what != inbound.Conflicted || s.show(id).Variant != 2 {
		s.Errorf("another body after the event is gone: %s, %v", id, what)
	}
	if _, what := s.insert(s.event("evt_2", "two")); what != inbound.Stored {
		s.Errorf("a repeat after the horizon: %v", what)
	}
	soon := s.event("evt_3", "three")
	soon.Received, soon.Horizon = e.Received, time.Now().Add(200*time.Millisecond)
	s.insert(soon)
	for _, it := range s.claim(9, lease) {
		s.finish(it, inbound.Applied, time.Time{})
	}
	if n, err := s.Prune(s.ctx(), time.Now().Add(time.Minute), 10); n != 3 || err != nil { // and what was stored above
		s.Errorf("%d deleted, %v, want 3", n, err)
	}
	time.Sleep(time.Until(soon.Horizon.Add(blink)))
	if _, err := s.Prune(s.ctx(), time.Now().Add(time.Minute), 10); err != nil {
		s.Error(err)
	}
	if _, what := s.insert(s.event("evt_3", "three")); what != inbound.Stored {
		s.Errorf("a repeat after a horizon that has passed since: %v", what)
	}
}

// surplus sends more bodies under one key than are kept.
func surplus(s *suite) {
	first := s.event("evt_1", "body 0")
	s.insert(first)
	for i := 1; i < 2*inbound.MaxVariants; i++ {
		e, want := s.event("evt_1", fmt.Sprint("body ", i)), inbound.Conflicted
		if i >= inbound.MaxVariants {
			want = inbound.Surplus
		}
		if id, what := s.insert(e); what != want || (id == "") != (want == inbound.Surplus) {
			s.Errorf("body %d: %q, %v, want %v", i, id, what, want)
		}
	}
	if id, what := s.insert(s.event("evt_1", "body 0")); id != first.ID || what != inbound.Duplicate {
		s.Errorf("the first again: %s, %v", id, what)
	}
	if n, err := s.Count(s.ctx(), inbound.Filter{}); n.N != inbound.MaxVariants || err != nil {
		s.Errorf("%v kept, %v", n, err)
	}
}

// batches stores what one request brought.
func batches(s *suite) {
	make := func(lane string) (all []*inbound.Arrival, ids []string) {
		parent := s.event("batch", "[1,2,3]")
		parent.Items, parent.Received = 40, time.Now().Add(-time.Hour)
		all = []*inbound.Arrival{{Event: parent}}
		for i := range 40 {
			e := s.event(fmt.Sprint("evt_", i), fmt.Sprint(i))
			e.Parent, e.Lane, e.Received = parent.ID, lane, parent.Received
			all = append(all, &inbound.Arrival{Event: e, To: inbound.To("hook")})
			ids = append(ids, e.ID)
		}
		return all, ids
	}
	all, ids := make("lane")
	all[7].Event.EventID = "evt_0" // and another body
	if err := s.Insert(s.ctx(), all...); err != nil {
		s.Fatal(err)
	}
	for i, a := range all {
		want := inbound.Stored
		if i == 7 {
			want = inbound.Conflicted
		}
		if a.What != want || a.ID != a.Event.ID {
			s.Errorf("arrival %d: %v as %s", i, a.What, a.ID)
		}
	}
	again, _ := make("lane")
	again[7].Event.EventID = "evt_0"
	if err := s.Insert(s.ctx(), again...); err != nil {
		s.Fatal(err)
	}
	for i, a := range again {
		if a.What != inbound.Duplicate || a.ID != all[i].ID {
			s.Errorf("arrival %d again: %v of %s", i, a.What, a.ID)
		}
	}
	conflict := ids[6]
	ids = slices.Delete(ids, 6, 7)
	page, err := s.List(s.ctx(), inbound.Filter{Limit: 100})
	got := slices.DeleteFunc(idsOf(page), func(id string) bool { return id == conflict })
	slices.Reverse(got)
	if err != nil || !slices.Equal(got, ids) {
		s.Errorf("listed %v, %v, want the items in their order", got, err)
	}
	if n, _ := s.Count(s.ctx(), inbound.Filter{Batches: true}); n.N != 41 {
		s.Errorf("%v with what brought them, want 41", n)
	}
	if r := s.show(all[0].Event.ID); r.Items != 40 || len(r.Deliveries) != 0 || s.show(ids[3]).Parent != r.ID {
		s.Errorf("what brought them is %+v", r)
	}
	for i, id := range ids {
		it := s.one(lease)
		if it.Work.Event.ID != id {
			s.Fatalf("delivery %d is of %s, want %s", i, it.Work.Event.ID, id)
		}
		s.finish(it, inbound.Applied, time.Time{})
	}
	s.pruneBatch(all[0].ID, ids[len(ids)-1])
}

// pruneBatch deletes items first, and what brought them last; item is the last of them.
func (s *suite) pruneBatch(parent, item string) {
	for total := 0; total < 41; {
		n, err := s.Prune(s.ctx(), time.Now().Add(time.Minute), 15)
		if total += n; err != nil || n == 0 {
			s.Fatalf("%d deleted after %d, %v", n, total, err)
		}
		_, itemErr := s.Show(s.ctx(), item)
		if _, err := s.Show(s.ctx(), parent); err != nil && itemErr == nil {
			s.Fatalf("what brought it is gone before the item: %v", err)
		}
	}
	if _, err := s.Show(s.ctx(), parent); err != inbound.ErrNotFound {
		s.Errorf("what brought them: %v", err)
	}
}
