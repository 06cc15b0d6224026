package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/postern-proxy/postern/connection"
)

// Connections returns p as the store of connections.
func (p *Postgres) Connections() connection.Store { return postgresConnections{p} }

type postgresConnections struct{ *Postgres }

// untilDone does what may be done twice, again if the server or the way to it
// was in trouble, as long as somebody waits. first is false if it may have been
// done before.
func (p *Postgres) untilDone(ctx context.Context, within time.Duration, do func(ctx context.Context, first bool) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	first := true
	for wait := firstPause; ; wait = min(2*wait, lastPause) {
		err = do(ctx, first)
		first = false
		if err == nil || !passes(err) || !pause(ctx, wait) {
			return err
		}
	}
}

// The writes of connections. What both say after "saved" is the same: the move
// is written with the row, and with the number of the write, by which a writer
// that lost the answer finds it again.
const (
	pgInsertInto = `INSERT INTO postern_connections (provider, account, credential, fence, state, generation, access, refresh, extra, hosts, base_url, needs, granted,
    obtained, expiry, refresh_expiry, tries, failures, failure, revoke_due, holder, until, created, changed) `

	pgInsertConnection = `
WITH saved AS (
  ` + pgInsertInto + `
  SELECT $1, $2, $3, $4::bigint + 1, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, t, t FROM clock_timestamp() AS t
  ON CONFLICT (provider, account, credential) DO NOTHING RETURNING id, fence, created, changed
)` + pgConnectionMove

	pgUpdateConnection = `
WITH saved AS (
  UPDATE postern_connections SET state = $5, generation = $6, access = $7, refresh = $8, extra = $9, hosts = $10, base_url = $11, needs = $12, granted = $13,
    obtained = $14, expiry = $15, refresh_expiry = $16, tries = $17, failures = $18, failure = $19, revoke_due = $20, holder = $21, until = $22,
    fence = fence + 1, changed = clock_timestamp()
  WHERE provider = $1 AND account = $2 AND credential = $3 AND fence = $4::bigint RETURNING id, fence, created, changed
)` + pgConnectionMove

	pgConnectionMove = `, told AS (
  INSERT INTO postern_connection_moves (connection, fence, write, at, from_state, to_state, generation, reason, actor, replica)
  SELECT id, fence, $23::bytea, changed, $24, $25, $26, $27, $28, $29 FROM saved
)
SELECT created, changed FROM saved`

	pgCopyConnection = pgInsertInto + `
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)
ON CONFLICT (provider, account, credential) DO NOTHING RETURNING id`

	// pgConnectionWrite finds a write that was made.
	pgConnectionWrite = `
SELECT c.created, m.at FROM postern_connections c JOIN postern_connection_moves m ON m.connection = c.id
WHERE c.provider = $1 AND c.account = $2 AND c.credential = $3 AND m.fence = $4::bigint + 1 AND m.write = $5`
)

func (s postgresConnections) Save(ctx context.Context, r connection.Row, m connection.Move) (connection.Row, error) {
	if err := checkConnection(&r); err != nil {
		return connection.Row{}, err
	}
	r = kept(r)
	write := make([]byte, 16)
	_, _ = rand.Read(write) // never fails
	args := append(pgConnectionArgs(&r), write, string(m.From), string(m.To), m.Generation, escaped(m.Reason), escaped(m.By), s.replica)
	query := pgUpdateConnection
	if r.Fence == 0 {
		query = pgInsertConnection
	}
	var created, changed time.Time // of the row, once it is written
	err := s.untilDone(ctx, quick, func(ctx context.Context, first bool) error {
		into := func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&created, &changed}, func() error { return nil })
			return err
		}
		err := s.write(ctx, quick, func(b *pgx.Batch) { b.Queue(query, args...).Query(into) })
		if err == nil && created.IsZero() && !first {
			err = s.write(ctx, quick, func(b *pgx.Batch) {
				b.Queue(pgConnectionWrite, args[0], args[1], args[2], r.Fence, write).Query(into)
				b.Queue(commitOfOurs)
			})
		}
		return err
	})
	switch {
	case err != nil:
		return connection.Row{}, fmt.Errorf("save the connection of %s: %w", r.Provider, err)
	case created.IsZero():
		return connection.Row{}, connection.ErrStale
	}
	return saved(r, created, changed), nil
}

// commitOfOurs makes a transaction that only reads wait for its commit as one
// that writes does: what it has seen is then where a commit has to be.
const commitOfOurs = "SELECT pg_logical_emit_message(true, 'postern', '')"

// pgConnectionArgs are the first 22 parameters of both writes.
func pgConnectionArgs(r *connection.Row) []any {
	return []any{
		escaped(r.Provider), escaped(r.Account), escaped(r.Credential), r.Fence,
		string(r.State), r.Generation, notNil(r.Access), notNil(r.Refresh), notNil(r.Extra),
		pgTexts(r.Hosts), escaped(r.BaseURL), pgTexts(r.Needs), pgTexts(r.Granted),
		moment(r.Obtained), moment(r.Expiry), moment(r.RefreshExpiry), int64(r.Tries), int64(r.Failures), escaped(r.Failure),
		moment(r.RevokeDue), escaped(r.Holder), moment(r.Until),
	}
}

// pgTexts is a list for a column of texts.
func pgTexts(list []string) []string {
	if out := eachOf(escaped, list); out != nil {
		return out
	}
	return []string{}
}

// What maintenance deletes, up to $1 rows at once.
const (
	pgPruneTickets = `DELETE FROM postern_tickets WHERE id IN (SELECT id FROM postern_tickets WHERE expires <= clock_timestamp() LIMIT $1)`

	pgPruneOld = `DELETE FROM postern_connection_moves WHERE (connection, fence) IN (
  SELECT m.connection, m.fence FROM postern_connection_moves m JOIN postern_connections c ON c.id = m.connection
  WHERE m.at < clock_timestamp() - $2 * interval '1 microsecond' AND m.fence < c.fence LIMIT $1)`

	// pgPruneMany looks at few rows of each connection, whatever the planner thinks.
	pgPruneMany = `DELETE FROM postern_connection_moves WHERE (connection, fence) IN (
  SELECT m.connection, m.fence FROM postern_connections c
  CROSS JOIN LATERAL (SELECT connection, fence FROM postern_connection_moves WHERE connection = c.id AND fence <= c.fence - $2::bigint LIMIT $1) m LIMIT $1)`
)

// maintainConnections removes tickets that have expired, and history that is too
// old or too much, a little at a time.
func (p *Postgres) maintainConnections(ctx context.Context) error {
	err := errors.Join(p.prune(ctx, pgPruneTickets), p.prune(ctx, pgPruneMany, historyKept))
	if p.opt.Retain > 0 {
		err = errors.Join(err, p.prune(ctx, pgPruneOld, p.opt.Retain.Microseconds()))
	}
	if err != nil {
		return fmt.Errorf("tidy connections: %w", err)
	}
	return nil
}

// prune deletes all that a query finds, some at a time.
func (p *Postgres) prune(ctx context.Context, query string, args ...any) error {
	for n := int64(prunedAtOnce); n == prunedAtOnce; {
		b := &pgx.Batch{}
		b.Queue(query, append([]any{prunedAtOnce}, args...)...).Exec(func(t pgconn.CommandTag) error {
			n = t.RowsAffected()
			return nil
		})
		if err := p.send(ctx, patient, b); err != nil {
			return err
		}
	}
	return nil
}
