package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/postern-proxy/postern/policy/idempotency"
)

func (s postgresAnswers) Renew(ctx context.Context, l idempotency.Lease, lasts time.Duration) error {
	var n int64
	err := s.untilDone(ctx, quick, func(ctx context.Context, _ bool) error {
		return s.write(ctx, quick, func(b *pgx.Batch) {
			b.Queue("UPDATE postern_answers SET until = clock_timestamp() + $3 * interval '1 microsecond' WHERE id = $1 AND token = $2 AND state = 'sent'",
				l.ID[:], l.Token[:], lasts.Microseconds()).Exec(func(t pgconn.CommandTag) error {
				n = t.RowsAffected()
				return nil
			})
		})
	})
	switch {
	case err != nil:
		return fmt.Errorf("renew a call with an idempotency key: %w", err)
	case n == 0:
		return idempotency.ErrLost
	}
	return nil
}

// conclusion is the end of a call, and whether the lease held.
type conclusion struct {
	lease  idempotency.Lease
	ending *idempotency.Ending
	held   bool
	sent   bool // it may have been made without our having learnt of it
}

func (s postgresAnswers) End(ctx context.Context, l idempotency.Lease, e *idempotency.Ending) error {
	if err := e.Check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, slow)
	defer cancel()
	c := &conclusion{lease: l, ending: e}
	if err := s.ends.do(ctx, len(e.Answer), c); err != nil {
		return err
	}
	if !c.held {
		return idempotency.ErrLost
	}
	return nil
}

const (
	// Rows are locked in the order in which claims lock them.
	pgLockAnswers = "SELECT id FROM postern_answers WHERE id = ANY($1) ORDER BY id FOR UPDATE"

	pgEndAnswers = `UPDATE postern_answers a SET state = i.state, why = i.why, answer = i.answer, until = clock_timestamp(), expires = clock_timestamp() + i.keep * interval '1 microsecond'
FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::text[], $5::bytea[], $6::bigint[]) AS i(id, token, state, why, answer, keep)
WHERE a.id = i.id AND a.token = i.token AND i.state <> '' RETURNING a.id, a.token`

	pgFreeAnswers = `DELETE FROM postern_answers a USING unnest($1::bytea[], $2::bytea[], $3::text[]) AS i(id, token, state)
WHERE a.id = i.id AND a.token = i.token AND i.state = '' RETURNING a.id, a.token`
)

// endAll tells the ends of many calls together.
func (p *Postgres) endAll(all []*change[*conclusion]) {
	var again patience
	for len(all) > 0 {
		err := p.endOnce(all)
		switch {
		case err == nil:
			for _, c := range all {
				c.done <- nil
			}
			return
		case passes(err):
			all = wait(&again, all, err)
		case blames(err) && len(all) > 1:
			p.endAll(all[:len(all)/2])
			all = all[len(all)/2:]
		default:
			for _, c := range all {
				c.done <- err
			}
			return
		}
	}
}

func (p *Postgres) endOnce(all []*change[*conclusion]) error {
	n := len(all)
	ids, tokens, answers, states, whys, keeps := make([][]byte, n), make([][]byte, n), make([][]byte, n), make([]string, n), make([]string, n), make([]int64, n)
	for i, c := range all {
		l, e := &c.work.lease, c.work.ending
		ids[i], tokens[i], answers[i], states[i], whys[i], keeps[i] = l.ID[:], l.Token[:], notNil(e.Answer), string(e.State), escaped(e.Why), e.Keep.Microseconds()
	}
	held := map[idempotency.Lease]bool{}
	note := func(rows pgx.Rows) error {
		var id, token []byte
		_, err := pgx.ForEachRow(rows, []any{&id, &token}, func() error {
			held[idempotency.Lease{ID: idempotency.ID(id), Token: [16]byte(token)}] = true
			return nil
		})
		return err
	}
	err := p.write(context.Background(), quick, func(b *pgx.Batch) {
		b.Queue(pgLockAnswers, ids)
		b.Queue(pgEndAnswers, ids, tokens, states, whys, answers, keeps).Query(note)
		b.Queue(pgFreeAnswers, ids, tokens, states).Query(note)
	})
	for _, c := range all {
		switch {
		case err != nil:
			c.work.sent = true
		case held[c.work.lease], c.work.sent && c.work.ending.State == idempotency.Free: // it was freed before
			c.work.held = true
		}
	}
	if err != nil {
		return fmt.Errorf("end calls with an idempotency key: %w", err)
	}
	return nil
}

// What maintenance does about answers, up to $1 rows at once.
const (
	pgPruneAnswers = `DELETE FROM postern_answers WHERE id IN (
  SELECT id FROM postern_answers WHERE expires <= clock_timestamp() AND (state <> 'sent' OR until <= clock_timestamp()) LIMIT $1 FOR UPDATE SKIP LOCKED)`

	pgSumAnswers = "SELECT coalesce(sum(octet_length(answer)), 0)::bigint FROM postern_answers"

	pgEmptyAnswers = `
WITH oldest AS MATERIALIZED (
  SELECT id, octet_length(answer) AS size, sum(octet_length(answer)) OVER (ORDER BY expires, id) AS upto
  FROM postern_answers WHERE octet_length(answer) > 0 ORDER BY expires, id LIMIT $1
), emptied AS (
  UPDATE postern_answers a SET answer = '', why = $3 FROM oldest o WHERE a.id = o.id AND o.upto - o.size < $2::bigint RETURNING o.size
)
SELECT coalesce(sum(size), 0)::bigint FROM emptied`
)

// maintainAnswers forgets what has expired. If what is left takes too much room,
// the oldest answers go; that their calls were made is remembered.
func (p *Postgres) maintainAnswers(ctx context.Context) error {
	if err := p.prune(ctx, pgPruneAnswers); err != nil {
		return fmt.Errorf("forget old answers: %w", err)
	}
	if p.opt.Answers <= 0 {
		return nil
	}
	var total int64
	if err := p.read(ctx, func(r pgx.Rows) error { return r.Scan(&total) }, pgSumAnswers); err != nil {
		return fmt.Errorf("look how much room answers take: %w", err)
	}
	for over := total - p.opt.Answers; over > 0; {
		var gone int64
		b := &pgx.Batch{}
		b.Queue(pgEmptyAnswers, prunedAtOnce, over, whyEmptied).QueryRow(func(r pgx.Row) error { return r.Scan(&gone) })
		if err := p.send(ctx, patient, b); err != nil {
			return fmt.Errorf("empty old answers: %w", err)
		}
		if gone == 0 { // they went meanwhile
			return nil
		}
		over -= gone
	}
	return nil
}
