package store

import (
	"context"
	"slices"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
)

// memoryMark is the mark of a lane.
type memoryMark struct {
	inbound.Mark
	until time.Time
}

// mark returns that of a lane. One that is over is none.
func (m memoryInbox) mark(l lane) *memoryMark {
	key := string(laneKey(l.target, l.name))
	k := m.marks[key]
	if k == nil || k.until.Before(time.Now()) {
		k = &memoryMark{}
		m.marks[key] = k
	}
	return k
}

func (k *memoryMark) keep(d time.Duration) {
	if until := time.Now().Add(d); until.After(k.until) {
		k.until = until
	}
}

func (k *memoryMark) reach(r *inbound.Reached, event string) {
	k.keep(r.Keep)
	if raised := k.Seen.Raised(r.Rank); raised != k.Seen {
		k.Seen, k.SeenEvent = raised, event
	}
	if raised := k.Applied.Raised(r.Rank); raised != k.Applied {
		k.Applied, k.AppliedEvent = raised, event
	}
	if r.State != "" {
		k.State = r.State
	}
}

// placedByRank has an event that is older than another of its lane begin as
// ignored, and raises the mark otherwise.
func (m memoryInbox) placedByRank(a *inbound.Arrival, p inbound.Placement) inbound.Placement {
	e := a.Event
	if e.Rank == "" || e.Lane == "" || !p.State.Open() {
		return p
	}
	k := m.mark(lane{p.Target, e.Lane})
	k.keep(a.Keep)
	if k.Seen.Over(e.Rank) {
		a.Old++
		p.State, p.Reason = inbound.Ignored, inbound.StaleReason(k.SeenEvent)
	} else if k.Seen != e.Rank {
		k.Seen, k.SeenEvent = e.Rank, e.ID
	}
	return p
}

func (d *memoryDelivery) lane() lane { return lane{d.Target, d.of.event.Lane} }

// open returns what is open in a lane in the order of arrival, and whether its
// lane is held.
func (m memoryInbox) open(l lane) (all []*memoryDelivery, held bool) {
	for _, d := range m.rows {
		if d.lane() != l {
			continue
		}
		if d.State.Open() {
			all = append(all, d)
		}
		held = held || d.Stand == inbound.Holding
	}
	slices.SortFunc(all, func(a, b *memoryDelivery) int { return int(a.key - b.key) })
	return all, held
}

// settle gives a lane the head that it should have, see [tx.settle].
func (m memoryInbox) settle(l lane) {
	if l.name == "" {
		return
	}
	now := time.Now()
	all, held := m.open(l)
	var head, first, aside *memoryDelivery
	for _, d := range all {
		if !d.behind {
			head = d
		}
		switch {
		case d.Stand == inbound.Aside && (aside == nil || d.Due.Before(aside.Due)):
			aside = d
		case d.Stand == inbound.InLine && first == nil:
			first = d
		}
	}
	if head != nil && (head.State == inbound.Processing || !head.Due.After(now)) {
		return
	}
	if head != nil {
		head.behind = true
	}
	if first == nil || aside != nil && aside.Due.Before(first.Due) {
		first = aside
	}
	if first == nil || held {
		return
	}
	first.behind = false
	if first.Due.Before(now) {
		first.Due = now
	}
}

func (m memoryInbox) Lane(_ context.Context, l queue.Lease) (inbound.Lane, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.held(l)
	if d == nil {
		return inbound.Lane{}, queue.ErrStale
	}
	out := inbound.Lane{Place: d.of.seq, Newest: d.of.seq, NewestEvent: d.of.event.ID}
	if d.of.event.Lane == "" {
		return out, nil
	}
	out.Mark = m.mark(d.lane()).Mark
	all, _ := m.open(d.lane())
	if last := all[len(all)-1]; last.of.seq > out.Place {
		out.Newest, out.NewestEvent = last.of.seq, last.of.event.ID
	}
	return out, nil
}

func (m memoryInbox) Sweep(_ context.Context, l queue.Lease, upTo int64, reason string) (moved []inbound.Transition, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.held(l)
	if d == nil {
		return nil, queue.ErrStale
	}
	if d.of.event.Lane == "" {
		return nil, nil
	}
	all, _ := m.open(d.lane())
	for _, o := range all {
		if o != d && o.State != inbound.Processing && o.of.seq <= upTo {
			o.Due, o.Stand, o.behind = time.Now(), inbound.InLine, false
			moved = append(moved, m.move(o, inbound.Transition{To: inbound.Ignored, Attempt: o.Attempt, Reason: reason}))
		}
	}
	return moved, nil
}
