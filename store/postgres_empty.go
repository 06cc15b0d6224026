package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// pgNeeded says that a delivery of the event e needs its body, or moved after a time
// that is so many microseconds from now.
const pgNeeded = "EXISTS (SELECT 1 FROM " + ofEvent + " d WHERE d.state IN " + unfinished + " OR d.due >= now() + $2 * interval '1 microsecond')"

// The events that are found are locked, then their deliveries, and then they are
// looked at again: whoever opens a delivery has its lock.
const (
	pgEmptyCandidates = "SELECT e.seq, e.size FROM postern_events e WHERE e.emptied IS NULL AND e.size > 0 AND e.received < $1 AND NOT " + pgNeeded +
		" ORDER BY e.received LIMIT $3 FOR UPDATE OF e SKIP LOCKED"
	pgEmptySQL = `
WITH done AS (
  UPDATE postern_events e SET emptied = now() WHERE e.seq = ANY($1::bigint[]) AND e.emptied IS NULL AND NOT ` + pgNeeded + ` RETURNING e.seq, e.day, e.size
), bodies AS (
  UPDATE postern_bodies b SET header = '{}', body = '' FROM done WHERE b.day = done.day AND b.seq = done.seq
)
SELECT count(*), coalesce(sum(size), 0)::bigint FROM done`
	pgFinishedSQL = `
SELECT ((SELECT coalesce(sum(size), 0) FROM postern_events WHERE emptied IS NULL AND size > 0)
  - (SELECT coalesce(sum(size), 0) FROM postern_events WHERE emptied IS NULL AND size > 0 AND seq IN (SELECT id / 512 FROM postern_deliveries WHERE state IN ` + unfinished + ")))::bigint"
)

func (s postgresInbox) Empty(ctx context.Context, before time.Time, bytes int64, n int) (emptied int, freed int64, err error) {
	err = s.transact(ctx, slow, func(ctx context.Context, tx pgx.Tx) error {
		emptied, freed = 0, 0
		ago := delay(before)
		rows, _ := tx.Query(ctx, pgEmptyCandidates, before, ago, n)
		all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r removable, err error) { return r, row.Scan(&r.seq, &r.size) })
		if err != nil {
			return err
		}
		if all = enough(all, bytes); len(all) == 0 {
			return nil
		}
		seqs := make([]int64, len(all))
		for i, r := range all {
			seqs[i] = r.seq
		}
		b := &pgx.Batch{}
		b.Queue("SELECT 1 FROM postern_deliveries WHERE id = ANY(ARRAY(SELECT d.id FROM unnest($1::bigint[]) AS e(seq) CROSS JOIN LATERAL "+ofEvent+" d)) ORDER BY id FOR UPDATE", seqs)
		b.Queue(pgEmptySQL, seqs, ago).QueryRow(func(row pgx.Row) error { return row.Scan(&emptied, &freed) })
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return 0, 0, fmt.Errorf("remove old bodies: %w", err)
	}
	return emptied, freed, nil
}

func (s postgresInbox) Finished(ctx context.Context) (n int64, err error) {
	if err := s.read(ctx, func(r pgx.Rows) error { return r.Scan(&n) }, pgFinishedSQL); err != nil {
		return 0, fmt.Errorf("add up the bodies: %w", err)
	}
	return n, nil
}
