package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// follow reads everything after cursor, n at a time.
func (s *suite) follow(cursor string, n int) (told []string, next string) {
	s.Helper()
	for {
		page, err := s.Feed(s.ctx(), cursor, n)
		if err != nil {
			s.Fatalf("feed: %v", err)
		}
		for _, e := range page.All {
			switch {
			case e.Body != nil || e.Header != nil:
				s.Errorf("told with a body or a header: %+v", e)
			case e.Move == nil:
				told = append(told, e.ID+" new "+string(e.Deliveries[0].State))
			default:
				told = append(told, fmt.Sprintf("%s %s>%s %s %s", e.Move.Event, e.Move.From, e.Move.To, e.Move.Target, e.Move.By))
			}
		}
		if page.Next == cursor || len(page.All) == 0 {
			return told, page.Next
		}
		cursor = page.Next
	}
}

func feeding(s *suite) {
	s.insert(s.event("evt_0", "before anybody listened"))
	s.finish(s.one(lease), inbound.Applied, time.Time{})
	page, err := s.Feed(s.ctx(), "", 10)
	if err != nil || len(page.All) != 0 || page.Next == "" {
		s.Fatalf("of now: %+v, %v", page, err)
	}
	var want []string
	for i := range 7 {
		e := s.event(fmt.Sprintf("evt_%d", i+1), "body")
		s.insert(e)
		s.finish(s.one(lease), inbound.Failed, time.Time{})
		want = append(want, e.ID+" new received", e.ID+" received>processing hook ", e.ID+" processing>failed hook ")
		if i == 3 {
			if _, err := s.Act(s.ctx(), inbound.ActDiscard, inbound.Filter{IDs: []string{e.ID}}, "ann"); err != nil {
				s.Fatal(err)
			}
			want = append(want, e.ID+" failed>ignored hook ann")
		}
	}
	// An event is told in the state that it has when it is told.
	said := func(told []string) (out []string) {
		for _, t := range told {
			if id, _, ok := strings.Cut(t, " new "); ok {
				t = id + " new received"
			}
			out = append(out, t)
		}
		return out
	}
	sorted := func(all []string) []string { return slices.Sorted(slices.Values(all)) }
	all, last := s.follow(page.Next, 1000)
	if !slices.Equal(said(all), want) {
		s.Errorf("told\n%s\nwant\n%s", strings.Join(all, "\n"), strings.Join(want, "\n"))
	}
	for n := 1; n < 5; n++ { // page by page nothing is left out, and nothing comes twice
		if all, _ := s.follow(page.Next, n); !slices.Equal(sorted(said(all)), sorted(want)) {
			s.Errorf("%d at a time\n%s\nwant\n%s", n, strings.Join(all, "\n"), strings.Join(want, "\n"))
		}
	}
	if more, _ := s.follow(last, 10); len(more) != 0 {
		s.Errorf("told twice: %v", more)
	}
	if _, err := s.Feed(s.ctx(), "zzz", 1); !errors.Is(err, inbound.ErrCursor) {
		s.Errorf("a cursor that is none: %v", err)
	}
}

func copies(s *suite) {
	first := s.event("evt_1", "one")
	s.insert(first)
	s.finish(s.one(lease), inbound.Applied, time.Time{})
	again, err := s.Body(s.ctx(), first.ID)
	if err != nil {
		s.Fatal(err)
	}
	again.ID, again.Parent = "copy-1", first.ID
	a := &inbound.Arrival{Event: again, To: []inbound.Placement{{Target: "hook", Origin: inbound.Replay, Reason: "as a new event"}}, Anew: true, By: "ann"}
	if err := s.Insert(s.ctx(), a); err != nil || a.What != inbound.Stored || a.ID != "copy-1" {
		s.Fatalf("a copy: %v, %+v", err, a)
	}
	r := s.show("copy-1")
	if r.EventID != "evt_1" || r.Parent != first.ID || r.Status != inbound.Received || len(r.Trail) != 1 {
		s.Fatalf("the copy is %+v", r)
	}
	if t := r.Trail[0]; t.From != "" || t.To != inbound.Received || t.By != "ann" || t.Reason != "as a new event" || t.At.IsZero() {
		s.Errorf("its trail begins with %+v", t)
	}
	it := s.one(lease)
	if w := it.Work; w.Event.ID != "copy-1" || w.Origin != inbound.Replay || string(w.Event.Body) != "one" || w.Event.Header.Get("X-Kind") != "a" {
		s.Errorf("delivered as %+v", w)
	}
	s.finish(it, inbound.Applied, time.Time{})
	if err := s.Insert(s.ctx(), a); err != nil || a.What != inbound.Duplicate || a.ID != "copy-1" {
		s.Errorf("the copy again: %v, %+v", err, a)
	}
	if _, what := s.insert(s.event("evt_1", "one")); what != inbound.Duplicate {
		s.Errorf("the provider again: %v", what)
	}
	if _, what := s.insert(s.event("evt_1", "two")); what != inbound.Conflicted {
		s.Errorf("another body: %v", what)
	}
	if items := s.claim(10, lease); len(items) != 0 {
		s.Errorf("%d deliveries are due", len(items))
	}
	if n := len(s.show("copy-1").Trail); n != 3 {
		s.Errorf("%d moves of the copy, want 3", n)
	}
}

func unmoved(s *suite) {
	s.insert(s.event("evt_1", "1"))
	s.finish(s.one(lease), inbound.Applied, time.Time{})
	time.Sleep(20 * time.Millisecond)
	f := inbound.Filter{Unmoved: time.Now()}
	time.Sleep(20 * time.Millisecond)
	act := func(moved, skipped int) {
		s.Helper()
		done, err := s.Act(s.ctx(), inbound.ActReplay, f, "ann")
		if err != nil || len(done.Moved) != moved || done.Skipped != skipped {
			s.Errorf("%d moved, %d skipped, %v, want %d and %d", len(done.Moved), done.Skipped, err, moved, skipped)
		}
	}
	act(1, 0)
	s.finish(s.one(lease), inbound.Applied, time.Time{})
	act(0, 1) // it moved since the operation began
	f.Unmoved = time.Time{}
	act(1, 0)
}

// meant: where a state or a reason selects, an action leaves the other deliveries of
// an event alone, even if it could move them.
func meant(s *suite) {
	e := s.event("evt_1", "1")
	s.insert(e, "hook", "hook/b", "hook/c")
	items, _, err := s.Claim(s.ctx(), map[string]int{"hook": 1, "hook/b": 1}, lease)
	if err != nil || len(items) != 2 {
		s.Fatalf("%d claimed, %v", len(items), err)
	}
	for _, it := range items {
		s.finish(it, map[string]inbound.State{"hook": inbound.Applied, "hook/b": inbound.Failed}[it.Target], time.Time{})
	}
	for _, step := range []struct {
		action inbound.Action
		f      inbound.Filter
		want   string // hook, hook/b, hook/c afterwards
	}{
		{inbound.ActReplay, inbound.Filter{State: inbound.Failed}, "applied received received"},
		{inbound.ActReplay, inbound.Filter{State: inbound.Received}, "applied received received"},
		{inbound.ActDiscard, inbound.Filter{Error: "REPLAY"}, "applied ignored received"},
		{inbound.ActReplay, inbound.Filter{IDs: []string{e.ID}, Error: "because APPLIED"}, "received ignored received"},
		{inbound.ActRelease, inbound.Filter{}, "received received received"},
	} {
		done, err := s.Act(s.ctx(), step.action, step.f, "ann")
		if err != nil || len(done.Moved)+done.Skipped != 3 || done.Events != 1 {
			s.Fatalf("%s of %+v: %+v, %v", step.action, step.f, done, err)
		}
		got := map[string]inbound.State{}
		for _, d := range s.show(e.ID).Deliveries {
			got[d.Target] = d.State
		}
		if text := fmt.Sprint(got["hook"], " ", got["hook/b"], " ", got["hook/c"]); text != step.want {
			s.Errorf("%s of %+v: %s, want %s", step.action, step.f, text, step.want)
		}
	}
}

func fromTheOldest(s *suite) {
	var want, got []string
	for i := range 5 {
		e := s.event(fmt.Sprintf("evt_%d", i), "body")
		s.insert(e)
		want = append(want, e.ID)
	}
	f := inbound.Filter{Oldest: true, Limit: 2}
	for _, n := range []int{2, 2, 1} {
		done, err := s.Act(s.ctx(), inbound.ActDiscard, f, "ann")
		if err != nil || done.Events != n || (done.Next == "") != (n == 1) {
			s.Fatalf("%+v, %v, want %d events", done, err, n)
		}
		for _, m := range done.Moved {
			got = append(got, m.Event)
		}
		f.Cursor = done.Next
	}
	if !slices.Equal(got, want) {
		s.Errorf("done to %v, want %v", got, want)
	}
}

// conflictFor: a conflict is one for the targets that it is meant for, or for all if
// it is meant for none.
func conflictFor(s *suite) {
	s.insert(s.event("evt_1", "one"))
	for _, test := range []struct {
		body   string
		states [2]inbound.State
		want   string
	}{
		{"two", [2]inbound.State{"", inbound.Ignored}, "conflict ignored not for it"},
		{"three", [2]inbound.State{inbound.Quarantined, inbound.Ignored}, "conflict ignored not for it"},
		{"four", [2]inbound.State{inbound.Ignored, inbound.Ignored}, "conflict conflict "},
	} {
		e := s.event("evt_1", test.body)
		a := &inbound.Arrival{Event: e, To: []inbound.Placement{{Target: "hook", State: test.states[0]}, {Target: "hook/b", State: test.states[1], Reason: "not for it"}}}
		if err := s.Insert(s.ctx(), a); err != nil || a.What != inbound.Conflicted {
			s.Fatalf("%+v, %v", a, err)
		}
		r := s.show(e.ID)
		slices.SortFunc(r.Deliveries, func(a, b inbound.DeliveryStatus) int { return strings.Compare(a.Target, b.Target) })
		if got := fmt.Sprint(r.Deliveries[0].State, " ", r.Deliveries[1].State, " ", r.Deliveries[1].Reason); got != test.want || r.Status != inbound.Conflict {
			s.Errorf("%s: %s, %s, want %s", test.body, got, r.Status, test.want)
		}
	}
}
