package store

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/postern-proxy/postern/connection"
)

type memoryConnection struct {
	row     connection.Row
	history []connection.Move // the oldest first
}

// Connections returns m as the store of connections.
func (m *Memory) Connections() connection.Store { return memoryConnections{m} }

type memoryConnections struct{ *Memory }

func (m memoryConnections) Load(ctx context.Context, k connection.Key) (connection.Row, error) {
	if err := ctx.Err(); err != nil {
		return connection.Row{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.connections[k]
	if c == nil {
		return connection.Row{}, connection.ErrUnknown
	}
	return c.read(time.Now()), nil
}

// read is the row as it is at a time.
func (c *memoryConnection) read(now time.Time) connection.Row {
	r := kept(c.row)
	r.Now = instant(now)
	return r
}

func (m memoryConnections) Save(ctx context.Context, r connection.Row, move connection.Move) (connection.Row, error) {
	if err := cmp.Or(ctx.Err(), checkConnection(&r)); err != nil {
		return connection.Row{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.connections[r.Key]
	if c == nil {
		c = &memoryConnection{}
	}
	if c.row.Fence != r.Fence {
		return connection.Row{}, connection.ErrStale
	}
	now := instant(time.Now())
	created := now
	if r.Fence > 0 {
		created = c.row.Created
	}
	c.row = saved(kept(r), created, now)
	move.At, move.Replica = now, m.Replica
	c.history = append(c.history, move)
	m.connections[r.Key] = c
	return c.read(now), nil
}

// find returns the rows that match, in the order of their keys.
func (m memoryConnections) find(ctx context.Context, match func(*connection.Row) bool) (all []connection.Row, now time.Time, err error) {
	if err := ctx.Err(); err != nil {
		return nil, now, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now = instant(time.Now())
	for _, c := range m.connections {
		if match(&c.row) {
			all = append(all, c.read(now))
		}
	}
	slices.SortFunc(all, func(a, b connection.Row) int { return compareKeys(a.Key, b.Key) })
	return all, now, nil
}

func compareKeys(a, b connection.Key) int {
	return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Account, b.Account), cmp.Compare(a.Credential, b.Credential))
}

func (m memoryConnections) List(ctx context.Context, f connection.Filter) ([]connection.Row, error) {
	all, _, err := m.find(ctx, func(r *connection.Row) bool {
		return compareKeys(r.Key, f.After) > 0 &&
			(f.Provider == "" || r.Provider == f.Provider) && (f.Account == "" || r.Account == f.Account) && (f.State == "" || r.State == f.State) &&
			(f.RevokeBefore.IsZero() || !r.RevokeDue.IsZero() && !r.RevokeDue.After(f.RevokeBefore))
	})
	if f.Limit > 0 {
		all = all[:min(len(all), f.Limit)]
	}
	return all, err
}

func (m memoryConnections) Stats(ctx context.Context) (all []connection.Stat, err error) {
	rows, _, err := m.find(ctx, func(*connection.Row) bool { return true })
	counts := map[connection.Stat]int{}
	for _, r := range rows {
		counts[connection.Stat{Provider: r.Provider, State: r.State}]++
	}
	for c, n := range counts {
		c.Count = n
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b connection.Stat) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.State, b.State))
	})
	return all, err
}

func (m memoryConnections) Changed(ctx context.Context, since time.Time) ([]connection.Row, time.Time, error) {
	return m.find(ctx, func(r *connection.Row) bool { return !r.Changed.Before(instant(since)) })
}

func (m memoryConnections) History(ctx context.Context, k connection.Key, limit int) ([]connection.Move, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.connections[k]
	if c == nil {
		return nil, nil
	}
	all := slices.Clone(c.history)
	slices.Reverse(all)
	if limit > 0 {
		all = all[:min(len(all), limit)]
	}
	return all, nil
}

func (m memoryConnections) Keep(ctx context.Context, t connection.Ticket) error {
	if err := cmp.Or(ctx.Err(), checkTicket(&t)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.tickets[string(t.ID)]; there {
		return errTicket
	}
	m.tickets[string(t.ID)] = connection.Ticket{ID: bytes.Clone(t.ID), Sealed: bytes.Clone(t.Sealed), Expires: instant(t.Expires)}
	return nil
}

func (m memoryConnections) Look(ctx context.Context, id []byte) (connection.Ticket, error) {
	if err := ctx.Err(); err != nil {
		return connection.Ticket{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t, there := m.tickets[string(id)]
	if !there || !t.Expires.After(time.Now()) {
		return connection.Ticket{}, connection.ErrUnknown
	}
	return connection.Ticket{ID: bytes.Clone(t.ID), Sealed: bytes.Clone(t.Sealed), Expires: t.Expires}, nil
}

func (m memoryConnections) Take(ctx context.Context, id []byte) (connection.Ticket, error) {
	t, err := m.Look(ctx, id)
	if err != nil {
		return t, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.tickets[string(id)]; !there { // another has it
		return connection.Ticket{}, connection.ErrUnknown
	}
	delete(m.tickets, string(id))
	return t, nil
}
