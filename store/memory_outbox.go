package store

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/queue"
)

// Outbox returns m as the store of an outbox.
func (m *Memory) Outbox() outbox.Store { return memoryOutbox{m} }

type memoryOutbox struct{ *Memory }

type memoryCall struct {
	call
	behind bool // waits behind the head of its lane
	trail  []outbox.Transition
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
	for _, known := range m.calls {
		if known.ID == c.ID || len(c.Once) > 0 && bytes.Equal(known.Once, c.Once) {
			out := known.read()
			return &out, nil
		}
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
	m.enter(mc)
	m.calls[mc.seq] = mc
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
func (m memoryOutbox) head(lane string) (first *memoryCall) {
	for _, c := range m.calls {
		if c.Lane == lane && c.State.Open() && c.turn > 0 && (first == nil || c.turn < first.turn) {
			first = c
		}
	}
	return first
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
	if c.Lane != "" && from.Open() && !t.To.Open() {
		if head := m.head(c.Lane); head != nil {
			head.behind = false
		}
	}
	return line
}

func (m memoryOutbox) Claim(_ context.Context, want map[string]int, lease time.Duration) (items []queue.Item[outbox.Call], next time.Time, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	var due []*memoryCall
	for _, c := range m.calls {
		if want[c.Target] == 0 || !c.State.Open() || c.behind {
			continue
		}
		if !c.Due.After(now) {
			due = append(due, c)
		} else if next.IsZero() || c.Due.Before(next) {
			next = c.Due
		}
	}
	slices.SortFunc(due, func(a, b *memoryCall) int { return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.seq, b.seq)) })
	got := map[string]int{}
	for _, c := range due {
		if got[c.Target] == want[c.Target] {
			continue
		}
		got[c.Target]++
		work := c.read()
		work.Request, work.Attempt = bytes.Clone(c.Request), c.Attempt+1
		reason := ""
		if c.State == outbox.Sending {
			reason = "the attempt before ended without a result"
		}
		m.move(c, outbox.Transition{To: outbox.Sending, Attempt: work.Attempt, Reason: reason})
		c.Forced = false
		c.Due = now.Add(lease)
		items = append(items, queue.Item[outbox.Call]{Lease: queue.Lease{Key: c.seq, Token: c.fence, Until: c.Due}, Target: c.Target, Lane: c.Lane, Work: work})
	}
	return items, next, nil
}

// held returns the call that a lease is for, nil if the lease is lost.
func (m memoryOutbox) held(l queue.Lease) *memoryCall {
	c := m.calls[l.Key]
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
		if c = m.calls[l.Key]; c != nil && c.fence == l.Token+1 && c.State == mv.To {
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

func (m memoryOutbox) find(id string) *memoryCall {
	for _, c := range m.calls {
		if c.ID == id {
			return c
		}
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
	c := m.find(id)
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
		m.enter(c)
	}
	return &t, nil
}

// page returns the calls that match, the newest first.
func (m memoryOutbox) page(f *outbox.Filter) (all []*memoryCall) {
	for _, seq := range slices.Backward(slices.Sorted(maps.Keys(m.calls))) {
		if c := m.calls[seq]; c.matches(f) {
			all = append(all, c)
		}
	}
	return all
}

func (c *memoryCall) matches(f *outbox.Filter) bool {
	return (len(f.IDs) == 0 || slices.Contains(f.IDs, c.ID)) &&
		(len(f.Providers) == 0 || slices.Contains(f.Providers, c.Provider)) &&
		(f.Kind == "" || f.Kind == c.Kind) &&
		(f.Of == "" || f.Of == c.Of) &&
		(f.Account == "" || f.Account == c.Account) &&
		(f.Client == "" || f.Client == c.Client) &&
		(f.State == "" || f.State == c.State) &&
		(f.Outcome == "" || f.Outcome == c.Outcome) &&
		(f.Since.IsZero() || !c.Created.Before(f.Since)) &&
		(f.Until.IsZero() || c.Created.Before(f.Until)) &&
		(f.Error == "" || strings.Contains(strings.ToLower(c.Reason), strings.ToLower(f.Error)))
}

func (m memoryOutbox) List(_ context.Context, f outbox.Filter) (p outbox.Page, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.next + 1
	if f.Cursor != "" {
		if before, err = strconv.ParseInt(f.Cursor, 10, 64); err != nil {
			return p, outbox.ErrCursor
		}
	}
	var last int64
	for _, c := range m.page(&f) {
		if c.seq >= before {
			continue
		}
		if len(p.Calls) == f.PageSize() {
			p.Next = strconv.FormatInt(last, 10)
			break
		}
		p.Calls, last = append(p.Calls, c.read()), c.seq
	}
	return p, nil
}

func (m memoryOutbox) Count(_ context.Context, f outbox.Filter) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.page(&f)), nil
}

func (m memoryOutbox) Show(_ context.Context, id string) (*outbox.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.find(id)
	if c == nil {
		return nil, outbox.ErrNotFound
	}
	r := &outbox.Record{Call: c.read(), Trail: slices.Clone(c.trail)}
	r.Request, r.Result = bytes.Clone(c.Request), bytes.Clone(c.Result)
	return r, nil
}

func (m memoryOutbox) Stats(context.Context) (all []outbox.Stat, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := map[outbox.Stat]int{}
	for _, c := range m.calls {
		counts[outbox.Stat{Provider: c.Provider, Kind: c.Kind, State: c.State}]++
	}
	for st, n := range counts {
		st.Count = n
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b outbox.Stat) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.State, b.State))
	})
	return all, nil
}

func (m memoryOutbox) Marks(_ context.Context, limit int) (all []outbox.Mark, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.page(&outbox.Filter{Kind: outbox.DeadLetter}) {
		if (c.State.Waits() || c.State.Open()) && len(all) < limit {
			all = append(all, outbox.Mark{ID: c.ID, Provider: c.Provider, Key: c.Key, Print: c.Print, Created: c.Created})
		}
	}
	return all, nil
}

func (m memoryOutbox) Heads(context.Context) (map[string]int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]int{}
	for _, c := range m.calls {
		if len(c.Request) > 0 && (c.State.Open() || c.State.Waits()) {
			all[string(c.Request[:min(5, len(c.Request))])]++
		}
	}
	return all, nil
}

func (m memoryOutbox) Prune(_ context.Context, before time.Time, n int) (deleted int, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, seq := range slices.Sorted(maps.Keys(m.calls)) {
		if c := m.calls[seq]; deleted < n && !c.State.Open() && c.Changed.Before(before) {
			delete(m.calls, seq)
			deleted++
		}
	}
	return deleted, nil
}
