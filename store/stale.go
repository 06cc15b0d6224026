package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/postern-proxy/postern/policy/fallback"
)

// staleKept is how many answers for when a provider is down are kept; of more the
// ones that end first go.
const staleKept = 20_000

// Stale returns m as the store of answers for when a provider is down.
func (m *Memory) Stale() fallback.Store { return memoryStale{m} }

type memoryStale struct{ *Memory }

func (m memoryStale) Put(ctx context.Context, rows []fallback.Row) error {
	if err := cmp.Or(ctx.Err(), checkStale(rows)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range rows {
		r.Sealed, r.Until = bytes.Clone(r.Sealed), instant(r.Until)
		m.stale[r.ID] = r
	}
	return nil
}

func (m memoryStale) Get(ctx context.Context, id fallback.ID) (fallback.Row, bool, error) {
	if err := ctx.Err(); err != nil {
		return fallback.Row{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.stale[id]
	if !ok || !r.Until.After(time.Now()) {
		return fallback.Row{}, false, nil
	}
	r.Sealed = bytes.Clone(r.Sealed)
	return r, true, nil
}

// checkStale says what is wrong with rows that are to be kept.
func checkStale(rows []fallback.Row) error {
	for i := range rows {
		if err := rows[i].Check(); err != nil {
			return err
		}
	}
	return nil
}

// inOrder is rows in the order of their IDs, which is that of their locks, each ID
// once: of several the last.
func inOrder(rows []fallback.Row) []fallback.Row {
	rows = slices.Clone(rows)
	slices.Reverse(rows)
	slices.SortStableFunc(rows, func(a, b fallback.Row) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return slices.CompactFunc(rows, func(a, b fallback.Row) bool { return a.ID == b.ID })
}

// Stale returns s as the store of answers for when a provider is down.
func (s *SQLite) Stale() fallback.Store { return sqliteStale{s} }

type sqliteStale struct{ *SQLite }

const (
	putStale = "INSERT INTO stale (id, sealed, until) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, until = excluded.until"
	getStale = "SELECT sealed, until FROM stale WHERE id = ? AND until > ?"

	pruneStale  = "DELETE FROM stale WHERE id IN (SELECT id FROM stale WHERE until <= ? LIMIT ?)"
	excessStale = "DELETE FROM stale WHERE id IN (SELECT id FROM stale ORDER BY until DESC LIMIT ?2 OFFSET ?1)"
)

func (s sqliteStale) Put(ctx context.Context, rows []fallback.Row) error {
	if err := checkStale(rows); err != nil {
		return err
	}
	size := 0
	for i := range rows {
		size += len(rows[i].Sealed)
	}
	err := s.do(ctx, size, func(t *tx) error {
		for i := range rows {
			if err := t.exec(putStale, rows[i].ID[:], rows[i].Sealed, rows[i].Until.UnixMicro()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep answers: %w", err)
	}
	return nil
}

func (s sqliteStale) Get(ctx context.Context, id fallback.ID) (row fallback.Row, ok bool, err error) {
	row.ID = id
	var until int64
	err = s.read.QueryRowContext(ctx, getStale, id[:], time.Now().UnixMicro()).Scan(&row.Sealed, &until)
	switch {
	case err == sql.ErrNoRows: //nolint:errorlint // as Scan has it
		return fallback.Row{}, false, nil
	case err != nil:
		return fallback.Row{}, false, fmt.Errorf("look for an answer: %w", err)
	}
	row.Until = fromMicro(until)
	return row, true, nil
}

// maintainStale forgets what is of no use any more, and what is too much.
func (s *SQLite) maintainStale(ctx context.Context) error {
	if err := s.prune(ctx, pruneStale, time.Now().UnixMicro()); err != nil {
		return fmt.Errorf("forget old answers for when a provider is down: %w", err)
	}
	if err := s.prune(ctx, excessStale, staleKept); err != nil {
		return fmt.Errorf("forget answers for when a provider is down: %w", err)
	}
	return nil
}
