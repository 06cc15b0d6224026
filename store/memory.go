package store

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/oversight"
	"github.com/postern-proxy/postern/policy/fallback"
	"github.com/postern-proxy/postern/policy/idempotency"
	"github.com/postern-proxy/postern/queue"
)

// Memory keeps everything in memory, for tests and for `postern test`. It makes
// the same promises as the others but durability.
type Memory struct {
	Replica string // who makes moves, for the audit trail; set before use

	mu     sync.Mutex
	next   int64 // seq of the next event, and key of the next delivery
	events map[int64]*memoryEvent
	order  []*memoryEvent        // by seq
	keys   map[memoryKey][]int64 // variants in order
	past   map[memoryKey][]memoryPast
	ids    map[string]int64
	rows   map[int64]*memoryDelivery // by lease key
	due    agendas[*memoryDelivery]  // what is open and not behind
	lines  map[lane]*memoryLine
	feed   []inbound.Notice // everything that happened

	connections map[connection.Key]*memoryConnection
	tickets     map[string]connection.Ticket
	answers     map[idempotency.ID]*answer
	stale       map[fallback.ID]fallback.Row

	outbox memoryCalls
	marks  map[string]*memoryMark // by lane key

	watches map[oversight.Watch]*memoryWatch
	listed  map[int64]memoryListed // by seq of the event
}

type memoryKey struct{ webhook, account, eventID string }

// memoryPast is what is left of an event whose key has to be known longer.
type memoryPast struct {
	id      string
	variant int
	sum     [32]byte
	until   time.Time
}

type memoryEvent struct {
	seq        int64
	event      inbound.Event
	deliveries []*memoryDelivery
	trail      []inbound.Transition
}

type memoryDelivery struct {
	inbound.DeliveryStatus
	key, token int64
	wait       time.Duration
	behind     bool // waits behind the head of its lane
	of         *memoryEvent

	turn, step slot[*memoryDelivery] // among what may be claimed, and what has stepped aside
	holds      bool                  // it is counted as one that holds its lane
}

// place puts d where it belongs after something has changed of it: its state, its
// due, its standing, or that it is behind. Whoever changes one calls it.
func (m memoryInbox) place(d *memoryDelivery) {
	if d.State.Open() && !d.behind {
		m.due.put(d.Target, &d.turn, d.Due)
	} else {
		d.turn.leave()
	}
	if d.of.event.Lane != "" {
		m.line(d.lane()).keep(d)
	}
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory {
	return &Memory{
		events: map[int64]*memoryEvent{}, keys: map[memoryKey][]int64{}, past: map[memoryKey][]memoryPast{},
		ids: map[string]int64{}, rows: map[int64]*memoryDelivery{},
		due: agendas[*memoryDelivery]{}, lines: map[lane]*memoryLine{},
		connections: map[connection.Key]*memoryConnection{}, tickets: map[string]connection.Ticket{},
		answers: map[idempotency.ID]*answer{}, stale: map[fallback.ID]fallback.Row{},
		outbox: newMemoryCalls(), marks: map[string]*memoryMark{},
		watches: map[oversight.Watch]*memoryWatch{}, listed: map[int64]memoryListed{},
	}
}

// Inbox returns m as the store of an inbox.
func (m *Memory) Inbox() inbound.Store { return memoryInbox{m} }

type memoryInbox struct{ *Memory }

func (m memoryInbox) Insert(ctx context.Context, all ...*inbound.Arrival) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, a := range all {
		if err := checkPlacements(a.To); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range all {
		m.insert(a)
	}
	return nil
}

func (m memoryInbox) insert(a *inbound.Arrival) {
	e := a.Event
	key := memoryKey{e.Webhook, e.Account, e.EventID}
	var k variants
	for _, seq := range m.keys[key] {
		known := &m.events[seq].event
		k.see(e, known.ID, known.Variant, known.SHA256[:], proofText(known.Proof))
	}
	for _, p := range m.past[key] {
		k.see(e, p.id, p.variant, p.sum[:], "")
	}
	if k.recognised(a) {
		return
	}
	me := &memoryEvent{seq: m.next, event: *e}
	m.next++
	me.event.Body, me.event.Header = slices.Clone(e.Body), e.Header.Clone()
	me.event.Variant = k.last + 1
	a.ID, a.What, a.Old = e.ID, inbound.Stored, 0
	if me.event.Variant > 1 && !a.Anew {
		a.What = inbound.Conflicted
	}
	for _, p := range a.To {
		p = m.placedByRank(a, placed(p, a.To, a.What))
		if p.Due.IsZero() || !p.State.Open() {
			p.Due = time.Now()
		}
		d := &memoryDelivery{key: m.next, of: me, DeliveryStatus: inbound.DeliveryStatus{Target: p.Target, State: p.State, Origin: p.Origin, Due: p.Due, Reason: p.Reason}}
		m.next++
		m.rows[d.key] = d
		me.deliveries = append(me.deliveries, d)
		d.behind = e.Lane != "" && p.State.Open()
		d.turn.of, d.turn.key, d.step.of, d.step.key = d, d.key, d, d.key
		m.place(d)
		m.settle(d.lane())
	}
	m.events[me.seq], m.ids[e.ID], m.order = me, me.seq, append(m.order, me)
	m.keys[key] = append(m.keys[key], me.seq)
	n := inbound.Notice{Record: me.record()}
	n.Header = nil
	m.feed = append(m.feed, n)
	for _, d := range me.deliveries {
		if a.Anew {
			m.tell(d, inbound.Transition{To: d.State, Reason: d.Reason, By: a.By})
		}
	}
}

// move makes a move that the caller has found to be allowed.
func (m memoryInbox) move(d *memoryDelivery, t inbound.Transition) inbound.Transition {
	t.From = d.State
	d.State, d.Reason = t.To, t.Reason
	d.token++
	return m.tell(d, t)
}

// tell writes a move into the audit trail.
func (m memoryInbox) tell(d *memoryDelivery, t inbound.Transition) inbound.Transition {
	t.Replica = m.Replica
	t.Event, t.Webhook, t.Target, t.Received, t.At = d.of.event.ID, d.of.event.Webhook, d.Target, d.of.event.Received, time.Now()
	d.of.trail = append(d.of.trail, t)
	n := inbound.Notice{Record: inbound.Record{Event: d.of.event}, Move: &t}
	n.Body, n.Header = nil, nil
	m.feed = append(m.feed, n)
	return t
}

func (m memoryInbox) Claim(_ context.Context, want map[string]int, lease time.Duration) (items []queue.Item[inbound.Delivery], next time.Time, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	due, next := m.due.take(now, want)
	slices.SortFunc(due, func(a, b *memoryDelivery) int {
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.key, b.key))
	})
	for _, d := range due {
		from := d.State
		d.Attempt++
		d.Due = now.Add(lease)
		m.move(d, inbound.Transition{To: inbound.Processing, Attempt: d.Attempt, Reason: claimReason(from)})
		m.place(d)
		items = append(items, queue.Item[inbound.Delivery]{
			Lease: queue.Lease{Key: d.key, Token: d.token, Until: d.Due}, Target: d.Target, Lane: d.of.event.Lane,
			Work: inbound.Delivery{Event: d.of.event, Target: d.Target, From: from, Origin: d.Origin, Attempt: d.Attempt, Wait: d.wait},
		})
	}
	return items, next, nil
}

// claimReason is what the trail says of a claim.
func claimReason(from inbound.State) string {
	if from == inbound.Processing {
		return "the attempt before ended without a result"
	}
	return ""
}

// held returns the delivery that a lease is for, nil if the lease is lost.
func (m memoryInbox) held(l queue.Lease) *memoryDelivery {
	d := m.rows[l.Key]
	if d == nil || d.token != l.Token || d.State != inbound.Processing {
		return nil
	}
	return d
}

func (m memoryInbox) Renew(_ context.Context, leases []queue.Lease, lease time.Duration) (lost []queue.Lease, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range leases {
		if d := m.held(l); d != nil {
			d.Due = time.Now().Add(lease)
			m.place(d)
		} else {
			lost = append(lost, l)
		}
	}
	return lost, nil
}

func (m memoryInbox) Release(_ context.Context, leases []queue.Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range leases {
		if d := m.held(l); d != nil {
			d.Attempt--
			d.Due = time.Now()
			m.move(d, inbound.Transition{To: releasedTo(d.Attempt), Attempt: d.Attempt, Reason: releaseReason})
			m.place(d)
		}
	}
	return nil
}

const releaseReason = "given back unattempted"

// releasedTo is the state of a claimed delivery that is given back.
func releasedTo(attempts int) inbound.State {
	if attempts > 0 {
		return inbound.Retrying
	}
	return inbound.Received
}

func (m memoryInbox) Finish(_ context.Context, l queue.Lease, mv inbound.Move) error {
	if !inbound.Legal(inbound.Processing, mv.To) {
		return errIllegal(inbound.Processing, mv.To)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.held(l)
	if d == nil {
		return queue.ErrStale
	}
	d.Attempt, d.wait, d.Due = mv.Attempt, mv.Wait, mv.Due
	if !mv.To.Open() {
		d.Due = time.Now()
	}
	d.Stand = mv.Stand
	if mv.To == inbound.Applied && mv.Reached != nil && d.of.event.Lane != "" {
		m.mark(d.lane()).reach(mv.Reached, d.of.event.ID)
	}
	m.move(d, inbound.Transition{To: mv.To, Attempt: mv.Attempt, Status: mv.Status, Took: mv.Took, Reason: mv.Reason, Detail: mv.Detail})
	m.place(d)
	m.settle(d.lane())
	return nil
}
