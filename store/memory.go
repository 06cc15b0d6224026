package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
)

// Memory keeps everything in memory, for tests and for `postern test`. It makes
// the same promises as the others but durability.
type Memory struct {
	mu     sync.Mutex
	next   int64 // seq of the next event, and key of the next delivery
	events map[int64]*memoryEvent
	keys   map[memoryKey][]int64 // variants in order
	ids    map[string]int64
	rows   map[int64]*memoryDelivery // by lease key
}

type memoryKey struct{ webhook, account, eventID string }

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
	of         *memoryEvent
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory {
	return &Memory{
		events: map[int64]*memoryEvent{}, keys: map[memoryKey][]int64{},
		ids: map[string]int64{}, rows: map[int64]*memoryDelivery{},
	}
}

// Inbox returns m as the store of an inbox.
func (m *Memory) Inbox() inbound.Store { return memoryInbox{m} }

type memoryInbox struct{ *Memory }

func (m memoryInbox) Insert(ctx context.Context, e *inbound.Event, targets []string) (string, inbound.Insertion, error) {
	if err := ctx.Err(); err != nil {
		return "", 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := memoryKey{e.Webhook, e.Account, e.EventID}
	for _, seq := range m.keys[key] {
		if known := m.events[seq]; known.event.SHA256 == e.SHA256 {
			return known.event.ID, inbound.Duplicate, nil
		}
	}
	me := &memoryEvent{seq: m.next, event: *e}
	m.next++
	me.event.Body, me.event.Header, me.event.SHA256 = slices.Clone(e.Body), e.Header.Clone(), sha256.Sum256(e.Body)
	me.event.Variant = 1
	if known := m.keys[key]; len(known) > 0 {
		me.event.Variant = m.events[known[len(known)-1]].event.Variant + 1
	}
	state, what := inbound.Received, inbound.Stored
	if me.event.Variant > 1 {
		state, what = inbound.Conflict, inbound.Conflicted
	}
	for _, t := range targets {
		d := &memoryDelivery{key: m.next, of: me, DeliveryStatus: inbound.DeliveryStatus{Target: t, State: state, Origin: inbound.Push, Due: time.Now()}}
		m.next++
		m.rows[d.key] = d
		me.deliveries = append(me.deliveries, d)
	}
	m.events[me.seq], m.ids[e.ID] = me, me.seq
	m.keys[key] = append(m.keys[key], me.seq)
	return e.ID, what, nil
}

// move makes a move that the caller has found to be allowed.
func (d *memoryDelivery) move(t inbound.Transition) inbound.Transition {
	t.Event, t.Webhook, t.Target, t.Received, t.At, t.From = d.of.event.ID, d.of.event.Webhook, d.Target, d.of.event.Received, time.Now(), d.State
	d.State, d.Reason = t.To, t.Reason
	d.token++
	d.of.trail = append(d.of.trail, t)
	return t
}

func (m memoryInbox) Claim(_ context.Context, want map[string]int, lease time.Duration) (items []queue.Item[inbound.Delivery], next time.Time, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	var due []*memoryDelivery
	for _, d := range m.rows {
		if want[d.Target] == 0 || !d.State.Open() {
			continue
		}
		if !d.Due.After(now) {
			due = append(due, d)
		} else if next.IsZero() || d.Due.Before(next) {
			next = d.Due
		}
	}
	slices.SortFunc(due, func(a, b *memoryDelivery) int {
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.key, b.key))
	})
	got := map[string]int{}
	for _, d := range due {
		if got[d.Target] == want[d.Target] {
			continue
		}
		got[d.Target]++
		from := d.State
		d.Attempt++
		d.Due = now.Add(lease)
		d.move(inbound.Transition{To: inbound.Processing, Attempt: d.Attempt, Reason: claimReason(from)})
		items = append(items, queue.Item[inbound.Delivery]{
			Lease: queue.Lease{Key: d.key, Token: d.token, Until: d.Due}, Target: d.Target,
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
			d.move(inbound.Transition{To: releasedTo(d.Attempt), Attempt: d.Attempt, Reason: releaseReason})
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
	d.move(inbound.Transition{To: mv.To, Attempt: mv.Attempt, Status: mv.Status, Took: mv.Took, Reason: mv.Reason, Detail: mv.Detail})
	return nil
}

func (m memoryInbox) Act(_ context.Context, a inbound.Action, f inbound.Filter, by string) (done inbound.Acted, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	page, next, err := m.page(f)
	if err != nil {
		return done, err
	}
	done.Next = next
	for _, e := range page {
		for _, d := range e.deliveries {
			to, ok := a.Move(d.State)
			if !ok {
				done.Skipped++
				continue
			}
			d.Attempt, d.wait, d.Due, d.Origin = 0, 0, time.Now(), a.Origin(d.Origin)
			done.Moved = append(done.Moved, d.move(inbound.Transition{To: to, Reason: string(a), By: by}))
		}
	}
	return done, nil
}

// page returns the events of one page, the newest first, and the cursor after it.
func (m memoryInbox) page(f inbound.Filter) (page []*memoryEvent, next string, err error) {
	before := m.next
	if f.Cursor != "" {
		if before, err = strconv.ParseInt(f.Cursor, 10, 64); err != nil {
			return nil, "", errCursor
		}
	}
	seqs := slices.Sorted(maps.Keys(m.events))
	for _, seq := range slices.Backward(seqs) {
		if e := m.events[seq]; seq < before && e.matches(&f) {
			if len(page) == f.PageSize() {
				return page, strconv.FormatInt(page[len(page)-1].seq, 10), nil
			}
			page = append(page, e)
		}
	}
	return page, "", nil
}

var errCursor = errors.New("the cursor is not one of a page of this list")

func (e *memoryEvent) matches(f *inbound.Filter) bool {
	ev := &e.event
	return (len(f.IDs) == 0 || slices.Contains(f.IDs, ev.ID)) &&
		(len(f.Webhooks) == 0 || slices.Contains(f.Webhooks, ev.Webhook)) &&
		(f.Account == "" || f.Account == ev.Account) &&
		(f.Type == "" || f.Type == ev.Type) &&
		(f.EventID == "" || f.EventID == ev.EventID) &&
		(f.Since.IsZero() || !ev.Received.Before(f.Since)) &&
		(f.Until.IsZero() || ev.Received.Before(f.Until)) &&
		(f.State == "" || slices.ContainsFunc(e.deliveries, func(d *memoryDelivery) bool { return d.State == f.State })) &&
		(f.Error == "" || slices.ContainsFunc(e.deliveries, func(d *memoryDelivery) bool {
			return strings.Contains(strings.ToLower(d.Reason), strings.ToLower(f.Error))
		}))
}

func (e *memoryEvent) record() inbound.Record {
	r := inbound.Record{Event: e.event}
	r.Body = nil
	var states []inbound.State
	for _, d := range e.deliveries {
		r.Deliveries = append(r.Deliveries, d.DeliveryStatus)
		states = append(states, d.State)
	}
	r.Status = inbound.Status(states)
	return r
}

func (m memoryInbox) List(_ context.Context, f inbound.Filter) (p inbound.Page, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	events, next, err := m.page(f)
	for _, e := range events {
		p.Events = append(p.Events, e.record())
	}
	p.Next = next
	return p, err
}

func (m memoryInbox) Count(_ context.Context, f inbound.Filter) (n int, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		if e.matches(&f) {
			n++
		}
	}
	return n, nil
}

func (m memoryInbox) find(id string) (*memoryEvent, error) {
	seq, ok := m.ids[id]
	if !ok {
		return nil, inbound.ErrNotFound
	}
	return m.events[seq], nil
}

func (m memoryInbox) Show(_ context.Context, id string) (*inbound.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, err := m.find(id)
	if err != nil {
		return nil, err
	}
	r := e.record()
	r.Trail = slices.Clone(e.trail)
	return &r, nil
}

func (m memoryInbox) Body(_ context.Context, id string) (*inbound.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, err := m.find(id)
	if err != nil {
		return nil, err
	}
	out := e.event
	return &out, nil
}

func (m memoryInbox) Stats(context.Context) (out []inbound.Stat, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	type key struct {
		webhook string
		state   inbound.State
	}
	stats := map[key]*inbound.Stat{}
	for _, d := range m.rows {
		k := key{d.of.event.Webhook, d.State}
		s := stats[k]
		if s == nil {
			s = &inbound.Stat{Webhook: k.webhook, State: k.state}
			stats[k] = s
		}
		s.Count++
		if at := d.of.event.Received; k.state.Open() && (s.Oldest.IsZero() || at.Before(s.Oldest)) {
			s.Oldest = at
		}
	}
	for _, s := range stats {
		out = append(out, *s)
	}
	return out, nil
}

func (m memoryInbox) Prune(_ context.Context, before time.Time, n int) (deleted int, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, seq := range slices.Sorted(maps.Keys(m.events)) {
		e := m.events[seq]
		if deleted == n {
			break
		}
		if slices.ContainsFunc(e.deliveries, func(d *memoryDelivery) bool { return d.State.Open() || !d.Due.Before(before) }) {
			continue
		}
		deleted++
		key := memoryKey{e.event.Webhook, e.event.Account, e.event.EventID}
		if m.keys[key] = slices.DeleteFunc(m.keys[key], func(s int64) bool { return s == seq }); len(m.keys[key]) == 0 {
			delete(m.keys, key)
		}
		for _, d := range e.deliveries {
			delete(m.rows, d.key)
		}
		delete(m.ids, e.event.ID)
		delete(m.events, seq)
	}
	return deleted, nil
}
