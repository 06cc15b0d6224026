package store

import (
	"context"
	"database/sql"
	"maps"
	"time"
)

// A request that brought several events goes when the last of them has.
const pruneSQL = `SELECT seq, horizon FROM events e WHERE gone = 0 AND received < ? AND NOT EXISTS (
  SELECT 1 FROM deliveries d WHERE d.id BETWEEN e.seq * 256 AND e.seq * 256 + 255 AND (d.state IN ('received', 'processing', 'retrying') OR d.standing = 2 OR d.due >= ?))
AND NOT (items > 0 AND EXISTS (SELECT 1 FROM events c WHERE c.parent = e.id AND c.parent <> ''))
ORDER BY received LIMIT ?`

func (s inbox) Prune(ctx context.Context, before time.Time, n int) (deleted int, err error) {
	err = s.do(ctx, 0, func(t *tx) error {
		now := time.Now().UnixMicro()
		if err := t.exec("DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE gone = 1 AND horizon <= ? LIMIT ?)", now, n); err != nil {
			return err
		}
		horizons := map[int64]int64{} // by seq
		err := t.each(func(r *sql.Rows) error {
			var seq, horizon int64
			err := r.Scan(&seq, &horizon)
			horizons[seq] = horizon
			return err
		}, pruneSQL, micro(before), micro(before), n)
		if err != nil {
			return err
		}
		for seq, horizon := range horizons {
			if err := t.forget(seq, horizon > now); err != nil {
				return err
			}
		}
		deleted = len(horizons)
		return t.dropBlocks(maps.Keys(horizons))
	})
	return deleted, err
}

// forget deletes all that is known of an event, but its key if that has to be known
// longer.
func (t *tx) forget(seq int64, known bool) error {
	if err := t.uncount(seq); err != nil {
		return err
	}
	for _, q := range [...]string{
		"DELETE FROM transitions WHERE delivery BETWEEN ? * 256 AND ? * 256 + 255",
		"DELETE FROM deliveries WHERE id BETWEEN ? * 256 AND ? * 256 + 255",
		"DELETE FROM bodies WHERE seq IN (?, ?)",
		"DELETE FROM postern_listed WHERE seq IN (?, ?)",
	} {
		if err := t.exec(q, seq, seq); err != nil {
			return err
		}
	}
	if known {
		return t.exec("UPDATE events SET gone = 1, type = '', key = '', lane = '', parent = '', misfit = '' WHERE seq = ?", seq)
	}
	return t.exec("DELETE FROM events WHERE seq = ?", seq)
}
