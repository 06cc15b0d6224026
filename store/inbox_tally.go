package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// The file belongs to this process, so how many deliveries there are in each state
// is counted once, when it is opened, and kept in memory from then on: what a
// transaction changes is added when it is committed.

// place is a state of the deliveries to a target.
type place struct {
	target string
	state  inbound.State
}

// tally is how many deliveries are where.
type tally struct {
	mu    sync.Mutex
	n     map[place]int // nil if it is not known: it is counted again
	stats statsCache
}

// count notes that n deliveries came to a state, or left it.
func (t *tx) count(target string, state inbound.State, n int) {
	if t.counts == nil {
		t.counts = map[place]int{}
	}
	t.counts[place{target, state}] += n
}

// add adds what a transaction changed.
func (l *tally) add(counts map[place]int) {
	if len(counts) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == nil {
		return
	}
	for p, n := range counts {
		if l.n[p] += n; l.n[p] == 0 {
			delete(l.n, p)
		}
	}
}

// doubt forgets what was counted: of a commit that failed nobody knows whether it
// was made.
func (l *tally) doubt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n = nil
}

// countAll counts all deliveries, before anything is written.
func (s *SQLite) countAll(ctx context.Context) error {
	if s.copying {
		return nil
	}
	rows, err := s.read.QueryContext(ctx, countPlaces)
	if err != nil {
		return fmt.Errorf("count the deliveries: %w", err)
	}
	defer rows.Close()
	s.tally.n = map[place]int{}
	for rows.Next() {
		var p place
		var n int
		if err := rows.Scan(&p.target, &p.state, &n); err != nil {
			return fmt.Errorf("count the deliveries: %w", err)
		}
		s.tally.n[p] = n
	}
	return rows.Err()
}

// places returns what was counted, which is counted anew if it is in doubt.
func (s inbox) places(ctx context.Context) (map[place]int, error) {
	s.tally.mu.Lock()
	n := maps.Clone(s.tally.n)
	s.tally.mu.Unlock()
	if n != nil {
		return n, nil
	}
	err := s.do(ctx, 0, func(t *tx) error { // between two transactions
		n = map[place]int{}
		err := t.each(func(r *sql.Rows) error {
			var p place
			var count int
			err := r.Scan(&p.target, &p.state, &count)
			n[p] = count
			return err
		}, countPlaces)
		if err != nil {
			return err
		}
		for p, c := range t.counts { // of others in this transaction: they are added after it
			n[p] -= c
		}
		s.tally.mu.Lock()
		s.tally.n = maps.Clone(n)
		s.tally.mu.Unlock()
		return nil
	})
	return n, err
}

const countPlaces = "SELECT target, state, count(*) FROM deliveries GROUP BY target, state"

func (s inbox) Stats(ctx context.Context) ([]inbound.Stat, error) {
	c := &s.tally.stats
	c.Lock()
	defer c.Unlock()
	start := time.Now()
	if start.Before(c.until) {
		return c.stats, nil
	}
	places, err := s.places(ctx)
	if err != nil {
		return nil, fmt.Errorf("count deliveries: %w", err)
	}
	type key struct {
		webhook, target string
		state           inbound.State
	}
	groups := map[key]*inbound.Stat{} // of all targets of a webhook, unless they are open
	for p, n := range places {
		k := key{state: p.state}
		k.webhook, _, _ = strings.Cut(p.target, "/")
		if p.state.Open() {
			k.target = p.target
		}
		g := groups[k]
		if g == nil {
			g = &inbound.Stat{Webhook: k.webhook, Target: k.target, State: p.state}
			groups[k] = g
		}
		g.Count += n
		oldest, err := s.oldest(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("count deliveries: %w", err)
		}
		if !oldest.IsZero() && (g.Oldest.IsZero() || oldest.Before(g.Oldest)) {
			g.Oldest = oldest
		}
	}
	out := []inbound.Stat{}
	for _, g := range groups {
		out = append(out, *g)
	}
	if took := time.Since(start); took > 100*time.Millisecond {
		c.stats, c.until = out, time.Now().Add(20*took)
	}
	return out, nil
}

// oldest is when the event that came first was received of those with a delivery in
// a place; zero unless it is open.
func (s inbox) oldest(ctx context.Context, p place) (time.Time, error) {
	if !p.state.Open() {
		return time.Time{}, nil
	}
	var received int64
	err := s.read.QueryRowContext(ctx, "SELECT received FROM events WHERE seq = (SELECT min(id) / 256 FROM deliveries WHERE target = ? AND state = ?)", p.target, string(p.state)).Scan(&received)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, err
	}
	return fromMicro(received), nil
}
