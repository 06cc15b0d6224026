package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/inbound"
)

// tries is how often a transaction of several statements is begun anew when
// others were in its way.
const tries = 5

// transact makes one transaction, again from the beginning if it was not made
// for a reason that passes. A commit of unknown outcome is an error.
func (p *Postgres) transact(ctx context.Context, within time.Duration, do func(context.Context, pgx.Tx) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	wait := firstPause
	for range tries {
		committing := false
		err = p.saw(pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
			if p.overridden.Load() {
				if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = on"); err != nil {
					return err
				}
			}
			err := do(ctx, tx)
			committing = err == nil
			return err
		}))
		if err == nil || committing || !passes(err) || !pause(ctx, wait) {
			return err
		}
		wait *= 2
	}
	return err
}

// standing is a delivery as an action finds it.
type standing struct {
	id       int64
	emptied  bool
	event    string
	webhook  string
	target   string
	received time.Time
	state    inbound.State
	origin   inbound.Origin
	due      time.Time // when it moved last, if it is not open
	reason   string    // of the last move
}

func (s postgresInbox) Act(ctx context.Context, a inbound.Action, f inbound.Filter, by string) (done inbound.Acted, err error) {
	events, next, err := s.page(ctx, &f)
	if err != nil {
		return done, err
	}
	if len(events) == 0 {
		return inbound.Acted{Next: next}, nil
	}
	err = s.transact(ctx, slow, func(ctx context.Context, tx pgx.Tx) error {
		done = inbound.Acted{Events: len(events), Next: next}
		found, err := lockEvents(ctx, tx, events)
		if err != nil {
			return err
		}
		return s.actOn(ctx, tx, a, found, by, &f, &done)
	})
	if err != nil {
		return inbound.Acted{}, fmt.Errorf("%s events: %w", a, err)
	}
	if len(done.Moved) > 0 {
		s.announce()
	}
	return done, nil
}

// lockEvents locks the lanes and the deliveries of events and reads how they
// stand now, in the order of the events.
func lockEvents(ctx context.Context, tx pgx.Tx, events []*pgEvent) (found []standing, err error) {
	var seqs []int64
	bySeq := map[int64]*pgEvent{}
	for _, e := range events {
		seqs, bySeq[e.seq] = append(seqs, e.seq), e
	}
	var ids []int64
	rows, _ := tx.Query(ctx, "SELECT d.id FROM unnest($1::bigint[]) AS e(seq) CROSS JOIN LATERAL "+ofEvent+" d", seqs)
	if ids, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
		return nil, err
	}
	b := &pgx.Batch{}
	lockLanesOf(b, ids)
	byEvent := map[int64][]standing{}
	b.Queue("SELECT id, target, state, origin, due, reason FROM postern_deliveries WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE", ids).Query(func(rows pgx.Rows) error {
		var d standing
		_, err := pgx.ForEachRow(rows, []any{&d.id, &d.target, &d.state, &d.origin, &d.due, &d.reason}, func() error {
			e := bySeq[d.id/perSeq]
			d.event, d.webhook, d.received, d.target, d.reason = e.ID, e.Webhook, e.Received, unescaped(d.target), unescaped(d.reason)
			byEvent[e.seq] = append(byEvent[e.seq], d)
			return nil
		})
		return err
	})
	// After the locks: bodies are removed under the same ones.
	b.Queue("SELECT seq FROM postern_events WHERE seq = ANY($1::bigint[]) AND emptied IS NOT NULL", seqs).Query(func(rows pgx.Rows) error {
		var seq int64
		_, err := pgx.ForEachRow(rows, []any{&seq}, func() error {
			for i := range byEvent[seq] {
				byEvent[seq][i].emptied = true
			}
			return nil
		})
		return err
	})
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	for _, seq := range seqs {
		found = append(found, byEvent[seq]...)
	}
	return found, nil
}

// actSQL makes moves of deliveries that are locked. Those of a lane wait until
// it is settled. The trail tells the time after the locks were had.
const actSQL = `
WITH input AS MATERIALIZED (
  SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[]) AS i(id, state, origin)
), was AS MATERIALIZED (
  SELECT d.id, d.state FROM postern_deliveries d JOIN input i USING (id)
), moved AS (
  UPDATE postern_deliveries d SET state = i.state, origin = i.origin, waiting = d.lane IS NOT NULL AND i.state = 'received',
    standing = 0,
    due = now(), fence = d.fence + 1, attempt = 0, wait = 0, reason = $4
  FROM input i WHERE d.id = i.id RETURNING d.id, d.fence, d.state, d.target
), trail AS (
  INSERT INTO postern_trail (day, delivery, fence, at, from_state, to_state, attempt, status, took, reason, detail, actor, replica)
  SELECT (now() AT TIME ZONE 'UTC')::date, m.id, m.fence, statement_timestamp(), w.state, m.state, 0, 0, 0, $4, '', $5, $6 FROM moved m JOIN was w USING (id)
), tally AS (
  INSERT INTO postern_tally (webhook, state, n)
  SELECT split_part(m.target, '/', 1), c.state, sum(c.n) FROM moved m JOIN was w USING (id) CROSS JOIN LATERAL (VALUES (w.state, -1), (m.state, 1)) AS c(state, n)
  WHERE c.state NOT IN ('received', 'retrying', 'processing') GROUP BY 1, 2
)
SELECT statement_timestamp()`

// actOn makes the moves of a on deliveries that are locked.
func (p *Postgres) actOn(ctx context.Context, tx pgx.Tx, a inbound.Action, found []standing, by string, f *inbound.Filter, done *inbound.Acted) error {
	var ids []int64
	var states, origins []string
	for _, d := range found {
		to, ok := a.Move(d.state)
		if !ok || !f.Means(d.state, d.reason) || !d.state.Open() && !f.Unmoved.IsZero() && !d.due.Before(f.Unmoved) {
			done.Skipped++
			continue
		}
		if to.Open() && d.emptied {
			done.Emptied++
			continue
		}
		if !inbound.Legal(d.state, to) {
			return errIllegal(d.state, to)
		}
		ids, states, origins = append(ids, d.id), append(states, string(to)), append(origins, string(a.Origin(d.origin)))
		done.Moved = append(done.Moved, inbound.Transition{
			Event: d.event, Webhook: d.webhook, Target: d.target, Received: d.received, From: d.state, To: to, Reason: string(a), By: by, Replica: p.opt.Replica,
		})
	}
	if len(ids) == 0 {
		return nil
	}
	b := &pgx.Batch{}
	b.Queue(actSQL, ids, states, origins, string(a), escaped(by), p.replica).QueryRow(func(row pgx.Row) error {
		var at time.Time
		err := row.Scan(&at)
		for i := range done.Moved {
			done.Moved[i].At = at
		}
		return err
	})
	settleLanesOf(b, ids)
	return tx.SendBatch(ctx, b).Close()
}

// pruneCandidates finds events that seem to be done; that is looked at again
// when their deliveries are locked. The moves are compared by the clock of the
// database.
const pruneCandidates = `
SELECT ` + pgEventColumns + ` FROM postern_events e
WHERE e.received < $1 AND NOT EXISTS (
  SELECT 1 FROM ` + ofEvent + ` d WHERE d.state IN ('received', 'retrying', 'processing') OR d.standing = 2 OR d.due >= now() + $2 * interval '1 microsecond')
AND NOT (e.items > 0 AND EXISTS (SELECT 1 FROM postern_events c WHERE c.parent = e.id AND c.parent <> ''))
ORDER BY e.seq LIMIT $3 FOR UPDATE OF e SKIP LOCKED`

const pgPruneSQL = `
WITH done AS MATERIALIZED (
  SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::int[]) AS e(seq, dedupe, variant)
  WHERE NOT EXISTS (SELECT 1 FROM ` + ofEvent + ` d WHERE d.state IN ('received', 'retrying', 'processing') OR d.standing = 2 OR d.due >= now() + $4 * interval '1 microsecond')
), deliveries AS (
  DELETE FROM postern_deliveries WHERE id = ANY(ARRAY(SELECT d.id FROM done e CROSS JOIN LATERAL ` + ofEvent + ` d)) RETURNING target, state
), tally AS (
  INSERT INTO postern_tally (webhook, state, n) SELECT split_part(target, '/', 1), state, -count(*) FROM deliveries GROUP BY 1, 2
), keys AS (
  DELETE FROM postern_keys k USING done JOIN postern_events e USING (seq)
  WHERE k.dedupe = done.dedupe AND k.variant = done.variant AND (e.horizon IS NULL OR e.horizon <= now())
), known AS (
  UPDATE postern_keys k SET until = e.horizon, id = e.id, webhook = e.webhook, account = e.account, event_id = e.event_id
  FROM done JOIN postern_events e USING (seq) WHERE k.dedupe = done.dedupe AND k.variant = done.variant AND e.horizon > now()
), listed AS (
  DELETE FROM postern_listed l USING done WHERE l.seq = done.seq
), events AS (
  DELETE FROM postern_events e USING done WHERE e.seq = done.seq RETURNING e.seq
)
SELECT count(*) FROM events`

// Prune deletes everything of an event but its body and its trail: these go with
// the partitions of their days, see [Postgres.Maintain].
func (s postgresInbox) Prune(ctx context.Context, before time.Time, n int) (deleted int, err error) {
	err = s.transact(ctx, slow, func(ctx context.Context, tx pgx.Tx) error {
		deleted = 0
		ago := delay(before)
		var seqs []int64
		var keys [][]byte
		var variants []int32
		e := &pgEvent{}
		fields, set := e.into()
		rows, _ := tx.Query(ctx, pruneCandidates, before, ago, n)
		if _, err := pgx.ForEachRow(rows, fields, func() error {
			set()
			seqs, keys, variants = append(seqs, e.seq), append(keys, dedupeKey(&e.Event)), append(variants, int32(e.Variant))
			return nil
		}); err != nil {
			return err
		}
		b := &pgx.Batch{}
		b.Queue("DELETE FROM postern_keys WHERE (dedupe, variant) IN (SELECT dedupe, variant FROM postern_keys WHERE until <= now() LIMIT $1 FOR UPDATE SKIP LOCKED)", n)
		b.Queue(`INSERT INTO postern_notes AS o (name, at) VALUES ('pruned', now() + $1 * interval '1 microsecond')
ON CONFLICT (name) DO UPDATE SET at = excluded.at WHERE o.at < excluded.at - interval '10 minutes'`, ago)
		if len(seqs) > 0 {
			b.Queue("SELECT 1 FROM postern_deliveries WHERE id = ANY(ARRAY(SELECT d.id FROM unnest($1::bigint[]) AS e(seq) CROSS JOIN LATERAL "+ofEvent+" d)) ORDER BY id FOR UPDATE", seqs)
			b.Queue(pgPruneSQL, seqs, keys, variants, ago).QueryRow(func(row pgx.Row) error { return row.Scan(&deleted) })
		}
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return 0, fmt.Errorf("delete old events: %w", err)
	}
	return deleted, nil
}
