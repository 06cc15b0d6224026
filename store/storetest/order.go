package storetest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
)

// orderTests are the promises about who leads a lane, and about its mark.
var orderTests = []laneTest{
	{"one that steps aside lets the others go on", asideGoesOn},
	{"one that stepped aside has its turn when it is due", asideTurn},
	{"one that stepped aside is attempted while no other of its lane is", asideAlone},
	{"a newcomer goes before one that stepped aside", asideNewcomer},
	{"a replay is in line again", asideReplay},
	{"one that failed holds its lane until a person decides", holdUntil},
	{"what holds a lane is not deleted", holdKept},
	{"an older event is not delivered", markOlder},
	{"an event of the same rank is", markEqual},
	{"an event without a rank is", markNone},
	{"what is gone is not revived", markGone},
	{"ranks of another kind begin anew", markKinds},
	{"each target and lane has a mark of its own", markApart},
	{"what is not delivered raises no mark", markHeldBack},
	{"a repeat raises no mark and meets none", markRepeat},
	{"events that come together are as if they came one by one", markTogether},
	{"an applied delivery raises the mark", markApplied},
	{"a lost lease raises no mark", lostMark},
	{"a mark outlives the events, for its time", markOutlives},
	{"a holder learns about its lane", laneKnown},
	{"a holder sweeps its lane", laneSwept},
}

// ranked inserts an event of lane a with this rank.
func (s *suite) ranked(rank inbound.Rank, change ...func(*inbound.Arrival)) *inbound.Arrival {
	s.Helper()
	e := s.event("", "body")
	e.EventID, e.Lane, e.Rank = "evt_"+e.ID, "a", rank
	a := &inbound.Arrival{Event: e, To: inbound.To("hook"), Keep: time.Hour}
	for _, c := range change {
		c(a)
	}
	if err := s.Insert(s.ctx(), a); err != nil {
		s.Fatal(err)
	}
	return a
}

// begun checks that the only delivery of an arrival began as received, or as
// ignored because of another.
func (s *suite) begun(a *inbound.Arrival, because *inbound.Arrival) {
	s.Helper()
	d := s.show(a.ID).Deliveries[0]
	switch {
	case because == nil && (d.State != inbound.Received || a.Old != 0):
		s.Errorf("%s (%s) began as %s, %q, old %d", a.ID, a.Event.Rank, d.State, d.Reason, a.Old)
	case because != nil && (d.State != inbound.Ignored || d.Reason != inbound.StaleReason(because.ID) || a.Old != 1):
		s.Errorf("%s (%s) began as %s, %q, old %d, want ignored because of %s", a.ID, a.Event.Rank, d.State, d.Reason, a.Old, because.ID)
	}
}

func sequence(n string) inbound.Rank { return inbound.SequenceRank(n, false) }

func (s *suite) aside(it queue.Item[inbound.Delivery], due time.Time) {
	s.Helper()
	s.finishes(it, inbound.Move{To: inbound.Retrying, Stand: inbound.Aside, Due: due})
}

func (s *suite) finishes(it queue.Item[inbound.Delivery], m inbound.Move) {
	s.Helper()
	m.Attempt = it.Work.Attempt
	if err := s.Finish(s.ctx(), it.Lease, m); err != nil {
		s.Fatal(err)
	}
}

// stand checks how many events are in a state, by the totals and by the list.
func (s *suite) stand(in inbound.State, want int) {
	s.Helper()
	stats, err := s.Stats(s.ctx())
	if err != nil {
		s.Fatal(err)
	}
	n := 0
	for _, st := range stats {
		if st.State == in {
			n += st.Count
		}
	}
	page, err := s.List(s.ctx(), inbound.Filter{State: in})
	if err != nil || n != want || len(page.Events) != want {
		s.Errorf("%s: %d in the totals, %d in the list, %v, want %d", in, n, len(page.Events), err, want)
	}
}

func asideGoesOn(s *suite) {
	ids, later := s.line("a", 3), time.Now().Add(time.Hour)
	s.aside(s.takes(ids[0])[0], later)
	if d := s.show(ids[0]).Deliveries[0]; d.Stand != inbound.Aside {
		s.Errorf("it stands %d", d.Stand)
	}
	s.aside(s.takes(ids[1])[0], later.Add(time.Hour))
	s.stand(inbound.Retrying, 2)
	s.stand(inbound.Received, 1)
	s.finish(s.takes(ids[2])[0], inbound.Applied, time.Time{})
	s.takes()
	s.stand(inbound.Retrying, 2)
	_, next, err := s.Claim(s.ctx(), map[string]int{"hook": 1}, lease)
	if err != nil || next.Sub(later).Abs() > 50*time.Millisecond {
		s.Errorf("next %v, %v, want %v", next, err, later)
	}
}

func asideTurn(s *suite) {
	ids := s.line("a", 4)
	s.aside(s.takes(ids[0])[0], time.Now().Add(2*blink))
	second := s.takes(ids[1])[0]
	time.Sleep(3 * blink)
	s.takes() // it is due, and another of its lane is attempted
	s.finish(second, inbound.Applied, time.Time{})
	// The third has waited for longer.
	s.finish(s.takes(ids[2])[0], inbound.Applied, time.Time{})
	s.finish(s.takes(ids[3])[0], inbound.Applied, time.Time{})
	it := s.takes(ids[0])[0]
	s.finish(it, inbound.Applied, time.Time{})
	if d := s.show(ids[0]).Deliveries[0]; d.Stand != inbound.InLine || it.Work.Attempt != 2 {
		s.Errorf("it stands %d after attempt %d", d.Stand, it.Work.Attempt)
	}
}

func asideAlone(s *suite) {
	ids := s.line("a", 3)
	for _, id := range ids {
		s.aside(s.takes(id)[0], time.Now().Add(blink))
	}
	time.Sleep(2 * blink)
	last := s.line("a", 1)[0]
	for _, id := range append(ids, last) { // the longest due first
		s.finish(s.takes(id)[0], inbound.Applied, time.Time{})
	}
	s.takes()
}

func asideNewcomer(s *suite) {
	id := s.line("a", 1)[0]
	s.aside(s.takes(id)[0], time.Now().Add(time.Hour))
	s.takes()
	more := s.line("a", 2)
	s.finish(s.takes(more[0])[0], inbound.Applied, time.Time{})
	s.finish(s.takes(more[1])[0], inbound.Applied, time.Time{})
	if d := s.show(id).Deliveries[0]; d.State != inbound.Retrying || time.Until(d.Due) < time.Minute {
		s.Errorf("%s, due %v", d.State, d.Due)
	}
}

func asideReplay(s *suite) {
	ids := s.line("a", 3)
	s.aside(s.takes(ids[0])[0], time.Now().Add(time.Hour))
	second := s.takes(ids[1])[0]
	s.act(inbound.ActDiscard, ids[0])
	s.act(inbound.ActRelease, ids[0])
	if d := s.show(ids[0]).Deliveries[0]; d.Stand != inbound.InLine || d.State != inbound.Received {
		s.Errorf("it is %s and stands %d", d.State, d.Stand)
	}
	s.finish(second, inbound.Applied, time.Time{})
	s.finish(s.takes(ids[0])[0], inbound.Applied, time.Time{})
	s.takes(ids[2])
}

func holdUntil(s *suite) {
	for _, decide := range []inbound.Action{inbound.ActReplay, inbound.ActDiscard} {
		ids := s.line("a", 2)
		other := s.line("b", 1)[0]
		items := s.takes(ids[0], other)
		s.finishes(items[0], inbound.Move{To: inbound.Failed, Stand: inbound.Holding})
		s.finish(items[1], inbound.Applied, time.Time{})
		ids = append(ids, s.line("a", 1)...)
		s.takes()
		if d := s.show(ids[0]).Deliveries[0]; d.Stand != inbound.Holding {
			s.Errorf("it stands %d", d.Stand)
		}
		s.act(decide, ids[0])
		if decide == inbound.ActReplay {
			s.finish(s.takes(ids[0])[0], inbound.Applied, time.Time{})
		}
		s.finish(s.takes(ids[1])[0], inbound.Applied, time.Time{})
		s.finish(s.takes(ids[2])[0], inbound.Applied, time.Time{})
	}
}

func holdKept(s *suite) {
	ids := s.line("a", 2)
	s.finishes(s.takes(ids[0])[0], inbound.Move{To: inbound.Failed, Stand: inbound.Holding})
	if n, err := s.Prune(s.ctx(), time.Now().Add(time.Minute), 10); n != 0 || err != nil {
		s.Errorf("%d deleted, %v", n, err)
	}
	s.act(inbound.ActDiscard, ids[0])
	if n, err := s.Prune(s.ctx(), time.Now().Add(time.Minute), 10); n != 1 || err != nil {
		s.Errorf("%d deleted, %v", n, err)
	}
	s.takes(ids[1])
}

func markOlder(s *suite) {
	first := s.ranked(sequence("9007199254740993"))
	s.begun(s.ranked(sequence("9007199254740992")), first)
	second := s.ranked(sequence("10000000000000000"))
	s.begun(s.ranked(sequence("9007199254740993")), second)
	s.begun(first, nil)
	s.finish(s.takes(first.ID)[0], inbound.Applied, time.Time{})
	s.finish(s.takes(second.ID)[0], inbound.Applied, time.Time{})
	s.takes()
}

func markEqual(s *suite) {
	s.ranked(sequence("7"))
	s.begun(s.ranked(sequence("7.0")), nil)
}

func markNone(s *suite) {
	first := s.ranked(sequence("7"))
	s.begun(s.ranked(""), nil)
	s.begun(s.ranked(sequence("6")), first)
}

func markGone(s *suite) {
	s.ranked(sequence("5"))
	gone := s.ranked(inbound.SequenceRank("7", true))
	s.begun(gone, nil)
	s.begun(s.ranked(sequence("6")), gone)
	s.begun(s.ranked(sequence("7")), gone)
	s.begun(s.ranked(inbound.SequenceRank("7", true)), nil)
	again := s.ranked(sequence("8"))
	s.begun(again, nil)
	s.begun(s.ranked(inbound.SequenceRank("7", true)), again)
}

func markKinds(s *suite) {
	s.ranked(sequence("7"))
	at := s.ranked(inbound.TimeRank(time.Unix(5, 0), false))
	s.begun(at, nil)
	s.begun(s.ranked(inbound.TimeRank(time.Unix(4, 0), false)), at)
	s.begun(s.ranked(sequence("6")), nil)
}

func markApart(s *suite) {
	s.ranked(sequence("7"))
	s.begun(s.ranked(sequence("6"), func(a *inbound.Arrival) { a.Event.Lane = "b" }), nil)
	s.begun(s.ranked(sequence("6"), func(a *inbound.Arrival) { a.Event.Lane = "" }), nil)
	both := s.ranked(sequence("6"), func(a *inbound.Arrival) { a.To = inbound.To("hook", "hook/b") })
	d := s.show(both.ID).Deliveries
	if d[0].State != inbound.Ignored || d[1].State != inbound.Received || both.Old != 1 {
		s.Errorf("%s and %s, old %d", d[0].State, d[1].State, both.Old)
	}
}

func markHeldBack(s *suite) {
	s.ranked(sequence("9"), func(a *inbound.Arrival) { a.To[0].State = inbound.Quarantined })
	s.ranked(sequence("9"), func(a *inbound.Arrival) { a.To[0].State = inbound.Ignored })
	s.begun(s.ranked(sequence("5")), nil)
}

func markRepeat(s *suite) {
	first := s.ranked(sequence("5"))
	same := func(a *inbound.Arrival) { a.Event.EventID = first.Event.EventID }
	if a := s.ranked(sequence("5"), same); a.What != inbound.Duplicate {
		s.Errorf("%v", a.What)
	}
	other := s.ranked(sequence("9"), same, func(a *inbound.Arrival) { a.Event.SHA256[0]++ })
	if other.What != inbound.Conflicted {
		s.Errorf("%v", other.What)
	}
	second := s.ranked(sequence("6"))
	s.begun(second, nil)
	if a := s.ranked(sequence("5"), same); a.What != inbound.Duplicate || a.ID != first.ID || a.Old != 0 {
		s.Errorf("%v, old %d", a.What, a.Old)
	}
	s.begun(s.ranked(sequence("5.5")), second)
}

func markTogether(s *suite) {
	var all []*inbound.Arrival
	for _, n := range []string{"3", "2", "5", "", "4", "5"} {
		e := s.event("", "body")
		e.EventID, e.Lane, e.Rank = "evt_"+e.ID, "a", sequence(n)
		all = append(all, &inbound.Arrival{Event: e, To: inbound.To("hook"), Keep: time.Hour})
	}
	if err := s.Insert(s.ctx(), all...); err != nil {
		s.Fatal(err)
	}
	for i, because := range []int{-1, 0, -1, -1, 2, -1} {
		if because < 0 {
			s.begun(all[i], nil)
		} else {
			s.begun(all[i], all[because])
		}
	}
	for _, i := range []int{0, 2, 3, 5} {
		s.finish(s.takes(all[i].ID)[0], inbound.Applied, time.Time{})
	}
}

func markApplied(s *suite) {
	// One that was held back and released, so that nothing was seen of it.
	late := s.ranked(sequence("9"), func(a *inbound.Arrival) { a.To[0].State = inbound.Quarantined })
	first, old := s.ranked(sequence("5")), s.ranked(sequence("6"))
	s.finish(s.takes(first.ID)[0], inbound.Failed, time.Time{})
	s.finish(s.takes(old.ID)[0], inbound.Retrying, time.Now())
	s.act(inbound.ActRelease, late.ID)
	it := s.takes(old.ID)[0]
	l, err := s.Lane(s.ctx(), it.Lease)
	if err != nil || l.Applied != "" || l.Seen != sequence("6") || l.State != "" {
		s.Errorf("%+v, %v", l, err)
	}
	s.finishes(it, inbound.Move{To: inbound.Applied, Reached: &inbound.Reached{Rank: sequence("6"), State: "etag\x00", Keep: time.Hour}})
	it = s.takes(late.ID)[0]
	if l, err = s.Lane(s.ctx(), it.Lease); err != nil || l.Applied != sequence("6") || l.AppliedEvent != old.ID || l.State != "etag\x00" {
		s.Errorf("%+v, %v", l, err)
	}
	s.finishes(it, inbound.Move{To: inbound.Failed, Reached: &inbound.Reached{Rank: sequence("99"), Keep: time.Hour}})
	eight := s.ranked(sequence("8"))
	s.begun(eight, nil)
	s.finish(s.takes(eight.ID)[0], inbound.Applied, time.Time{})
	s.act(inbound.ActReplay, late.ID)
	s.finishes(s.takes(late.ID)[0], inbound.Move{To: inbound.Applied, Reached: &inbound.Reached{Rank: sequence("9"), Keep: time.Hour}})
	s.begun(s.ranked(sequence("8.5")), late)
}

// lostMark: whoever finishes after its lease raises no mark.
func lostMark(s *suite) {
	lost := s.takes(s.ranked(sequence("5")).ID)[0]
	if err := s.Release(s.ctx(), []queue.Lease{lost.Lease}); err != nil {
		s.Fatal(err)
	}
	if err := s.Finish(s.ctx(), lost.Lease, inbound.Move{To: inbound.Applied, Attempt: 1, Reached: &inbound.Reached{Rank: sequence("99"), Keep: time.Hour}}); !errors.Is(err, queue.ErrStale) {
		s.Errorf("finished without a lease: %v", err)
	}
	s.begun(s.ranked(sequence("6")), nil)
}

func markOutlives(s *suite) {
	first := s.ranked(sequence("5"))
	brief := s.ranked(sequence("5"), func(a *inbound.Arrival) { a.Event.Lane, a.Keep = "b", blink })
	for _, it := range s.takes(first.ID, brief.ID) {
		s.finish(it, inbound.Applied, time.Time{})
	}
	if n, err := s.Prune(s.ctx(), time.Now().Add(time.Minute), 10); n != 2 || err != nil {
		s.Fatalf("%d deleted, %v", n, err)
	}
	if m, ok := s.Store.(interface{ Maintain() error }); ok {
		if err := m.Maintain(); err != nil {
			s.Fatal(err)
		}
	}
	time.Sleep(2 * blink)
	s.begun(s.ranked(sequence("4")), first)
	after := s.takes(s.ranked("", func(a *inbound.Arrival) { a.Event.Lane = "b" }).ID)[0]
	if l, err := s.Lane(s.ctx(), after.Lease); err != nil || l.Mark != (inbound.Mark{}) {
		s.Errorf("what is over is told as %+v, %v", l.Mark, err)
	}
	s.finish(after, inbound.Applied, time.Time{})
	s.begun(s.ranked(sequence("4"), func(a *inbound.Arrival) { a.Event.Lane = "b" }), nil)
}

func laneKnown(s *suite) {
	ids := s.line("a", 3)
	it := s.takes(ids[0])[0]
	first, err := s.Lane(s.ctx(), it.Lease)
	if err != nil || first.NewestEvent != ids[2] || first.Newest <= first.Place {
		s.Errorf("%+v, %v, want the newest to be %s", first, err, ids[2])
	}
	s.aside(it, time.Now().Add(time.Hour))
	s.act(inbound.ActDiscard, ids[2])
	it = s.takes(ids[1])[0]
	second, err := s.Lane(s.ctx(), it.Lease)
	if err != nil || second.NewestEvent != ids[1] || second.Newest != second.Place || second.Place <= first.Place {
		s.Errorf("%+v, %v, want the newest to be %s", second, err, ids[1])
	}
	s.finish(it, inbound.Applied, time.Time{})
	if _, err := s.Lane(s.ctx(), it.Lease); !errors.Is(err, queue.ErrStale) {
		s.Errorf("a lost lease: %v", err)
	}
	alone := s.line("", 1)[0]
	if l, err := s.Lane(s.ctx(), s.takes(alone)[0].Lease); err != nil || l.NewestEvent != alone || l.Mark != (inbound.Mark{}) {
		s.Errorf("%+v, %v", l, err)
	}
}

func laneSwept(s *suite) {
	ids, other := s.line("a", 6), s.line("b", 1)[0]
	items := s.takes(ids[0], other)
	s.aside(items[0], time.Now().Add(time.Hour))
	second := s.takes(ids[1])[0]
	l, err := s.Lane(s.ctx(), second.Lease)
	if err != nil {
		s.Fatal(err)
	}
	more := s.line("a", 1)[0]
	s.act(inbound.ActDiscard, ids[5])
	moved, err := s.Sweep(s.ctx(), second.Lease, l.Newest, "swept: because")
	if err != nil {
		s.Fatal(err)
	}
	var got []string
	for _, t := range moved {
		got = append(got, t.Event)
		if t.To != inbound.Ignored || t.Reason != "swept: because" || t.Target != "hook" || t.Webhook != "hook" || t.Received.IsZero() {
			s.Errorf("%+v", t)
		}
	}
	slices.Sort(got)
	if want := []string{ids[0], ids[2], ids[3], ids[4]}; !slices.Equal(got, want) {
		s.Errorf("swept %v, want %v", got, want)
	}
	for _, id := range got {
		r := s.show(id)
		if d := r.Deliveries[0]; d.State != inbound.Ignored || d.Stand != inbound.InLine || !strings.HasPrefix(d.Reason, "swept") || r.Trail[len(r.Trail)-1].To != inbound.Ignored {
			s.Errorf("%s: %+v", id, d)
		}
	}
	s.takes()
	s.finish(second, inbound.Applied, time.Time{})
	s.finish(s.takes(more)[0], inbound.Applied, time.Time{})
	s.takes()
	if _, err := s.Sweep(s.ctx(), second.Lease, l.Newest, "x"); !errors.Is(err, queue.ErrStale) {
		s.Errorf("a lost lease: %v", err)
	}
	// Releasing what was swept, it has its turn.
	s.act(inbound.ActRelease, ids[3])
	s.takes(ids[3])
}
