package main

import (
	"net/http"

	"github.com/postern-proxy/postern/e2e/receiver"
)

// tellWebhooks is the account of the webhooks.
func (s *stage) tellWebhooks(in *incoming) {
	a, k := s.account, in.killed
	a.title("Webhooks that are not Stripe's")
	for _, r := range in.refused {
		a.check(r.what, r.status == http.StatusUnauthorized, "%d", r.status)
	}
	a.title("Webhooks from Stripe, through a kill -9")
	a.line("When pid %d was killed %d of %d events were acknowledged, %d were applied, and %s under way. %s no 200 and had to be sent again. Postern was ready again after %s.",
		k.pid, k.acknowledged, events, k.applied, plural(k.inFlight, "delivery was", "deliveries were"), plural(in.sender.lost, "post got", "posts got"), short(k.to.Sub(k.from)))
	a.blank()
	applied, stored := 0, map[string]bool{}
	for _, e := range in.listed {
		stored[e.EventID] = true
		if e.Status == "applied" {
			applied++
		}
	}
	t := s.tally(in)
	a.check("acknowledged", in.sender.acknowledged() == events, "%d of %d", in.sender.acknowledged(), events)
	a.check("duplicates, acknowledged too", in.known == in.duplicates, "%d of %d", in.known, in.duplicates)
	a.check("stored", len(in.listed) == events && len(stored) == events, "%d", len(in.listed))
	a.check("applied, says the inbox", applied == events, "%d", applied)
	a.check("applied, says the application", s.app.applied() == events && t.pairs == events, "%d, each by one Postern-Event-Id", s.app.applied())
	a.check("with the bytes that were sent", t.same == len(in.delivered), "%d of %d deliveries", t.same, len(in.delivered))
	a.check("delivered again after a 200", t.strange == 0, "%d over the kill, %d otherwise", t.repeated, t.strange)
	a.blank()
	a.line("Of %d deliveries %d were applied, %d put off by the application with a 503, and %d known to it by their Postern-Event-Id: the kill came before its answer was on record.",
		len(in.delivered), t.applied, t.putOff, t.repeated+t.strange)
}

// tally is what the deliveries add up to.
type tally struct {
	applied, putOff, repeated, strange int // deliveries; repeated ones have the kill as their reason, strange ones have not
	same                               int // deliveries with the very bytes
	pairs                              int // Stripe's ids with exactly one Postern-Event-Id
}

func (s *stage) tally(in *incoming) (t tally) {
	bodies, own, last := map[string]string{}, map[string]map[string]bool{}, map[string]receiver.Delivery{}
	for n := 1; n <= events; n++ {
		bodies[eventID(n)] = event(n)
	}
	for _, d := range in.delivered {
		if string(d.Body) == bodies[d.ID] {
			t.same++
		}
		if own[d.ID] == nil {
			own[d.ID] = map[string]bool{}
		}
		own[d.ID][d.Event] = true
		first, known := last[d.Event]
		switch {
		case d.Status/100 != 2:
			t.putOff++
		case !known:
			t.applied++
			last[d.Event] = d
		case !first.Arrived.After(in.killed.to) && !d.Arrived.Before(in.killed.from):
			t.repeated++
		default:
			t.strange++
		}
	}
	for id, set := range own {
		if len(set) == 1 && !set[""] && bodies[id] != "" {
			t.pairs++
		}
	}
	return t
}
