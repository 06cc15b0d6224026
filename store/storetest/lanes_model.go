package storetest

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"pgregory.net/rapid"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
)

// laneEntry is a delivery as the model knows it.
type laneEntry struct {
	id    string
	state inbound.State
	later bool // due in an hour
	claim queue.Item[inbound.Delivery]
}

// laneLine is a lane as [queue.Source] describes it: its deliveries in the order
// of arrival.
type laneLine struct {
	all  []*laneEntry
	head *laneEntry
}

// settle finds the head after a change.
func (l *laneLine) settle() {
	if h := l.head; h != nil && h.state.Open() && (h.state == inbound.Processing || !h.later) {
		return
	}
	l.head = nil
	for _, e := range l.all {
		if e.state.Open() {
			l.head = e
			return
		}
	}
}

// laneMachine makes moves in a store and in the model.
type laneMachine struct {
	*suite
	target string
	lines  map[string]*laneLine
	byID   map[string]*laneEntry
	lane   map[string]string // by id
}

// laneModel makes random moves and checks at each claim that exactly the heads
// that are due are claimed.
func laneModel(s *suite) {
	runs := 0
	rapid.Check(s.T, func(t *rapid.T) {
		runs++
		m := &laneMachine{s, fmt.Sprintf("lanes%d", runs), map[string]*laneLine{}, map[string]*laneEntry{}, map[string]string{}}
		t.Repeat(map[string]func(*rapid.T){
			"insert": m.insertOne, "claim": m.claimSome, "finish": m.finishOne, "release": m.releaseOne, "act": m.actSome,
		})
	})
}

func (m *laneMachine) insertOne(t *rapid.T) {
	e := m.event("", "body")
	e.EventID, e.Lane = m.target+e.ID, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "lane")
	m.insert(e, m.target)
	l := m.lines[e.Lane]
	if l == nil {
		l = &laneLine{}
		m.lines[e.Lane] = l
	}
	entry := &laneEntry{id: e.ID, state: inbound.Received}
	l.all = append(l.all, entry)
	m.byID[e.ID], m.lane[e.ID] = entry, e.Lane
	l.settle()
}

func (m *laneMachine) claimSome(t *rapid.T) {
	var want, got []string
	for _, l := range m.lines {
		if h := l.head; h != nil && h.state != inbound.Processing && !h.later {
			want = append(want, h.id)
		}
	}
	items, _, err := m.Claim(m.ctx(), map[string]int{m.target: 10}, lease)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		got = append(got, it.Work.Event.ID)
		e := m.byID[it.Work.Event.ID]
		e.state, e.claim = inbound.Processing, it
	}
	slices.Sort(want)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Fatalf("claimed %v, want %v", got, want)
	}
}

// held picks a delivery that is claimed.
func (m *laneMachine) held(t *rapid.T) *laneEntry {
	var all []*laneEntry
	for _, id := range m.ids() {
		if e := m.byID[id]; e.state == inbound.Processing {
			all = append(all, e)
		}
	}
	if len(all) == 0 {
		t.Skip("nothing is claimed")
	}
	return rapid.SampledFrom(all).Draw(t, "held")
}

// ids are those of all events, always in the same order.
func (m *laneMachine) ids() (ids []string) {
	for id := range m.byID {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (m *laneMachine) finishOne(t *rapid.T) {
	e := m.held(t)
	e.state = rapid.SampledFrom([]inbound.State{inbound.Applied, inbound.Retrying, inbound.Failed}).Draw(t, "to")
	due := time.Now()
	if e.later = e.state == inbound.Retrying && rapid.Bool().Draw(t, "later"); e.later {
		due = due.Add(time.Hour)
	}
	if err := m.Finish(m.ctx(), e.claim.Lease, inbound.Move{To: e.state, Due: due, Attempt: e.claim.Work.Attempt}); err != nil {
		t.Fatal(err)
	}
	m.lines[m.lane[e.id]].settle()
}

func (m *laneMachine) releaseOne(t *rapid.T) {
	e := m.held(t)
	if err := m.Release(m.ctx(), []queue.Lease{e.claim.Lease}); err != nil {
		t.Fatal(err)
	}
	if e.state = inbound.Received; e.claim.Work.Attempt > 1 {
		e.state = inbound.Retrying
	}
	e.later = false
}

func (m *laneMachine) actSome(t *rapid.T) {
	a := rapid.SampledFrom([]inbound.Action{inbound.ActReplay, inbound.ActDiscard, inbound.ActRelease}).Draw(t, "action")
	var ids []string
	for i, id := range m.ids() {
		if rapid.Bool().Draw(t, strconv.Itoa(i)) {
			ids = append(ids, id)
		}
	}
	if ids == nil {
		t.Skip("nothing is selected")
	}
	if _, err := m.Act(m.ctx(), a, inbound.Filter{IDs: ids, Limit: inbound.MaxPage}, "ann"); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		e := m.byID[id]
		if to, ok := a.Move(e.state); ok {
			if e.state, e.later = to, false; m.lines[m.lane[id]].head == e {
				m.lines[m.lane[id]].head = nil
			}
		}
	}
	for _, l := range m.lines {
		l.settle()
	}
}
