package storetest

import "github.com/postern-proxy/postern/inbound"

// listed returns an event of a provider's list.
func (s *suite) listed(eventID, body string) *inbound.Arrival {
	e := s.event(eventID, body)
	e.Proof = inbound.Proof{Scheme: "api"}
	return &inbound.Arrival{Event: e, To: []inbound.Placement{{Target: "hook", Origin: inbound.Backfill}}, Listed: true}
}

// backfill: a list and a push of one event may have other bodies, and are one
// event, whichever is first.
func backfill(s *suite) {
	put := func(a *inbound.Arrival) *inbound.Arrival {
		s.Helper()
		if err := s.Insert(s.ctx(), a); err != nil {
			s.Fatal(err)
		}
		return a
	}
	pushed := func(e *inbound.Event) *inbound.Arrival {
		return &inbound.Arrival{Event: e, To: inbound.To("hook")}
	}
	first := s.event("evt_1", "pushed")
	put(pushed(first))
	if a := put(s.listed("evt_1", "listed")); a.ID != first.ID || a.What != inbound.Duplicate || a.Backfilled {
		s.Errorf("a list names what was pushed: %+v", a)
	}
	found := put(s.listed("evt_2", "listed"))
	if found.What != inbound.Stored || found.ID != found.Event.ID {
		s.Fatalf("a list names what is not there: %+v", found)
	}
	if a := put(found); a.What != inbound.Stored || a.ID != found.Event.ID {
		s.Errorf("asked again by who did not hear the answer: %+v", a)
	}
	for body, e := range map[string]*inbound.Event{"another": s.event("evt_2", "pushed"), "the same": s.event("evt_2", "listed")} {
		if a := put(pushed(e)); a.What != inbound.Duplicate || a.ID != found.ID || !a.Backfilled {
			s.Errorf("pushed late, %s body: %+v", body, a)
		}
	}
	if a := put(s.listed("evt_2", "listed again")); a.What != inbound.Duplicate || a.ID != found.ID {
		s.Errorf("listed again: %+v", a)
	}
	if _, what := s.insert(s.event("evt_1", "another push")); what != inbound.Conflicted {
		s.Errorf("two pushes with one id and two bodies: %v", what)
	}
	both := []*inbound.Arrival{s.listed("evt_3", "one"), s.listed("evt_3", "two")}
	if err := s.Insert(s.ctx(), both...); err != nil || both[0].What != inbound.Stored || both[1].What != inbound.Duplicate || both[1].ID != both[0].ID {
		s.Errorf("twice on one page: %+v, %+v, %v", both[0], both[1], err)
	}
	origins := map[inbound.Origin]int{}
	for _, it := range s.claim(10, lease) {
		origins[it.Work.Origin]++
	}
	if origins[inbound.Push] != 1 || origins[inbound.Backfill] != 2 {
		s.Errorf("due are %v", origins)
	}
}
