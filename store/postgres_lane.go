package store

import "github.com/jackc/pgx/v5"

// What changes who is open in a lane locks the row of the lane first, lanes in
// their order, and only then any delivery. So of all replicas one at a time
// decides who leads, and what it reads after the lock is the truth: that is why
// these are statements of their own in the same transaction.

// lockLanesOf locks the lanes of deliveries and the heads of these lanes, which
// a claim then passes over.
func lockLanesOf(b *pgx.Batch, ids any) {
	b.Queue(`INSERT INTO postern_lanes AS l (lane, head)
SELECT DISTINCT lane, 0 FROM postern_deliveries WHERE id = ANY($1::bigint[]) AND lane IS NOT NULL ORDER BY lane
ON CONFLICT (lane) DO UPDATE SET head = l.head`, ids)
	b.Queue(`SELECT 1 FROM postern_deliveries d WHERE d.id IN (SELECT l.head FROM postern_lanes l WHERE l.lane IN (
  SELECT lane FROM postern_deliveries WHERE id = ANY($1::bigint[]))) ORDER BY d.id FOR UPDATE`, ids)
}

// settleLanesOf gives the lanes of deliveries the heads that they should have:
// the first that is open, but not before one that is due or leased. It falls due
// now at the earliest, see [tx.settle].
func settleLanesOf(b *pgx.Batch, ids any) {
	b.Queue(`WITH lane AS MATERIALIZED (
  SELECT l.lane, l.head,
    coalesce((SELECT d.id FROM postern_deliveries d WHERE d.lane = l.lane AND d.state IN ('received', 'retrying', 'processing') ORDER BY d.id LIMIT 1), 0) AS first
  FROM postern_lanes l WHERE l.lane IN (SELECT lane FROM postern_deliveries WHERE id = ANY($1::bigint[]))
), next AS MATERIALIZED (
  SELECT lane, head, first FROM lane l WHERE head <> first AND NOT EXISTS (
    SELECT 1 FROM postern_deliveries d WHERE d.id = l.head AND NOT d.waiting AND (d.state = 'processing' OR d.state IN ('received', 'retrying') AND d.due <= now()))
), led AS (
  UPDATE postern_deliveries d SET waiting = d.id <> n.first, due = CASE d.id WHEN n.first THEN greatest(d.due, now()) ELSE d.due END FROM next n WHERE d.id IN (n.head, n.first) AND d.lane = n.lane AND d.state IN ('received', 'retrying', 'processing')
)
UPDATE postern_lanes l SET head = n.first FROM next n WHERE l.lane = n.lane`, ids)
}
