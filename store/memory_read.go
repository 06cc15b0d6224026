package store

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

func (m memoryInbox) Act(_ context.Context, a inbound.Action, f inbound.Filter, by string) (done inbound.Acted, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	page, next, err := m.page(f)
	if err != nil {
		return done, err
	}
	done.Events, done.Next = len(page), next
	lanes := map[lane]bool{}
	for _, e := range page {
		for _, d := range e.deliveries {
			to, ok := a.Move(d.State)
			if !ok || !f.Means(d.State, d.Reason) || !d.State.Open() && !f.Unmoved.IsZero() && !d.Due.Before(f.Unmoved) {
				done.Skipped++
				continue
			}
			if to.Open() && !e.event.Emptied.IsZero() {
				done.Emptied++
				continue
			}
			d.Attempt, d.wait, d.Due, d.Origin, d.Stand = 0, 0, time.Now(), a.Origin(d.Origin), inbound.InLine
			d.behind = d.of.event.Lane != "" && to.Open()
			lanes[d.lane()] = true
			done.Moved = append(done.Moved, m.move(d, inbound.Transition{To: to, Reason: string(a), By: by}))
			m.place(d)
		}
	}
	for l := range lanes {
		m.settle(l)
	}
	return done, nil
}

// page returns the events of one page, the newest first, and the cursor after it.
func (m memoryInbox) page(f inbound.Filter) (page []*memoryEvent, next string, err error) {
	before, after := m.next, int64(-1)
	if f.Cursor != "" {
		if before, err = strconv.ParseInt(f.Cursor, 10, 64); err != nil {
			return nil, "", inbound.ErrCursor
		}
	}
	if f.Oldest && f.Cursor != "" {
		before, after = m.next, min(before, m.next)
	}
	all := m.among(&f)
	all = all[seqFrom(all, after+1):seqFrom(all, before)]
	for i := range all {
		e := all[i]
		if !f.Oldest {
			e = all[len(all)-1-i]
		}
		if !e.matches(&f) {
			continue
		}
		if len(page) == f.PageSize() {
			return page, strconv.FormatInt(page[len(page)-1].seq, 10), nil
		}
		page = append(page, e)
	}
	return page, "", nil
}

// seqFrom is where those begin that have this seq or a later one.
func seqFrom(all []*memoryEvent, seq int64) int {
	at, _ := slices.BinarySearchFunc(all, seq, func(e *memoryEvent, seq int64) int { return cmp.Compare(e.seq, seq) })
	return at
}

// among returns the events that may match, in the order of arrival.
func (m memoryInbox) among(f *inbound.Filter) (all []*memoryEvent) {
	if len(f.IDs) == 0 {
		return m.order
	}
	var seqs []int64
	for _, id := range f.IDs {
		if seq, ok := m.ids[id]; ok {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	for _, seq := range slices.Compact(seqs) {
		all = append(all, m.events[seq])
	}
	return all
}

func (e *memoryEvent) matches(f *inbound.Filter) bool {
	ev := &e.event
	return (ev.Items == 0 || len(f.IDs) > 0 || f.Batches) &&
		(len(f.IDs) == 0 || slices.Contains(f.IDs, ev.ID)) &&
		(len(f.Webhooks) == 0 || slices.Contains(f.Webhooks, ev.Webhook)) &&
		(f.Account == "" || f.Account == ev.Account) &&
		f.OfType(ev.Type) &&
		(f.Misfit == "" || f.Misfit == ev.Misfit) &&
		(f.EventID == "" || f.EventID == ev.EventID) &&
		(f.Since.IsZero() || !ev.Received.Before(f.Since)) &&
		(f.Until.IsZero() || ev.Received.Before(f.Until)) &&
		(f.State == "" || slices.ContainsFunc(e.deliveries, func(d *memoryDelivery) bool { return d.State == f.State })) &&
		(f.Error == "" || slices.ContainsFunc(e.deliveries, func(d *memoryDelivery) bool { return f.OfReason(d.Reason) }))
}

func (e *memoryEvent) record() inbound.Record {
	r := inbound.Record{Event: e.event}
	r.Body = nil
	var states []inbound.State
	for _, d := range e.deliveries {
		status := d.DeliveryStatus
		if d.behind {
			status.Due = time.Time{}
		}
		r.Deliveries = append(r.Deliveries, status)
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

func (m memoryInbox) Count(_ context.Context, f inbound.Filter) (c inbound.Counted, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.among(&f) {
		if e.matches(&f) {
			c.N++
		}
	}
	return c, nil
}

func (m memoryInbox) Feed(_ context.Context, cursor string, n int) (page inbound.Notices, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	from := len(m.feed)
	if cursor != "" {
		if from, err = strconv.Atoi(cursor); err != nil || from < 0 || from > len(m.feed) {
			return page, inbound.ErrCursor
		}
	}
	to := min(from+n, len(m.feed))
	return inbound.Notices{All: slices.Clone(m.feed[from:to]), Next: strconv.Itoa(to)}, nil
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
	if !e.event.Emptied.IsZero() {
		return nil, inbound.ErrEmptied
	}
	out := e.event
	return &out, nil
}

func (m memoryInbox) Stats(context.Context) (out []inbound.Stat, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	type key struct {
		webhook, target string
		state           inbound.State
	}
	stats := map[key]*inbound.Stat{}
	for _, d := range m.rows {
		k := key{webhook: d.of.event.Webhook, state: d.State}
		if d.State.Open() {
			k.target = d.Target
		}
		s := stats[k]
		if s == nil {
			s = &inbound.Stat{Webhook: k.webhook, Target: k.target, State: k.state}
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
	for key, past := range m.past {
		m.past[key] = slices.DeleteFunc(past, func(p memoryPast) bool { return !p.until.After(time.Now()) })
		if len(m.past[key]) == 0 {
			delete(m.past, key)
		}
	}
	parents := map[string]bool{}
	for _, e := range m.events {
		parents[e.event.Parent] = true
	}
	for _, e := range m.order {
		seq := e.seq
		if deleted == n {
			break
		}
		if e.event.Items > 0 && parents[e.event.ID] || !e.event.Received.Before(before) {
			continue
		}
		if slices.ContainsFunc(e.deliveries, func(d *memoryDelivery) bool {
			return d.State.Open() || d.Stand == inbound.Holding || !d.Due.Before(before)
		}) {
			continue
		}
		deleted++
		key := memoryKey{e.event.Webhook, e.event.Account, e.event.EventID}
		if m.keys[key] = slices.DeleteFunc(m.keys[key], func(s int64) bool { return s == seq }); len(m.keys[key]) == 0 {
			delete(m.keys, key)
		}
		if e.event.Horizon.After(time.Now()) {
			m.past[key] = append(m.past[key], memoryPast{e.event.ID, e.event.Variant, e.event.SHA256, e.event.Horizon})
		}
		for _, d := range e.deliveries {
			delete(m.rows, d.key)
		}
		delete(m.ids, e.event.ID)
		delete(m.events, seq)
		delete(m.listed, seq)
	}
	if deleted > 0 {
		m.order = slices.DeleteFunc(m.order, func(e *memoryEvent) bool { return m.events[e.seq] == nil })
	}
	return deleted, nil
}
