package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
)

type laneTest struct {
	name string
	run  func(*suite)
}

// laneTests are the promises of [queue.Source] about order.
var laneTests = []laneTest{
	{"a lane is taken one at a time, in order", laneOrder},
	{"a head that waits for its next attempt holds its lane alone", laneRetrying},
	{"a lease that ran out is that of the head still", laneExpiry},
	{"what is given back is the head still", laneReleased},
	{"the lane goes on after a failure", laneFailed},
	{"a replay waits behind a live head", laneReplayBehind},
	{"a replay goes before a head that is not due", laneReplayBefore},
	{"a replay of many is in order", laneReplayAll},
	{"a discard lets the lane go on", laneDiscard},
	{"a lane of each target", laneTargets},
	{"a lane that has much to do lets others in between", laneFair},
	{"no lane is no order", laneNone},
	{"what is held back holds no lane", laneConflict},
	{"old events of a lane are deleted", lanePruning},
	{"many workers keep the order", laneWorkers},
	{"random moves keep the order", laneModel},
	{"random moves keep standings and marks", standModel},
}

// Lanes tests what an [inbound.Store] promises about order. [Inbox] includes it.
func Lanes(t *testing.T, open func(*testing.T) inbound.Store) {
	for _, test := range append(slices.Clone(laneTests), orderTests...) {
		t.Run(test.name, func(t *testing.T) { test.run(&suite{T: t, Store: open(t)}) })
	}
}

// line inserts n events into a lane and returns their ids.
func (s *suite) line(lane string, n int) (ids []string) {
	s.Helper()
	for range n {
		e := s.event("", "body")
		e.EventID, e.Lane = "evt_"+e.ID, lane
		s.insert(e)
		ids = append(ids, e.ID)
	}
	return ids
}

// takes claims all that is due, which must be these events, and returns them in
// this order.
func (s *suite) takes(want ...string) []queue.Item[inbound.Delivery] {
	s.Helper()
	items := s.claim(100, lease)
	byWant := func(a, b queue.Item[inbound.Delivery]) int {
		return slices.Index(want, a.Work.Event.ID) - slices.Index(want, b.Work.Event.ID)
	}
	slices.SortFunc(items, byWant)
	var got []string
	for _, it := range items {
		got = append(got, it.Work.Event.ID)
	}
	if !slices.Equal(got, want) {
		s.Fatalf("claimed %v, want %v", got, want)
	}
	return items
}

func (s *suite) act(a inbound.Action, ids ...string) {
	s.Helper()
	done, err := s.Act(s.ctx(), a, inbound.Filter{IDs: ids, Limit: inbound.MaxPage}, "ann")
	if err != nil || len(done.Moved) != len(ids) {
		s.Fatalf("%s: %d of %d moved, %v", a, len(done.Moved), len(ids), err)
	}
}

func laneOrder(s *suite) {
	ids := s.line("a", 4)
	for _, id := range ids {
		it := s.takes(id)[0]
		if it.Lane != "a" || it.Work.Event.Lane != "a" {
			s.Errorf("claimed in lane %q, event in %q", it.Lane, it.Work.Event.Lane)
		}
		s.takes()
		s.finish(it, inbound.Applied, time.Time{})
	}
	s.takes()
}

func laneRetrying(s *suite) {
	a, b := s.line("a", 2), s.line("b", 2)
	items := s.takes(a[0], b[0])
	due := time.Now().Add(time.Hour)
	s.finish(items[0], inbound.Retrying, due)
	s.finish(items[1], inbound.Applied, time.Time{})
	s.finish(s.takes(b[1])[0], inbound.Applied, time.Time{})
	if items, next, err := s.Claim(s.ctx(), map[string]int{"hook": 9}, lease); len(items) != 0 || next.Sub(due).Abs() > 50*time.Millisecond || err != nil {
		s.Errorf("claimed %d, next %v, %v, want none and %v", len(items), next, err, due)
	}
	if d := s.show(a[1]).Deliveries[0]; !d.Due.IsZero() || d.State != inbound.Received {
		s.Errorf("the one that waits is %s and due at %v", d.State, d.Due)
	}
	if d := s.show(a[0]).Deliveries[0]; d.Due.Sub(due).Abs() > 50*time.Millisecond {
		s.Errorf("the head is due at %v, want %v", d.Due, due)
	}
}

func laneExpiry(s *suite) {
	ids := s.line("a", 2)
	s.one(blink)
	again := s.await(lease)
	if again.Work.Event.ID != ids[0] {
		s.Errorf("claimed %s, want the head %s", again.Work.Event.ID, ids[0])
	}
	s.takes()
	s.finish(again, inbound.Applied, time.Time{})
	s.takes(ids[1])
}

func laneReleased(s *suite) {
	ids := s.line("a", 2)
	if err := s.Release(s.ctx(), []queue.Lease{s.takes(ids[0])[0].Lease}); err != nil {
		s.Fatal(err)
	}
	s.takes(ids[0])
}

func laneFailed(s *suite) {
	ids := s.line("a", 2)
	s.finish(s.takes(ids[0])[0], inbound.Failed, time.Time{})
	s.takes(ids[1])
}

func laneReplayBehind(s *suite) {
	ids := s.line("a", 3)
	s.finish(s.takes(ids[0])[0], inbound.Failed, time.Time{})
	// The head is due: it stays the head.
	s.act(inbound.ActReplay, ids[0])
	head := s.takes(ids[1])[0]
	// It is leased: still.
	s.takes()
	s.finish(head, inbound.Applied, time.Time{})
	s.finish(s.takes(ids[0])[0], inbound.Applied, time.Time{})
	s.finish(s.takes(ids[2])[0], inbound.Applied, time.Time{})
	// Nothing else is open: it is the head at once.
	s.act(inbound.ActReplay, ids[1])
	s.finish(s.takes(ids[1])[0], inbound.Applied, time.Time{})
}

func laneReplayBefore(s *suite) {
	ids, due := s.line("a", 3), time.Now().Add(time.Hour)
	s.finish(s.takes(ids[0])[0], inbound.Failed, time.Time{})
	second := s.takes(ids[1])[0]
	s.act(inbound.ActReplay, ids[0])
	s.finish(second, inbound.Retrying, due) // now the one before it has its old place
	first := s.takes(ids[0])[0]
	if d := s.show(ids[1]).Deliveries[0]; !d.Due.IsZero() {
		s.Errorf("the one that waits again is due at %v", d.Due)
	}
	s.finish(first, inbound.Failed, time.Time{})
	s.takes()
	if d := s.show(ids[1]).Deliveries[0]; d.Due.Sub(due).Abs() > 50*time.Millisecond {
		s.Errorf("the head again is due at %v, want %v as before", d.Due, due)
	}
	s.act(inbound.ActReplay, ids[0])
	s.takes(ids[0])
}

func laneReplayAll(s *suite) {
	ids := s.line("a", 4)
	for _, id := range ids {
		s.finish(s.takes(id)[0], inbound.Applied, time.Time{})
	}
	s.act(inbound.ActReplay, ids...)
	for _, id := range ids {
		s.finish(s.takes(id)[0], inbound.Applied, time.Time{})
	}
}

func laneDiscard(s *suite) {
	ids := s.line("a", 5)
	s.act(inbound.ActDiscard, ids[1]) // waits
	s.act(inbound.ActDiscard, ids[0]) // the head
	s.finish(s.takes(ids[2])[0], inbound.Retrying, time.Now().Add(time.Hour))
	s.takes()
	s.act(inbound.ActDiscard, ids[2], ids[3])
	s.takes(ids[4])
}

func laneTargets(s *suite) {
	want := map[string]int{"hook/a": 9, "hook/b": 9}
	for i := range 2 {
		e := s.event(fmt.Sprint("evt_", i), "body")
		e.Lane = "a"
		s.insert(e, "hook/a", "hook/b")
	}
	items, _, err := s.Claim(s.ctx(), want, lease)
	if err != nil || len(items) != 2 || items[0].Target == items[1].Target || items[0].Work.Event.ID != items[1].Work.Event.ID {
		s.Fatalf("claimed %+v, %v, want the first event for each target", items, err)
	}
	s.finish(items[0], inbound.Applied, time.Time{})
	next, _, err := s.Claim(s.ctx(), want, lease)
	if err != nil || len(next) != 1 || next[0].Target != items[0].Target {
		s.Fatalf("claimed %+v, %v, want the second event for %s", next, err, items[0].Target)
	}
}

func laneFair(s *suite) {
	a := s.line("a", 3)
	time.Sleep(blink)
	b := s.line("b", 3)
	c := s.line("c", 3)
	var got []string
	for range 9 {
		items := s.claim(1, lease)
		if len(items) != 1 {
			s.Fatalf("claimed %d", len(items))
		}
		got = append(got, items[0].Work.Event.ID)
		s.finish(items[0], inbound.Applied, time.Time{})
		time.Sleep(time.Millisecond)
	}
	if want := []string{a[0], b[0], c[0], a[1], b[1], c[1], a[2], b[2], c[2]}; !slices.Equal(got, want) {
		s.Errorf("delivered %v, want %v", got, want)
	}
}

func laneNone(s *suite) { s.takes(s.line("", 3)...) }

func laneConflict(s *suite) {
	ids := s.line("a", 1)
	other := s.event("evt_"+ids[0], "another body")
	other.Lane = "a"
	s.insert(other)
	last := s.line("a", 1)[0]
	s.finish(s.takes(ids[0])[0], inbound.Applied, time.Time{})
	head := s.takes(last)[0]
	s.act(inbound.ActRelease, other.ID)
	s.takes()
	s.finish(head, inbound.Applied, time.Time{})
	s.takes(other.ID)
}

func lanePruning(s *suite) {
	ids := s.line("a", 3)
	s.finish(s.takes(ids[0])[0], inbound.Applied, time.Time{})
	head := s.takes(ids[1])[0]
	if n, err := s.Prune(s.ctx(), time.Now().Add(time.Minute), 10); n != 1 || err != nil {
		s.Errorf("%d deleted, %v, want the one that is done", n, err)
	}
	s.takes()
	s.finish(head, inbound.Failed, time.Time{})
	if n, err := s.Prune(s.ctx(), time.Now().Add(time.Minute), 10); n != 1 || err != nil {
		s.Errorf("%d deleted, %v, want the one that is done", n, err)
	}
	s.takes(ids[2])
}

// laneWorkers has workers claim, finish, retry and give back at the same time as
// others insert, and looks at what they get.
func laneWorkers(s *suite) {
	const lanes, each, workers = 6, 25, 6
	var mu sync.Mutex
	working, last := map[string]bool{}, map[string]int{}
	left := lanes * each
	begin := func(it queue.Item[inbound.Delivery]) {
		mu.Lock()
		defer mu.Unlock()
		var n int
		_, _ = fmt.Sscanf(it.Work.Event.EventID, it.Lane+"-%d", &n)
		if working[it.Lane] || n < last[it.Lane] || n > last[it.Lane]+1 {
			s.Errorf("lane %s: %d is begun after %d, another at the same time: %v", it.Lane, n, last[it.Lane], working[it.Lane])
		}
		working[it.Lane], last[it.Lane] = true, n
	}
	end := func(it queue.Item[inbound.Delivery], closed bool) {
		mu.Lock()
		defer mu.Unlock()
		working[it.Lane] = false
		if closed {
			left--
		}
	}
	work := func(it queue.Item[inbound.Delivery]) {
		begin(it)
		to := inbound.Applied
		switch rand.IntN(10) {
		case 0:
			end(it, false)
			if err := s.Release(s.ctx(), []queue.Lease{it.Lease}); err != nil {
				s.Errorf("give back: %v", err)
			}
			return
		case 1, 2:
			to = inbound.Retrying
		case 3:
			to = inbound.Failed
		}
		end(it, !to.Open())
		if err := s.Finish(s.ctx(), it.Lease, inbound.Move{To: to, Due: time.Now(), Attempt: it.Work.Attempt}); err != nil {
			s.Errorf("finish: %v", err)
		}
	}
	var wg sync.WaitGroup
	for l := range lanes {
		wg.Go(func() {
			for n := range each {
				e := Event(fmt.Sprintf("lane%d-%d", l, n+1), fmt.Sprintf("l%d-%d", l, n+1), "body")
				e.Lane = fmt.Sprint("l", l)
				if _, _, err := Insert(s.ctx(), s.Store, e, "hook"); err != nil {
					s.Errorf("insert: %v", err)
				}
			}
		})
	}
	for range workers {
		wg.Go(func() {
			for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
				mu.Lock()
				done := left == 0
				mu.Unlock()
				if done {
					return
				}
				items, _, err := s.Claim(s.ctx(), map[string]int{"hook": 1 + rand.IntN(3)}, lease)
				if err != nil {
					s.Errorf("claim: %v", err)
				}
				for _, it := range items {
					work(it)
				}
			}
			s.Error("not done in time")
		})
	}
	wg.Wait()
}
