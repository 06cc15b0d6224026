package storetest

import (
	"slices"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

func placements(s *suite) {
	first, second := s.event("evt_1", "one"), s.event("evt_2", "two")
	second.Parent, second.Misfit = first.ID, "f00d"
	second.Proof = inbound.Proof{Scheme: "stripe", Key: "01020304", Signed: time.Unix(1700000000, 0).UTC(), Partial: true, Late: true}
	soon := time.Now().Add(time.Hour)
	all := []*inbound.Arrival{
		{Event: first, To: inbound.To("hook")},
		{Event: second, To: []inbound.Placement{
			{Target: "hook", State: inbound.Quarantined, Reason: "it does not fit", Origin: inbound.Backfill},
			{Target: "hook/b", State: inbound.Ignored, Reason: "not for this target"},
			{Target: "hook/c", Due: soon},
		}},
		{Event: s.event("evt_1", "one"), To: inbound.To("hook")},
	}
	if err := s.Insert(s.ctx(), all...); err != nil {
		s.Fatal(err)
	}
	for i, want := range []inbound.Insertion{inbound.Stored, inbound.Stored, inbound.Duplicate} {
		if all[i].What != want {
			s.Errorf("arrival %d: %v, want %v", i, all[i].What, want)
		}
	}
	if all[2].ID != first.ID {
		s.Errorf("the duplicate is of %s, want %s", all[2].ID, first.ID)
	}
	r, err := s.Show(s.ctx(), second.ID)
	if err != nil {
		s.Fatal(err)
	}
	if r.Parent != first.ID || r.Misfit != "f00d" || r.Proof != second.Proof {
		s.Errorf("parent %q, misfit %q, proof %+v", r.Parent, r.Misfit, r.Proof)
	}
	want := []inbound.DeliveryStatus{
		{Target: "hook", State: inbound.Quarantined, Origin: inbound.Backfill, Reason: "it does not fit"},
		{Target: "hook/b", State: inbound.Ignored, Origin: inbound.Push, Reason: "not for this target"},
		{Target: "hook/c", State: inbound.Received, Origin: inbound.Push},
	}
	got := slices.Clone(r.Deliveries)
	if len(got) == 3 && got[2].Due.Sub(soon).Abs() > 5*time.Second {
		s.Errorf("due %v, want %v", got[2].Due, soon)
	}
	for i := range got {
		got[i].Due = time.Time{}
	}
	if !slices.Equal(got, want) {
		s.Errorf("deliveries %+v", got)
	}
	items, _, err := s.Claim(s.ctx(), map[string]int{"hook": 10, "hook/b": 10, "hook/c": 10}, time.Minute)
	if err != nil || len(items) != 1 || items[0].Work.Event.ID != first.ID {
		s.Errorf("claimed %+v, %v", items, err)
	}
	bad := &inbound.Arrival{Event: s.event("evt_3", "three"), To: []inbound.Placement{{Target: "hook", State: inbound.Applied}}}
	if err := s.Insert(s.ctx(), bad); err == nil {
		s.Error("a delivery began as applied")
	}
}
