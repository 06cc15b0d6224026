package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

const (
	stepEvents = 800 // some steps of a list
	lastLetter = "a.\U0010ffff"
)

// stepping shows that lists find what matches and nothing else, in both orders and
// page by page, whatever is asked for at once.
func stepping(s *suite) {
	first := time.Now().Add(-stepEvents * time.Minute).Truncate(time.Microsecond)
	r := rand.New(rand.NewPCG(1, 2))
	s.fillSteps(r, first)
	page, err := s.List(s.ctx(), inbound.Filter{Limit: inbound.MaxPage})
	if err != nil || len(page.Events) != stepEvents || page.Next != "" {
		s.Fatalf("%d events, next %q, %v", len(page.Events), page.Next, err)
	}
	all := page.Events
	for range 70 {
		f := someFilter(r, first)
		var want []string
		for i := range all {
			if matches(&f, &all[i]) {
				want = append(want, all[i].ID)
			}
		}
		if n, err := s.Count(s.ctx(), f); err != nil || n.N != len(want) || n.More {
			s.Errorf("%+v: %+v counted instead of %d, %v", f, n, len(want), err)
		}
		s.paged(f, want)
		slices.Reverse(want)
		f.Oldest = true
		s.paged(f, want)
	}
}

// fillSteps stores events, and moves some of their deliveries.
func (s *suite) fillSteps(r *rand.Rand, first time.Time) {
	s.Helper()
	arrivals := make([]*inbound.Arrival, stepEvents)
	for i := range arrivals {
		e := s.event(fmt.Sprintf("evt_%d", i), fmt.Sprint(i))
		e.Webhook, e.Account = pick(r, "hook", "hook", "other", "third"), pick(r, "", "acct_1", "acct_2")
		e.Type = pick(r, "", "a.one", "a.one", "a.two", "a.", "b.one", lastLetter, "é.one", "A.one")
		// Clocks are not quite right.
		e.Received = first.Add(time.Duration(i)*time.Minute + time.Duration(r.IntN(40)-20)*time.Minute)
		p := inbound.Placement{Target: e.Webhook}
		switch r.IntN(12) {
		case 0:
			e.Misfit = pick(r, "f00d", "beef")
			p.State, p.Reason = inbound.Quarantined, "does not Fit: "+e.Misfit
		case 1:
			p.State, p.Reason = inbound.Ignored, "not wanted"
		}
		arrivals[i] = &inbound.Arrival{Event: e, To: []inbound.Placement{p, {Target: e.Webhook + "/b", State: inbound.Ignored}}[:1+r.IntN(2)]}
	}
	for chunk := range slices.Chunk(arrivals, 200) {
		if err := s.Insert(s.ctx(), chunk...); err != nil {
			s.Fatal(err)
		}
	}
	for i, it := range s.claim(60, lease) {
		s.finish(it, []inbound.State{inbound.Applied, inbound.Applied, inbound.Failed, inbound.Retrying}[i%4], time.Now().Add(time.Hour))
	}
	if _, err := s.Act(s.ctx(), inbound.ActDiscard, inbound.Filter{Account: "acct_2", State: inbound.Received, Limit: 150}, "ann"); err != nil {
		s.Fatal(err)
	}
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

// someFilter asks for one to three things.
func someFilter(r *rand.Rand, first time.Time) (f inbound.Filter) {
	at := func() time.Time { return first.Add(time.Duration(r.IntN(stepEvents+100)-50) * time.Minute) }
	for range 1 + r.IntN(3) {
		switch r.IntN(9) {
		case 0:
			f.Webhooks = [][]string{{"hook"}, {"third"}, {"none"}, {"other", "third"}}[r.IntN(4)]
		case 1:
			f.Account = pick(r, "acct_1", "acct_2", "none")
		case 2, 3:
			f.Type = pick(r, "a.one", "b.one", "a.*", "a.o*", "é*", "none.*", "*", "\U0010ffff*", lastLetter+"*", "a*")
		case 4:
			f.Misfit = pick(r, "f00d", "none")
		case 5:
			f.State = inbound.State(pick(r, "received", "retrying", "processing", "applied", "failed", "quarantined", "ignored", "conflict"))
		case 6:
			f.Since = at()
		case 7:
			f.Until = at()
		case 8:
			f.Error = pick(r, "does not fit", "BECAUSE FAILED", "not wanted", "discard", "no such text")
		}
	}
	if r.IntN(20) == 0 {
		f.EventID = fmt.Sprintf("evt_%d", r.IntN(stepEvents))
	}
	f.Limit = []int{7, 50, 300}[r.IntN(3)]
	return f
}

func matches(f *inbound.Filter, r *inbound.Record) bool {
	some := func(is func(*inbound.DeliveryStatus) bool) bool {
		for i := range r.Deliveries {
			if is(&r.Deliveries[i]) {
				return true
			}
		}
		return false
	}
	prefix, many := strings.CutSuffix(f.Type, "*")
	return (len(f.Webhooks) == 0 || slices.Contains(f.Webhooks, r.Webhook)) &&
		(f.Account == "" || f.Account == r.Account) &&
		(f.Type == "" || f.Type == r.Type || many && strings.HasPrefix(r.Type, prefix)) &&
		(f.Misfit == "" || f.Misfit == r.Misfit) &&
		(f.EventID == "" || f.EventID == r.EventID) &&
		(f.Since.IsZero() || !r.Received.Before(f.Since)) &&
		(f.Until.IsZero() || r.Received.Before(f.Until)) &&
		(f.State == "" || some(func(d *inbound.DeliveryStatus) bool { return d.State == f.State })) &&
		(f.Error == "" || some(func(d *inbound.DeliveryStatus) bool {
			return strings.Contains(strings.ToLower(d.Reason), strings.ToLower(f.Error))
		}))
}

// paged compares what the pages of f hold with what they should.
func (s *suite) paged(f inbound.Filter, want []string) {
	s.Helper()
	var got []string
	for pages := 0; ; pages++ {
		page, err := s.List(s.ctx(), f)
		if err != nil || len(page.Events) > f.Limit || pages > stepEvents {
			s.Fatalf("%+v: page %d of %d events, %v", f, pages, len(page.Events), err)
		}
		got = append(got, idsOf(page)...)
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		s.Errorf("%+v:\n%v instead of\n%v", f, got, want)
	}
}
