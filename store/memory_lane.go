package store

import (
	"cmp"
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

// memoryLine is what is open in a lane, and whether it is held.
type memoryLine struct {
	line    []*memoryDelivery      // in the order of arrival
	aside   slots[*memoryDelivery] // what has stepped aside
	head    *memoryDelivery        // nil if none leads
	holding int                    // how many have failed and hold it
}

// line returns that of a lane, a new one if nothing is in it.
func (m memoryInbox) line(l lane) *memoryLine {
	k := m.lines[l]
	if k == nil {
		k = &memoryLine{}
		m.lines[l] = k
	}
	return k
}

// keep puts d where it belongs.
func (k *memoryLine) keep(d *memoryDelivery) {
	open := d.State.Open()
	if holds := d.Stand == inbound.Holding; holds != d.holds {
		d.holds = holds
		k.holding += map[bool]int{true: 1, false: -1}[holds]
	}
	if open && d.Stand == inbound.Aside {
		k.aside.put(&d.step, d.Due)
	} else {
		d.step.leave()
	}
	k.inLine(d, open && d.Stand == inbound.InLine)
	if open && !d.behind {
		k.head = d
	} else if k.head == d {
		k.head = nil
	}
}

// inLine has d be in line, or not.
func (k *memoryLine) inLine(d *memoryDelivery, is bool) {
	at, was := slices.BinarySearchFunc(k.line, d, func(a, b *memoryDelivery) int { return cmp.Compare(a.key, b.key) })
	switch {
	case is == was:
	case is:
		k.line = slices.Insert(k.line, at, d)
	case at == 0: // the others stay where they are, however many
		k.line[0], k.line = nil, k.line[1:]
	default:
		k.line = slices.Delete(k.line, at, at+1)
	}
}

// open returns what is open, in the order of arrival.
func (k *memoryLine) open() []*memoryDelivery {
	all := slices.Clone(k.line)
	for _, s := range k.aside.all {
		all = append(all, s.of)
	}
	slices.SortFunc(all, func(a, b *memoryDelivery) int { return cmp.Compare(a.key, b.key) })
	return all
}

// newest returns what is open and came last, nil if nothing is.
func (k *memoryLine) newest() (last *memoryDelivery) {
	if n := len(k.line); n > 0 {
		last = k.line[n-1]
	}
	for _, s := range k.aside.all {
		if last == nil || s.key > last.key {
			last = s.of
		}
	}
	return last
}

// settle gives a lane the head that it should have, see [tx.settle].
func (m memoryInbox) settle(l lane) {
	k, now := m.lines[l], time.Now()
	if k == nil {
		return
	}
	if head := k.head; head != nil {
		if head.State == inbound.Processing || !head.Due.After(now) {
			return
		}
		head.behind = true
		m.place(head)
	}
	var next *memoryDelivery
	if len(k.line) > 0 {
		next = k.line[0]
	}
	if aside := k.aside.first(); aside != nil && (next == nil || aside.due.Before(next.Due)) {
		next = aside.of
	}
	switch {
	case next == nil && k.holding == 0:
		delete(m.lines, l)
	case next != nil && k.holding == 0:
		next.behind = false
		if next.Due.Before(now) {
			next.Due = now
		}
		m.place(next)
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
	if last := m.line(d.lane()).newest(); last.of.seq > out.Place {
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
	for _, o := range m.line(d.lane()).open() {
		if o != d && o.State != inbound.Processing && o.of.seq <= upTo {
			o.Due, o.Stand, o.behind = time.Now(), inbound.InLine, false
			moved = append(moved, m.move(o, inbound.Transition{To: inbound.Ignored, Attempt: o.Attempt, Reason: reason}))
			m.place(o)
		}
	}
	return moved, nil
}
