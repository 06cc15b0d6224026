package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
)

// What changes who is open in a lane locks the row of the lane first, lanes in
// their order, and only then any delivery. So of all replicas one at a time
// decides who leads, and what it reads after the lock is the truth: that is why
// these are statements of their own in the same transaction.

// lanesOf are the lanes of the deliveries of a parameter.
const lanesOf = "(SELECT lane FROM postern_deliveries WHERE id = ANY($1::bigint[]))"

// lockLanesOf locks the lanes of deliveries and the heads of these lanes, which
// a claim then passes over.
func lockLanesOf(b *pgx.Batch, ids any) {
	b.Queue(`INSERT INTO postern_lanes AS l (lane, head)
SELECT DISTINCT lane, 0 FROM postern_deliveries WHERE id = ANY($1::bigint[]) AND lane IS NOT NULL ORDER BY lane
ON CONFLICT (lane) DO UPDATE SET head = l.head`, ids)
	b.Queue(`SELECT 1 FROM postern_deliveries d WHERE d.id IN (SELECT l.head FROM postern_lanes l WHERE l.lane IN `+lanesOf+`) ORDER BY d.id FOR UPDATE`, ids)
}

// settleSQL gives lanes the heads that they should have: the first that is open, or
// one that has stepped aside and fell due before that, but not before one that is
// due, leased, or holds the lane although it has failed. A head falls due now at the
// earliest, see [tx.settle].
const settleSQL = `WITH lane AS MATERIALIZED (
  SELECT l.lane, l.head, coalesce((SELECT c.id FROM (
      (SELECT d.id, d.due, 0 AS behind FROM postern_deliveries d
       WHERE d.lane = l.lane AND d.state IN ('received', 'retrying', 'processing') AND d.standing = 0 ORDER BY d.id LIMIT 1)
      UNION ALL
      (SELECT d.id, d.due, 1 FROM postern_deliveries d
       WHERE d.lane = l.lane AND d.state IN ('received', 'retrying', 'processing') AND d.standing <> 0 ORDER BY d.due LIMIT 1)
    ) c ORDER BY c.due, c.behind LIMIT 1), 0) AS first
  FROM postern_lanes l WHERE l.lane IN `

const settledSQL = `
), next AS MATERIALIZED (
  SELECT lane, head, first FROM lane l WHERE (head <> first OR EXISTS (SELECT 1 FROM postern_deliveries d WHERE d.id = l.first AND d.waiting)) AND NOT EXISTS (
    SELECT 1 FROM postern_deliveries d WHERE d.id = l.head AND NOT d.waiting
      AND (d.state = 'processing' OR d.state IN ('received', 'retrying') AND d.due <= now() OR d.state = 'failed' AND d.standing = 2))
), led AS (
  UPDATE postern_deliveries d SET waiting = d.id <> n.first, due = CASE d.id WHEN n.first THEN greatest(d.due, now()) ELSE d.due END
  FROM next n WHERE d.id IN (n.head, n.first) AND d.lane = n.lane AND d.state IN ('received', 'retrying', 'processing')
)
UPDATE postern_lanes l SET head = n.first FROM next n WHERE l.lane = n.lane`

// settleLanesOf settles the lanes of deliveries.
func settleLanesOf(b *pgx.Batch, ids any) { b.Queue(settleSQL+lanesOf+settledSQL, ids) }

// passAside lets what has been stored in lanes go before heads that have stepped
// aside. The lanes are locked.
func passAside(b *pgx.Batch, lanes [][]byte) {
	b.Queue(`SELECT 1 FROM postern_deliveries d WHERE d.id IN (SELECT l.head FROM postern_lanes l WHERE l.lane = ANY($1::bytea[])) AND d.standing = 1 ORDER BY d.id FOR UPDATE`, lanes)
	b.Queue(settleSQL+`(SELECT l.lane FROM postern_lanes l JOIN postern_deliveries d ON d.id = l.head WHERE l.lane = ANY($1::bytea[]) AND d.standing = 1)`+settledSQL, lanes)
}

func (s postgresInbox) Lane(ctx context.Context, l queue.Lease) (out inbound.Lane, err error) {
	found := false
	var lane []byte
	err = s.read(ctx, func(r pgx.Rows) error {
		found = true
		m := &out.Mark
		err := r.Scan(&lane, &out.Place, &out.NewestEvent, &m.Seen, &m.SeenEvent, &m.Applied, &m.AppliedEvent, &m.State)
		m.SeenEvent, m.AppliedEvent, m.State = unescaped(m.SeenEvent), unescaped(m.AppliedEvent), unescaped(m.State)
		return err
	}, `SELECT d.lane, e.seq, e.id, coalesce(l.seen, ''), coalesce(l.seen_event, ''), coalesce(l.applied, ''), coalesce(l.applied_event, ''), coalesce(l.state, '')
FROM postern_deliveries d JOIN postern_events e ON e.seq = d.id / 512 LEFT JOIN postern_lanes l ON l.lane = d.lane AND l.until > now()
WHERE d.id = $1 AND d.fence = $2 AND d.state = 'processing'`, l.Key, l.Token)
	switch {
	case err != nil:
		return out, fmt.Errorf("read a lane: %w", err)
	case !found:
		return out, queue.ErrStale
	}
	out.Newest, out.NewestEvent = out.Place, unescaped(out.NewestEvent)
	if lane == nil {
		return out, nil
	}
	err = s.read(ctx, func(r pgx.Rows) error {
		err := r.Scan(&out.Newest, &out.NewestEvent)
		out.NewestEvent = unescaped(out.NewestEvent)
		return err
	}, `SELECT e.seq, e.id FROM postern_events e WHERE e.seq = (SELECT max(c.id) FROM (
  (SELECT d.id FROM postern_deliveries d WHERE d.lane = $1 AND d.state IN ('received', 'retrying', 'processing') AND d.standing = 0 ORDER BY d.id DESC LIMIT 1)
  UNION ALL
  SELECT d.id FROM postern_deliveries d WHERE d.lane = $1 AND d.state IN ('received', 'retrying', 'processing') AND d.standing <> 0) c) / 512`, lane)
	if err != nil {
		return out, fmt.Errorf("read a lane: %w", err)
	}
	return out, nil
}

// sweepSQL ignores what waits in a lane up to a place. Its row is locked.
const sweepSQL = `
WITH held AS MATERIALIZED (
  SELECT d.id, d.state, d.attempt FROM postern_deliveries d WHERE d.id = ANY(ARRAY(
    SELECT id FROM postern_deliveries WHERE lane = $1 AND state IN ('received', 'retrying') AND standing = 0
    UNION ALL SELECT id FROM postern_deliveries WHERE lane = $1 AND state IN ('received', 'retrying') AND standing <> 0)) AND d.id < $2 ORDER BY d.id FOR UPDATE
), moved AS (
  UPDATE postern_deliveries d SET state = 'ignored', standing = 0, waiting = false, due = now(), fence = d.fence + 1, wait = 0, reason = $3
  FROM held h WHERE d.id = h.id RETURNING d.id, d.fence, d.target, h.state AS was, d.attempt
), trail AS (
  INSERT INTO postern_trail (day, delivery, fence, at, from_state, to_state, attempt, status, took, reason, detail, actor, replica)
  SELECT (now() AT TIME ZONE 'UTC')::date, id, fence, clock_timestamp(), was, 'ignored', attempt, 0, 0, $3, '', '', $4 FROM moved
), tally AS (
  INSERT INTO postern_tally (webhook, state, n) SELECT split_part(target, '/', 1), 'ignored', count(*) FROM moved GROUP BY 1
)
SELECT e.id, e.webhook, e.received, m.was, m.attempt, m.target, clock_timestamp() FROM moved m JOIN postern_events e ON e.seq = m.id / 512 ORDER BY m.id`

func (s postgresInbox) Sweep(ctx context.Context, l queue.Lease, upTo int64, reason string) (moved []inbound.Transition, err error) {
	err = s.transact(ctx, quick, func(ctx context.Context, tx pgx.Tx) error {
		moved = nil
		b := &pgx.Batch{}
		lockLanesOf(b, []int64{l.Key})
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		var lane []byte
		err := tx.QueryRow(ctx, "SELECT lane FROM postern_deliveries WHERE id = $1 AND fence = $2 AND state = 'processing' FOR UPDATE", l.Key, l.Token).Scan(&lane)
		if err == pgx.ErrNoRows { //nolint:errorlint // as Scan has it
			return queue.ErrStale
		}
		if err != nil || lane == nil {
			return err
		}
		rows, _ := tx.Query(ctx, sweepSQL, lane, (upTo+1)*perSeq, escaped(reason), s.replica)
		t := inbound.Transition{To: inbound.Ignored, Reason: reason, Replica: s.opt.Replica}
		_, err = pgx.ForEachRow(rows, []any{&t.Event, &t.Webhook, &t.Received, &t.From, &t.Attempt, &t.Target, &t.At}, func() error {
			made := t
			made.Event, made.Webhook, made.Target = unescaped(t.Event), unescaped(t.Webhook), unescaped(t.Target)
			moved = append(moved, made)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sweep a lane: %w", err)
	}
	return moved, nil
}

// reachSQL raises the marks of lanes by what deliveries that are applied have
// reached. The lanes are locked; only what this holder of the lease has made applied
// has the fence after its own.
const reachSQL = `
WITH up AS MATERIALIZED (
  SELECT d.lane, e.id AS event, i.rank, i.state, now() + i.keep * interval '1 microsecond' AS until
  FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[]) AS i(id, fence, rank, state, keep)
  JOIN postern_deliveries d ON d.id = i.id AND d.fence = i.fence + 1 AND d.state = 'applied' AND d.lane IS NOT NULL
  JOIN postern_events e ON e.seq = d.id / 512
), old AS MATERIALIZED (
  SELECT l.lane, u.event, u.rank, u.state, u.until, coalesce(l.until <= now(), true) AS over FROM up u JOIN postern_lanes l ON l.lane = u.lane
)
UPDATE postern_lanes l SET
  seen_event = CASE WHEN o.over OR ` + raises + ` THEN CASE o.rank WHEN '' THEN '' ELSE o.event END ELSE l.seen_event END,
  seen = CASE WHEN o.over OR ` + raises + ` THEN o.rank ELSE l.seen END,
  applied_event = CASE WHEN o.over OR o.rank <> '' AND (left(l.applied, 1) <> left(o.rank, 1) OR o.rank > l.applied) THEN CASE o.rank WHEN '' THEN '' ELSE o.event END ELSE l.applied_event END,
  applied = CASE WHEN o.over OR o.rank <> '' AND (left(l.applied, 1) <> left(o.rank, 1) OR o.rank > l.applied) THEN o.rank ELSE l.applied END,
  state = CASE WHEN o.over OR o.state <> '' THEN o.state ELSE l.state END,
  until = greatest(l.until, o.until)
FROM old o WHERE l.lane = o.lane`

// raises is whether the rank of o raises what is seen in l.
const raises = "o.rank <> '' AND (left(l.seen, 1) <> left(o.rank, 1) OR o.rank > l.seen)"

func reachLanes(b *pgx.Batch, all []*change[*finish]) {
	var ids, fences, keep []int64
	var ranks, states []string
	for _, c := range all {
		l, up := c.work.lease, c.work.move.Reached
		if up == nil || c.work.move.To != inbound.Applied {
			continue
		}
		ids, fences, keep = append(ids, l.Key), append(fences, l.Token), append(keep, min(up.Keep, century).Microseconds())
		ranks, states = append(ranks, string(up.Rank)), append(states, escaped(up.State))
	}
	if len(ids) > 0 {
		b.Queue(reachSQL, ids, fences, ranks, states, keep)
	}
}
