package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/policy/fallback"
)

// Stale returns p as the store of answers for when a provider is down.
func (p *Postgres) Stale() fallback.Store { return postgresStale{p} }

type postgresStale struct{ *Postgres }

const (
	pgPutStale = `INSERT INTO postern_stale (id, sealed, until) SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::timestamptz[])
ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, until = excluded.until`
	pgGetStale = "SELECT sealed, until FROM postern_stale WHERE id = $1 AND until > clock_timestamp()"

	pgPruneStale  = "DELETE FROM postern_stale WHERE id IN (SELECT id FROM postern_stale WHERE until <= clock_timestamp() LIMIT $1 FOR UPDATE SKIP LOCKED)"
	pgExcessStale = "DELETE FROM postern_stale WHERE id IN (SELECT id FROM postern_stale ORDER BY until DESC LIMIT $1 OFFSET $2)"
)

func (s postgresStale) Put(ctx context.Context, rows []fallback.Row) error {
	if err := checkStale(rows); err != nil {
		return err
	}
	rows = inOrder(rows)
	ids, sealed, until := make([][]byte, len(rows)), make([][]byte, len(rows)), make([]time.Time, len(rows))
	for i := range rows {
		ids[i], sealed[i], until[i] = rows[i].ID[:], rows[i].Sealed, rows[i].Until
	}
	b := &pgx.Batch{} // not by write: it may be lost in a crash
	b.Queue(pgPutStale, ids, sealed, until)
	if err := s.send(ctx, quick, b); err != nil {
		return fmt.Errorf("keep answers: %w", err)
	}
	return nil
}

func (s postgresStale) Get(ctx context.Context, id fallback.ID) (row fallback.Row, ok bool, err error) {
	err = s.Postgres.read(ctx, func(r pgx.Rows) error {
		ok, row.ID = true, id
		return r.Scan(&row.Sealed, &row.Until)
	}, pgGetStale, id[:])
	if err != nil {
		return fallback.Row{}, false, fmt.Errorf("look for an answer: %w", err)
	}
	return row, ok, nil
}

// maintainStale forgets what is of no use any more, and what is too much.
func (p *Postgres) maintainStale(ctx context.Context) error {
	if err := p.prune(ctx, pgPruneStale); err != nil {
		return fmt.Errorf("forget old answers for when a provider is down: %w", err)
	}
	if err := p.prune(ctx, pgExcessStale, staleKept); err != nil {
		return fmt.Errorf("forget answers for when a provider is down: %w", err)
	}
	return nil
}
