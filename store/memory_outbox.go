package store

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/queue"
)

// Outbox returns m as the store of an outbox.
func (m *Memory) Outbox() outbox.Store { return memoryOutbox{m} }

type memoryOutbox struct{ *Memory }

// memoryCalls are the calls of an outbox.
type memoryCalls struct {
	calls map[int64]*memoryCall // by seq
	order []*memoryCall         // by seq
	ids   map[string]*memoryCall
	once  map[string]*memoryCall
	due   agendas[*memoryCall]           // what is open and not behind
	lines map[string]*slots[*memoryCall] // what is open in a lane, by turn
}

func newMemoryCalls() memoryCalls {
	return memoryCalls{
		calls: map[int64]*memoryCall{}, ids: map[string]*memoryCall{}, once: map[string]*memoryCall{},
		due: agendas[*memoryCall]{}, lines: map[string]*slots[*memoryCall]{},
	}
}

type memoryCall struct {
	call
	behind bool // waits behind the head of its lane
	trail  []outbox.Transition

	may, inLane slot[*memoryCall] // its places among what may be claimed, and in its lane
}

// place puts c where it belongs after something has changed of it: its state, its
// due, its turn, or that it is behind. Whoever changes one calls it.
func (m memoryOutbox) place(c *memoryCall) {
	c.may.leave()
	if c.State.Open() && !c.behind {
		m.outbox.due.put(c.Target, &c.may, c.Due)
	}
	c.inLane.leave()
	if l := m.outbox.lines[c.Lane]; c.Lane != "" && c.State.Open() && c.turn > 0 {
		if l == nil {
			l = &slots[*memoryCall]{}
			m.outbox.lines[c.Lane] = l
		}
		c.inLane.key = c.turn
		l.put(&c.inLane, time.Time{})
	} else if l != nil && l.Len() == 0 {
		delete(m.outbox.lines, c.Lane)
	}
}

// read is the call as others get it, without what is sealed.
func (c *memoryCall) read() outbox.Call {
	out := c.Call
	out.Request, out.Result = nil, nil
	if c.behind {
		out.Due = time.Time{}
	}
	return out
}

func (m memoryOutbox) Add(ctx context.Context, c *outbox.Call) (*outbox.Call, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.ID == "" || c.Kind == "" || c.Provider == "" || c.Target == "" || !c.State.Open() && !c.State.Waits() || c.State == outbox.Sending {
		return nil, fmt.Errorf("store a call: it has no id, kind, provider or target, or the state %q", c.State)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := cmp.Or(m.outbox.ids[c.ID], m.outbox.once[string(c.Once)]); known != nil {
		out := known.read()
		return &out, nil
	}
	return m.insert(c), nil
}

func (m memoryOutbox) insert(c *outbox.Call) *outbox.Call {
	now := instant(time.Now())
	m.next++
	mc := &memoryCall{call: call{Call: *c, seq: m.next}}
	mc.Created, mc.Changed, mc.Due, mc.Attempt, mc.Wait, mc.Forced = now, now, now, 0, 0, false
	mc.Expires, mc.Doubt = instant(mc.Expires), instant(mc.Doubt)
	mc.Request, mc.Result = bytes.Clone(c.Request), bytes.Clone(c.Result)
	mc.may.of, mc.may.key, mc.inLane.of = mc, mc.seq, mc
	m.enter(mc)
	m.place(mc)
	m.outbox.calls[mc.seq], m.outbox.order, m.outbox.ids[mc.ID] = mc, append(m.outbox.order, mc), mc
	if len(mc.Once) > 0 {
		m.outbox.once[string(mc.Once)] = mc
	}
	mc.trail = []outbox.Transition{m.line(mc, "", outbox.Transition{To: mc.State, Outcome: mc.Outcome, Status: mc.Status, Reason: mc.Reason})}
	out := mc.read()
	return &out
}

// enter gives a call its turn in its lane.
func (m memoryOutbox) enter(c *memoryCall) {
	if c.Lane == "" || !c.State.Open() {
		return
	}
	c.behind = m.head(c.Lane) != nil
	m.next++
	c.turn = m.next
}

// head is the first open call of a lane, nil if there is none.
func (m memoryOutbox) head(lane string) *memoryCall {
	if l := m.outbox.lines[lane]; l != nil && l.Len() > 0 {
		return l.first().of
	}
	return nil
}

// line is a move of a call as the trail has it.
func (m memoryOutbox) line(c *memoryCall, from outbox.State, t outbox.Transition) outbox.Transition {
	t.ID, t.Kind, t.Provider, t.Account, t.At, t.From, t.Replica = c.ID, c.Kind, c.Provider, c.Account, c.Changed, from, m.Replica
	return t
}

// move makes a move that the caller has found to be allowed.
func (m memoryOutbox) move(c *memoryCall, t outbox.Transition) outbox.Transition {
	from := c.State
	c.State, c.Reason, c.Attempt, c.Changed = t.To, t.Reason, t.Attempt, instant(time.Now())
	c.fence++
	line := m.line(c, from, t)
	c.trail = append(c.trail, line)
	m.place(c)
	if c.Lane != "" && from.Open() && !t.To.Open() {
		if head := m.head(c.Lane); head != nil {
			head.behind = false
			m.place(head)
		}
	}
	return line
}

func (m memoryOutbox) Claim(_ context.Context, want map[string]int, lease time.Duration) (items []queue.Item[outbox.Call], next time.Time, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	due, next := m.outbox.due.take(now, want)
	slices.SortFunc(due, func(a, b *memoryCall) int { return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.seq, b.seq)) })
	for _, c := range due {
		work := c.read()
		work.Request, work.Attempt = bytes.Clone(c.Request), c.Attempt+1
		reason := ""
		if c.State == outbox.Sending {
			reason = "the attempt before ended without a result"
		}
		m.move(c, outbox.Transition{To: outbox.Sending, Attempt: work.Attempt, Reason: reason})
		c.Forced = false
		c.Due = now.Add(lease)
		m.place(c)
		items = append(items, queue.Item[outbox.Call]{Lease: queue.Lease{Key: c.seq, Token: c.fence, Until: c.Due}, Target: c.Target, Lane: c.Lane, Work: work})
	}
	return items, next, nil
}

// held returns the call that a lease is for, nil if the lease is lost.
func (m memoryOutbox) held(l queue.Lease) *memoryCall {
	c := m.outbox.calls[l.Key]
	if c == nil || c.fence != l.Token || c.State != outbox.Sending {
		return nil
	}
	return c
}

func (m memoryOutbox) Renew(_ context.Context, leases []queue.Lease, lease time.Duration) (lost []queue.Lease, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range leases {
		if c := m.held(l); c != nil {
			c.Due = time.Now().Add(lease)
			m.place(c)
		} else {
			lost = append(lost, l)
		}
	}
	return lost, nil
}

func (m memoryOutbox) Release(_ context.Context, leases []queue.Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range leases {
		if c := m.held(l); c != nil {
			c.Due = time.Now()
			m.move(c, outbox.Transition{To: releasedCall(c.Attempt - 1), Attempt: c.Attempt - 1, Outcome: c.Outcome, Status: c.Status, Reason: releaseReason})
		}
	}
	return nil
}

func (m memoryOutbox) Finish(_ context.Context, l queue.Lease, mv outbox.Move) error {
	if mv.To == outbox.Sending || !outbox.Legal(outbox.Sending, mv.To) {
		return errIllegalCall(outbox.Sending, mv.To)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.held(l)
	if c == nil {
		if c = m.outbox.calls[l.Key]; c != nil && c.fence == l.Token+1 && c.State == mv.To {
			return nil // by a try of which the answer was lost
		}
		return queue.ErrStale
	}
	c.Wait, c.Outcome, c.Status, c.Doubt, c.Due = mv.Wait, mv.Outcome, mv.Status, instant(mv.Doubt), instant(time.Now())
	if mv.To.Open() && !mv.Due.IsZero() {
		c.Due = mv.Due
	}
	if mv.Result != nil {
		c.Result = bytes.Clone(mv.Result)
	}
	m.move(c, outbox.Transition{To: mv.To, Attempt: mv.Attempt, Outcome: mv.Outcome, Status: mv.Status, Took: mv.Took, Reason: mv.Reason})
	if mv.Then != nil {
		m.insert(mv.Then)
	}
	return nil
}

func (m memoryOutbox) Act(_ context.Context, id string, a outbox.Action) (*outbox.Transition, error) {
	for _, from := range a.From {
		if !outbox.Legal(from, a.To) {
			return nil, errIllegalCall(from, a.To)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.outbox.ids[id]
	switch {
	case c == nil:
		return nil, outbox.ErrNotFound
	case c.State == outbox.Sending || !slices.Contains(a.From, c.State):
		return nil, nil
	}
	if a.Clear {
		c.Doubt = time.Time{}
	}
	if a.To.Open() {
		c.Attempt = 0
	}
	c.Forced, c.Wait, c.Due, c.Outcome = a.Force, 0, instant(time.Now()), cmp.Or(a.Out, c.Outcome)
	t := m.move(c, outbox.Transition{To: a.To, Attempt: c.Attempt, Outcome: cmp.Or(a.Out, c.Outcome), Status: c.Status, Reason: a.Reason, By: a.By})
	if a.To.Open() {
		c.Due = c.Due.Add(a.Due)
		if a.Life > 0 {
			c.Expires = instant(time.Now().Add(a.Life))
		}
		c.turn = 0 // it goes to the end
		m.place(c)
		m.enter(c)
		m.place(c)
	}
	return &t, nil
}
