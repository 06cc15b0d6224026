package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/outbox"
)

// Outbox returns p as the store of an outbox.
func (p *Postgres) Outbox() outbox.Store { return outboxStore{postgresBase{p}} }

type postgresBase struct{ *Postgres }

func (b postgresBase) transaction(ctx context.Context, _ int, do func(sqlStatements) error) error {
	return b.transact(ctx, quick, func(ctx context.Context, tx pgx.Tx) error { return do(postgresTx{ctx, tx}) })
}

func (b postgresBase) reader(ctx context.Context) sqlStatements {
	return postgresReader{ctx, b.Postgres}
}

func (b postgresBase) clock(q sqlStatements) (now int64, err error) {
	err = q.rows(func(into func(...any) error) error { return into(&now) }, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
	return now, err
}

func (b postgresBase) skipping() string { return " FOR UPDATE OF o SKIP LOCKED" }
func (b postgresBase) who() string      { return b.opt.Replica }
func (b postgresBase) announce()        { b.Postgres.announce() }

type postgresTx struct {
	ctx context.Context
	tx  pgx.Tx
}

func (t postgresTx) change(query string, args ...any) (int64, error) {
	tag, err := t.tx.Exec(t.ctx, query, args...)
	return tag.RowsAffected(), err
}

func (t postgresTx) rows(scan func(func(...any) error) error, query string, args ...any) error {
	rows, err := t.tx.Query(t.ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

type postgresReader struct {
	ctx context.Context
	p   *Postgres
}

func (r postgresReader) change(query string, args ...any) (int64, error) {
	tag, err := r.p.pool.Exec(r.ctx, query, args...)
	return tag.RowsAffected(), err
}

func (r postgresReader) rows(scan func(func(...any) error) error, query string, args ...any) error {
	return r.p.read(r.ctx, func(rows pgx.Rows) error { return scan(rows.Scan) }, query, args...)
}
