package storetest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
)

// stood is a delivery as the model of standings knows it. Times are counted: each
// operation is one later than that before it, and what is far away is due in an hour.
type stood struct {
	id    string
	place int // in the order of arrival
	state inbound.State
	stand inbound.Standing
	due   int
	rank  inbound.Rank
	claim queue.Item[inbound.Delivery]
}

const farAway = 1 << 30

// standLine is a lane with what has stepped aside, what holds it, and its mark.
type standLine struct {
	all  []*stood
	head *stood
	mark inbound.Mark
}

func (l *standLine) holder() bool {
	return slices.ContainsFunc(l.all, func(e *stood) bool { return e.state == inbound.Failed && e.stand == inbound.Holding })
}

// settle finds who leads after a change at now.
func (l *standLine) settle(now int) {
	h := l.head
	if h != nil && h.state.Open() && (h.state == inbound.Processing || h.due <= now) {
		return
	}
	if l.head = nil; l.holder() {
		return
	}
	var next, aside *stood
	for _, e := range l.all {
		switch {
		case !e.state.Open():
		case e.stand == inbound.InLine && next == nil:
			next = e
		case e.stand == inbound.Aside && (aside == nil || e.due < aside.due):
			aside = e
		}
	}
	if next == nil || aside != nil && aside.due < next.due {
		next = aside
	}
	if l.head = next; next != nil && next != h {
		next.due = max(next.due, now)
	}
}

// standMachine makes moves in a store and in the model.
type standMachine struct {
	*suite
	target string
	now    int
	lines  map[string]*standLine
	byID   map[string]*stood
	lane   map[string]string // by id
	places int
}

// standModel makes random moves of lanes whose deliveries step aside, hold them, are
// swept, replayed, given up and deleted, and whose events have ranks. At each claim
// exactly those that lead and are due are claimed, and each of them knows of its lane
// what is so.
func standModel(s *suite) {
	runs := 0
	rapid.Check(s.T, func(t *rapid.T) {
		runs++
		m := &standMachine{suite: s, target: fmt.Sprintf("stands%d", runs), lines: map[string]*standLine{"a": {}, "b": {}}, byID: map[string]*stood{}, lane: map[string]string{}}
		move := func(do func(*rapid.T)) func(*rapid.T) {
			return func(t *rapid.T) { m.now++; do(t) }
		}
		t.Repeat(map[string]func(*rapid.T){
			"insert": move(m.insertSome), "claim": move(m.claimSome), "claim more": move(m.claimSome), "finish": move(m.finishOne), "finish more": move(m.finishOne),
			"give back": move(m.giveBack), "act": move(m.actSome), "sweep": move(m.sweepOne), "prune": move(m.pruneAll),
		})
	})
}

// drawRank is one of few, so that many are equal.
func drawRank(t *rapid.T) inbound.Rank {
	n, gone := rapid.IntRange(1, 4).Draw(t, "n"), rapid.IntRange(0, 3).Draw(t, "gone") == 0
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0, 1:
		return ""
	case 2:
		return inbound.TimeRank(time.Unix(int64(n), 0), gone)
	}
	return inbound.SequenceRank(fmt.Sprint(n), gone)
}

func (m *standMachine) insertSome(t *rapid.T) {
	var all []*inbound.Arrival
	for range rapid.IntRange(1, 3).Draw(t, "together") {
		e := m.event("", "body")
		e.EventID, e.Lane, e.Rank = m.target+e.ID, rapid.SampledFrom([]string{"a", "a", "b"}).Draw(t, "lane"), drawRank(t)
		a := &inbound.Arrival{Event: e, To: inbound.To(m.target), Keep: time.Hour}
		if rapid.IntRange(0, 5).Draw(t, "debounced") == 0 {
			a.To[0].Due = time.Now().Add(time.Hour)
		}
		all = append(all, a)
	}
	if err := m.Insert(m.ctx(), all...); err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		e, l := a.Event, m.lines[a.Event.Lane]
		m.places++
		entry := &stood{id: e.ID, place: m.places, state: inbound.Received, due: m.now, rank: e.Rank}
		m.byID[e.ID], m.lane[e.ID] = entry, e.Lane
		l.all = append(l.all, entry)
		old := l.mark.Seen.Over(e.Rank)
		if old != (a.Old == 1) {
			t.Fatalf("%s of rank %q is old: %d, after %+v", e.ID, e.Rank, a.Old, l.mark)
		}
		if old {
			entry.state = inbound.Ignored
			continue
		}
		if e.Rank != "" && l.mark.Seen != e.Rank {
			l.mark.Seen, l.mark.SeenEvent = e.Rank, e.ID
		}
		if !a.To[0].Due.IsZero() {
			entry.due = farAway + m.now
		}
		switch {
		case l.head == nil && !l.holder():
			l.head = entry
		case l.head != nil && l.head.stand == inbound.Aside:
			l.settle(m.now)
		}
	}
}

func (m *standMachine) claimSome(t *rapid.T) {
	var want, got []string
	for _, l := range m.lines {
		if h := l.head; h != nil && h.state != inbound.Processing && h.due <= m.now {
			want = append(want, h.id)
		}
	}
	items, _, err := m.Claim(m.ctx(), map[string]int{m.target: 10}, lease)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		got = append(got, it.Work.Event.ID)
		if e := m.byID[it.Work.Event.ID]; e != nil {
			e.state, e.claim = inbound.Processing, it
		}
	}
	slices.Sort(want)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Fatalf("claimed %v, want %v", got, want)
	}
	for _, id := range got {
		m.knows(t, m.byID[id])
	}
}

// knows checks what a holder is told of its lane.
func (m *standMachine) knows(t *rapid.T, e *stood) {
	got, err := m.Lane(m.ctx(), e.claim.Lease)
	if err != nil {
		t.Fatal(err)
	}
	l, newest := m.lines[m.lane[e.id]], e
	for _, o := range l.all {
		if o.state.Open() && o.place > newest.place {
			newest = o
		}
	}
	if got.Mark != l.mark || got.NewestEvent != newest.id || (got.Newest == got.Place) != (newest == e) {
		t.Fatalf("%s knows %+v, want %+v, newest %s", e.id, got, l.mark, newest.id)
	}
}

// some picks one of the deliveries that are so.
func (m *standMachine) some(t *rapid.T, is func(*stood) bool) *stood {
	var all []*stood
	for _, id := range slices.Sorted(maps.Keys(m.byID)) {
		if e := m.byID[id]; is(e) {
			all = append(all, e)
		}
	}
	if len(all) == 0 {
		t.Skip("there is none")
	}
	return rapid.SampledFrom(all).Draw(t, "delivery")
}

func (m *standMachine) held(t *rapid.T) *stood {
	return m.some(t, func(e *stood) bool { return e.state == inbound.Processing })
}

func (m *standMachine) finishOne(t *rapid.T) {
	e := m.held(t)
	l := m.lines[m.lane[e.id]]
	move := inbound.Move{To: rapid.SampledFrom([]inbound.State{inbound.Applied, inbound.Applied, inbound.Retrying, inbound.Retrying, inbound.Retrying, inbound.Retrying, inbound.Failed, inbound.Ignored, inbound.Quarantined}).Draw(t, "to"), Due: time.Now(), Attempt: e.claim.Work.Attempt}
	e.state, e.due, e.stand = move.To, m.now, inbound.InLine
	switch move.To {
	case inbound.Retrying:
		if rapid.IntRange(0, 3).Draw(t, "in line") > 0 {
			e.stand = inbound.Aside
		}
		if rapid.Bool().Draw(t, "later") {
			move.Due, e.due = move.Due.Add(time.Hour+time.Duration(m.now)*time.Second), farAway+m.now
		}
	case inbound.Failed:
		if rapid.Bool().Draw(t, "holds") {
			e.stand = inbound.Holding
		}
	case inbound.Applied:
		if rapid.Bool().Draw(t, "reached") {
			move.Reached = &inbound.Reached{Rank: e.rank, State: rapid.SampledFrom([]string{"", "etag 1", "etag 2"}).Draw(t, "state"), Keep: time.Hour}
			l.reach(e, move.Reached)
		}
	}
	move.Stand = e.stand
	if err := m.Finish(m.ctx(), e.claim.Lease, move); err != nil {
		t.Fatal(err)
	}
	l.settle(m.now)
}

// reach raises the mark by what is applied.
func (l *standLine) reach(e *stood, r *inbound.Reached) {
	if up := l.mark.Seen.Raised(r.Rank); up != l.mark.Seen {
		l.mark.Seen, l.mark.SeenEvent = up, e.id
	}
	if up := l.mark.Applied.Raised(r.Rank); up != l.mark.Applied {
		l.mark.Applied, l.mark.AppliedEvent = up, e.id
	}
	if r.State != "" {
		l.mark.State = r.State
	}
}

func (m *standMachine) giveBack(t *rapid.T) {
	e := m.held(t)
	if err := m.Release(m.ctx(), []queue.Lease{e.claim.Lease}); err != nil {
		t.Fatal(err)
	}
	if e.state, e.due = inbound.Received, m.now; e.claim.Work.Attempt > 1 {
		e.state = inbound.Retrying
	}
}

func (m *standMachine) sweepOne(t *rapid.T) {
	e := m.held(t)
	l := m.lines[m.lane[e.id]]
	upTo := rapid.SampledFrom(l.all).Draw(t, "up to")
	place, err := m.Lane(m.ctx(), e.claim.Lease)
	if err != nil {
		t.Fatal(err)
	}
	// Stores count places as they like: those of the holder and of the newest are known.
	limit := place.Place
	if upTo.place > e.place {
		limit = place.Newest
		upTo = l.all[len(l.all)-1]
	} else {
		upTo = e
	}
	moved, err := m.Sweep(m.ctx(), e.claim.Lease, limit, "overtaken: by another")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, made := range moved {
		got = append(got, made.Event)
	}
	for _, o := range l.all {
		if o != e && o.state.Open() && o.state != inbound.Processing && o.place <= upTo.place {
			want = append(want, o.id)
			o.state, o.stand, o.due = inbound.Ignored, inbound.InLine, m.now
		}
	}
	slices.Sort(got)
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Fatalf("swept %v, want %v", got, want)
	}
}

func (m *standMachine) actSome(t *rapid.T) {
	a := rapid.SampledFrom([]inbound.Action{inbound.ActReplay, inbound.ActDiscard, inbound.ActRelease}).Draw(t, "action")
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(m.byID)) {
		if rapid.IntRange(0, 3).Draw(t, "chosen") == 0 {
			ids = append(ids, id)
		}
	}
	if ids == nil {
		t.Skip("nothing is selected")
	}
	if _, err := m.Act(m.ctx(), a, inbound.Filter{IDs: ids, Limit: inbound.MaxPage}, "ann"); err != nil {
		t.Fatal(err)
	}
	touched := map[*standLine]bool{}
	for _, id := range ids {
		e, l := m.byID[id], m.lines[m.lane[id]]
		to, ok := a.Move(e.state)
		if !ok {
			continue
		}
		if l.head == e {
			l.head = nil
		}
		e.state, e.stand, e.due = to, inbound.InLine, m.now
		touched[l] = true
	}
	for l := range touched {
		l.settle(m.now)
	}
}

// pruneAll deletes what is done with. Marks stay, and so does what holds a lane.
func (m *standMachine) pruneAll(t *rapid.T) {
	time.Sleep(time.Millisecond)
	if _, err := m.Prune(m.ctx(), time.Now(), 1000); err != nil {
		t.Fatal(err)
	}
	for _, l := range m.lines {
		l.all = slices.DeleteFunc(l.all, func(e *stood) bool {
			done := !e.state.Open() && e.stand != inbound.Holding
			if done {
				delete(m.byID, e.id)
			}
			return done
		})
	}
}
