package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// unfinished are the states in which a delivery needs the body of its event: it will
// be made, or a person has to say whether it is.
const unfinished = "('received', 'processing', 'retrying', 'failed', 'quarantined', 'conflict')"

func isUnfinished(s inbound.State) bool { return s != inbound.Applied && s != inbound.Ignored }

// needed says that a delivery of the event e needs its body, or moved at a time or
// after it.
const needed = "EXISTS (SELECT 1 FROM deliveries d WHERE d.id BETWEEN e.seq * 256 AND e.seq * 256 + 255 AND (d.state IN " + unfinished + " OR d.due >= ?))"

const (
	emptySQL = "SELECT e.seq, e.size FROM events e WHERE e.gone = 0 AND e.emptied = 0 AND e.size > 0 AND e.received < ? AND NOT " + needed + " ORDER BY e.received LIMIT ?"
	// What may not be removed is left out of the sum by its key: it is little.
	finishedSQL = `SELECT coalesce(sum(size), 0) FROM events WHERE gone = 0 AND emptied = 0 AND size > 0
AND seq NOT IN (
  SELECT id / 256 FROM deliveries WHERE state IN ` + unfinished + ` AND ` + resting + `
  UNION ALL SELECT id / 256 FROM deliveries WHERE target IN (` + everyTarget + `) AND state IN ('received', 'processing', 'retrying'))`
)

// bodiesIndex has the events whose bodies can be removed, and all that is asked for. It
// is made when that is first asked for: where bodies are kept as long as their events,
// it would cost each event something.
const bodiesIndex = "CREATE INDEX IF NOT EXISTS events_bodies ON events (received, size, gone, emptied) WHERE gone = 0 AND emptied = 0 AND size > 0"

func (s inbox) indexBodies(ctx context.Context) error {
	if s.bodies.Load() {
		return nil
	}
	err := s.submit(ctx, &op{brief: true, run: func(t *tx) error { return t.exec(bodiesIndex) }}) // as long as it takes
	if err != nil {
		return fmt.Errorf("make the index of bodies: %w", err)
	}
	s.bodies.Store(true)
	return nil
}

// removable is an event whose body can be removed.
type removable struct{ seq, size int64 }

// enough is the beginning of all that frees so many bytes; 0 is no limit.
func enough(all []removable, bytes int64) []removable {
	freed := int64(0)
	for i, r := range all {
		if bytes > 0 && freed >= bytes {
			return all[:i]
		}
		freed += r.size
	}
	return all
}

// Empty looks for what can be removed beside the writer, which then looks again.
func (s inbox) Empty(ctx context.Context, before time.Time, bytes int64, n int) (emptied int, freed int64, err error) {
	if err := s.indexBodies(ctx); err != nil {
		return 0, 0, err
	}
	var all []removable
	err = s.scan(ctx, func(r *sql.Rows) error {
		var one removable
		err := r.Scan(&one.seq, &one.size)
		all = append(all, one)
		return err
	}, emptySQL, micro(before), micro(before), n)
	if err != nil {
		return 0, 0, fmt.Errorf("look for old bodies: %w", err)
	}
	if all = enough(all, bytes); len(all) == 0 {
		return 0, 0, nil
	}
	err = s.do(ctx, 0, func(t *tx) error {
		emptied, freed = 0, 0
		for _, r := range all {
			n, err := t.change("UPDATE events AS e SET emptied = ? WHERE seq = ? AND gone = 0 AND emptied = 0 AND NOT "+needed, time.Now().UnixMicro(), r.seq, micro(before))
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			if err := t.exec("UPDATE bodies SET header = '{}', body = x'' WHERE seq = ?", r.seq); err != nil {
				return err
			}
			emptied, freed = emptied+1, freed+r.size
		}
		return nil
	})
	return emptied, freed, err
}

func (s inbox) Finished(ctx context.Context) (n int64, err error) {
	if err := s.indexBodies(ctx); err != nil {
		return 0, err
	}
	if err := s.read.QueryRowContext(ctx, finishedSQL).Scan(&n); err != nil {
		return 0, fmt.Errorf("add up the bodies: %w", err)
	}
	return n, nil
}
