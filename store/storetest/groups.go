package storetest

import (
	"strings"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

func groups(s *suite) {
	put := func(id, webhook, kind, misfit string, at time.Time, state inbound.State) *inbound.Event {
		e := s.event(id, id)
		e.Webhook, e.Type, e.Misfit, e.Received = webhook, kind, misfit, at.Truncate(time.Microsecond)
		a := &inbound.Arrival{Event: e, To: []inbound.Placement{{Target: webhook}, {Target: webhook + "/b", State: state, Reason: "does not fit: " + misfit + " " + id}}}
		if err := s.Insert(s.ctx(), a); err != nil {
			s.Fatal(err)
		}
		return e
	}
	now := time.Now()
	first := put("1", "hook", "a", "f00d", now.Add(-3*time.Minute), inbound.Quarantined)
	put("2", "hook", "a", "beef", now.Add(-2*time.Minute), inbound.Quarantined)
	last := put("3", "hook", "a", "f00d", now.Add(-time.Minute), inbound.Quarantined)
	put("4", "other", "a", "f00d", now, inbound.Quarantined)
	put("5", "hook", "b", "f00d", now, inbound.Quarantined)
	put("6", "hook", "a", "f00d", now, inbound.Received) // observed
	put("7", "hook", "a", "", now, inbound.Quarantined)  // for another reason
	got, err := s.Groups(s.ctx(), inbound.Filter{})
	if err != nil || len(got) != 4 {
		s.Fatalf("%+v, %v", got, err)
	}
	want := inbound.Group{Webhook: "hook", Type: "a", Misfit: "f00d", Count: 2, First: first.Received, Last: last.Received, Example: last.ID, Reason: "does not fit: f00d 3"}
	g := got[0]
	if !g.First.Equal(want.First) || !g.Last.Equal(want.Last) {
		s.Errorf("from %v to %v", g.First, g.Last)
	}
	if g.First, g.Last = want.First, want.Last; g != want {
		s.Errorf("%+v instead of %+v", g, want)
	}
	for _, c := range []struct {
		f    inbound.Filter
		n    int
		list int
	}{
		{inbound.Filter{Misfit: "f00d"}, 3, 5},
		{inbound.Filter{Misfit: "f00d", Webhooks: []string{"hook"}}, 2, 4},
		{inbound.Filter{Misfit: "f00d", State: inbound.Quarantined}, 3, 4},
		{inbound.Filter{Type: "b"}, 1, 1},
		{inbound.Filter{Since: now.Add(-90 * time.Second)}, 3, 5},
		{inbound.Filter{Misfit: "none"}, 0, 0},
	} {
		got, err := s.Groups(s.ctx(), c.f)
		if err != nil || len(got) != c.n {
			s.Errorf("%+v: %d groups, %v", c.f, len(got), err)
		}
		page, err := s.List(s.ctx(), c.f)
		if err != nil || len(page.Events) != c.list {
			s.Errorf("%+v: %d events, %v", c.f, len(page.Events), err)
		}
	}
	var ids []string
	for f := (inbound.Filter{State: inbound.Quarantined, Misfit: "f00d", Oldest: true, Limit: 2}); ; {
		page, err := s.List(s.ctx(), f)
		if err != nil || len(page.Events) > 2 {
			s.Fatalf("%d events, %v", len(page.Events), err)
		}
		for _, e := range page.Events {
			ids = append(ids, e.EventID)
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	if got := strings.Join(ids, " "); got != "1 3 4 5" {
		s.Errorf("from the oldest on: %s", got)
	}
	if _, err := s.Act(s.ctx(), inbound.ActRelease, inbound.Filter{Misfit: "f00d", Webhooks: []string{"hook"}, Type: "a"}, "somebody"); err != nil {
		s.Fatal(err)
	}
	if got, err := s.Groups(s.ctx(), inbound.Filter{}); err != nil || len(got) != 3 {
		s.Errorf("after a release: %+v, %v", got, err)
	}
}
