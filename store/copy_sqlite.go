package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// vacate has nothing to do: the lock on the file was had, and leases were ended
// when the database was opened.
func (s *SQLite) vacate(context.Context) error { return nil }

func (s *SQLite) events(ctx context.Context) (n int64, err error) {
	err = s.read.QueryRowContext(ctx, "SELECT count(*) FROM events WHERE gone = 0").Scan(&n)
	return n, err
}

// copyFrom returns the name of the source of an unfinished copy and its
// position, "" if there is none.
func copyFrom(ctx context.Context, db interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
},
) (source string, after int64, err error) {
	var there int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = 'copying'").Scan(&there); err != nil || there == 0 {
		return "", 0, err
	}
	err = db.QueryRowContext(ctx, "SELECT source, seq FROM copying").Scan(&source, &after)
	return source, after, err
}

func (s *SQLite) begin(ctx context.Context, source string) (after int64, err error) {
	known, after, err := copyFrom(ctx, s.read)
	if err != nil || known == source {
		return after, err
	}
	if known != "" {
		return 0, errOtherSource(known)
	}
	if n, err := s.events(ctx); err != nil {
		return 0, err
	} else if n > 0 {
		return 0, errForeign(n, "events")
	}
	if g, err := s.grants(ctx); err != nil {
		return 0, err
	} else if err := g.foreign(); err != nil {
		return 0, err
	}
	if err := foreignCalls(ctx, s); err != nil {
		return 0, err
	}
	return 0, s.do(ctx, 0, func(t *tx) error {
		if err := t.exec("CREATE TABLE copying (source TEXT NOT NULL, seq INTEGER NOT NULL)"); err != nil {
			return err
		}
		return t.exec("INSERT INTO copying (source, seq) VALUES (?, 0)", source)
	})
}

func (s *SQLite) end(ctx context.Context) error {
	return s.do(ctx, 0, func(t *tx) error { return t.exec("DROP TABLE copying") })
}

// batchSQL finds the last of the events after a seq that fit into a transaction,
// and at least one.
const batchSQL = `SELECT coalesce(max(seq), 0) FROM (
  SELECT seq, size, sum(size) OVER (ORDER BY seq) AS total FROM (SELECT seq, size FROM events WHERE seq > ? AND gone = 0 ORDER BY seq LIMIT ?) AS next
) AS summed WHERE total - size < ?`

func (s *SQLite) export(ctx context.Context, after int64) (all []whole, err error) {
	var last int64
	if err := s.read.QueryRowContext(ctx, batchSQL, after, copyEvents, copyBytes).Scan(&last); err != nil || last == 0 {
		return nil, err
	}
	var b batch
	err = s.scan(ctx, func(r *sql.Rows) error {
		var w whole
		var header string
		if err := scanEvent(r.Scan, &w.event, &w.seq, &header, &w.event.Body); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(header), &w.event.Header); err != nil {
			return fmt.Errorf("the headers of event %s: %w", w.event.ID, err)
		}
		b.event(w)
		return nil
	}, "SELECT "+eventColumns+", b.header, b.body FROM events e JOIN bodies b ON b.seq = e.seq WHERE e.seq > ? AND e.seq <= ? ORDER BY e.seq", after, last)
	if err != nil {
		return nil, fmt.Errorf("read the events after %d: %w", after, err)
	}
	first, end := (after+1)*perEvent, (last+1)*perEvent
	if err := s.exportDeliveries(ctx, &b, first, end); err != nil {
		return nil, fmt.Errorf("read the deliveries of the events after %d: %w", after, err)
	}
	if err := s.exportTrail(ctx, &b, first, end); err != nil {
		return nil, fmt.Errorf("read the trail of the events after %d: %w", after, err)
	}
	return b.all, nil
}

func (s *SQLite) exportDeliveries(ctx context.Context, b *batch, first, end int64) error {
	return s.scan(ctx, func(r *sql.Rows) error {
		var id, due, wait int64
		var d wholeDelivery
		if err := r.Scan(&id, &d.Target, &d.State, &d.Origin, &d.Attempt, &due, &d.Reason, &d.fence, &wait, &d.Stand); err != nil {
			return err
		}
		if d.waits = due >= waiting; d.waits {
			due -= waiting
		}
		d.Due, d.wait = fromMicro(due), time.Duration(wait)*time.Microsecond
		return b.delivery(id/perEvent, d)
	}, "SELECT id, target, state, origin, attempt, due, reason, fence, wait, standing FROM deliveries WHERE id >= ? AND id < ? ORDER BY id", first, end)
}

func (s *SQLite) exportTrail(ctx context.Context, b *batch, first, end int64) error {
	return s.scan(ctx, func(r *sql.Rows) error {
		var id, moved, took int64
		var m wholeMove
		if err := r.Scan(&id, &m.fence, &moved, &m.From, &m.To, &m.Attempt, &m.Status, &took, &m.Reason, &m.Detail, &m.By, &m.Replica); err != nil {
			return err
		}
		m.At, m.Took = fromMicro(moved), time.Duration(took)*time.Microsecond
		return b.move(id/perEvent, id%perEvent, m)
	}, `SELECT delivery, fence, at, from_state, to_state, attempt, status, took, reason, detail, actor, replica
FROM transitions WHERE delivery >= ? AND delivery < ? ORDER BY delivery, fence`, first, end)
}

func (s *SQLite) scan(ctx context.Context, each func(*sql.Rows) error, query string, args ...any) error {
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *SQLite) add(ctx context.Context, after int64, all []whole) error {
	return s.do(ctx, 0, func(t *tx) error {
		for i := range all {
			if err := t.addEvent(&all[i]); err != nil {
				return fmt.Errorf("store event %s: %w", all[i].event.ID, err)
			}
		}
		n, err := t.change("UPDATE copying SET seq = ? WHERE seq = ?", all[len(all)-1].seq, after)
		if err == nil && n != 1 {
			err = errors.New("another copy is under way")
		}
		return err
	})
}

func (t *tx) addEvent(w *whole) error {
	e := &w.event
	header, err := json.Marshal(e.Header)
	if err != nil {
		return err
	}
	err = t.exec(`INSERT INTO events (seq, id, webhook, account, event_id, variant, weak, verified, type, key, lane, occurred, received, sha256, size, proof, parent, misfit, rank, items, horizon, emptied)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		w.seq, e.ID, e.Webhook, e.Account, e.EventID, e.Variant, e.Weak, e.Verified, e.Type, e.Key, e.Lane, micro(e.Occurred), micro(e.Received), e.SHA256[:], e.Size, proofText(e.Proof), e.Parent, e.Misfit, string(e.Rank), e.Items, micro(e.Horizon), micro(e.Emptied))
	if err != nil {
		return err
	}
	if err := t.exec("INSERT INTO bodies (seq, header, body) VALUES (?, ?, ?)", w.seq, string(header), notNil(e.Body)); err != nil {
		return err
	}
	for n := range w.deliveries {
		d, id, due := &w.deliveries[n], w.seq*perEvent+int64(n), micro(w.deliveries[n].Due)
		if d.waits {
			due += waiting
		}
		if err := t.exec(`INSERT INTO deliveries (id, target, lane, state, due, fence, attempt, wait, origin, reason, standing) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			id, d.Target, e.Lane, string(d.State), due, d.fence, d.Attempt, d.wait.Microseconds(), string(d.Origin), d.Reason, d.Stand); err != nil {
			return err
		}
		for i := range d.trail {
			if err := t.addMove(id, &d.trail[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tx) addMove(delivery int64, m *wholeMove) error {
	return t.exec(t.w.text(&insertTrail, 1), delivery, m.fence, micro(m.At), string(m.From), string(m.To), m.Attempt, m.Status, m.Took.Microseconds(), m.Reason, m.Detail, m.By, m.Replica)
}
