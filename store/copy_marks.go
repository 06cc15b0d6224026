package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"hash"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/inbound"
)

// laneMark is the mark of a lane as it is kept.
type laneMark struct {
	lane []byte // digest of target and lane
	inbound.Mark
	until time.Time
}

const copyMarksAtOnce = 1000

// eachMarks reads the marks of lanes in the order of these, some at a time.
func eachMarks(ctx context.Context, db copyable, do func([]laneMark) error) error {
	for after := []byte{}; ; {
		all, err := db.someMarks(ctx, after)
		if err != nil || len(all) == 0 {
			return err
		}
		if err := do(all); err != nil {
			return err
		}
		after = all[len(all)-1].lane
	}
}

// copyMarks copies the marks of lanes: without them what is gone could be revived.
// What is there already from an earlier try stays.
func copyMarks(ctx context.Context, source, dest copyable) error {
	var destErr error
	err := eachMarks(ctx, source, func(all []laneMark) error {
		destErr = dest.addMarks(ctx, all)
		return destErr
	})
	switch {
	case destErr != nil:
		return fmt.Errorf("the destination %s: %w", dest.Where(), destErr)
	case err != nil:
		return fmt.Errorf("the source %s: %w", source.Where(), err)
	}
	return nil
}

// compareMarks adds them to what two databases have in common.
func compareMarks(ctx context.Context, source, dest copyable, sum *Summary, everything hash.Hash) error {
	digest := func(db copyable, of hash.Hash) (n int64, err error) {
		err = eachMarks(ctx, db, func(all []laneMark) error {
			n += int64(len(all))
			for i := range all {
				all[i].write(&fields{Hash: of})
			}
			return nil
		})
		return n, err
	}
	a, b := sha256.New(), sha256.New()
	want, err := digest(source, a)
	if err != nil {
		return fmt.Errorf("the source %s: %w", source.Where(), err)
	}
	got, err := digest(dest, b)
	if err != nil {
		return fmt.Errorf("the destination %s: %w", dest.Where(), err)
	}
	if want != got || string(a.Sum(nil)) != string(b.Sum(nil)) {
		return fmt.Errorf("%w: there are %d marks of lanes, not %d, or others: empty the destination and begin anew", ErrCopy, got, want)
	}
	everything.Write(a.Sum(nil))
	sum.Marks = want
	return nil
}

func (m *laneMark) write(f *fields) {
	f.bytes(m.lane)
	f.texts(string(m.Seen), m.SeenEvent, string(m.Applied), m.AppliedEvent, m.State)
	f.time(m.until)
}

func (s *SQLite) someMarks(ctx context.Context, after []byte) (all []laneMark, err error) {
	err = s.scan(ctx, func(r *sql.Rows) (err error) {
		var m laneMark
		var until int64
		m.Mark, err = scanMark(r.Scan, &m.lane, &until)
		m.until = fromMicro(until)
		all = append(all, m)
		return err
	}, "SELECT "+markColumns+", lane, until FROM marks WHERE lane > ? ORDER BY lane LIMIT ?", after, copyMarksAtOnce)
	return all, err
}

func (s *SQLite) addMarks(ctx context.Context, all []laneMark) error {
	return s.do(ctx, 0, func(t *tx) error {
		for _, m := range all {
			if err := t.exec("INSERT INTO marks ("+markColumns+", lane, until) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (lane) DO NOTHING",
				string(m.Seen), m.SeenEvent, string(m.Applied), m.AppliedEvent, m.State, m.lane, micro(m.until)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *Postgres) someMarks(ctx context.Context, after []byte) (all []laneMark, err error) {
	err = p.read(ctx, func(r pgx.Rows) (err error) {
		var m laneMark
		m.Mark, err = scanMark(r.Scan, &m.lane, &m.until)
		for _, text := range []*string{&m.SeenEvent, &m.AppliedEvent, &m.State} {
			*text = unescaped(*text)
		}
		all = append(all, m)
		return err
	}, "SELECT "+markColumns+", lane, until FROM postern_lanes WHERE lane > $1 AND until IS NOT NULL ORDER BY lane LIMIT $2", after, copyMarksAtOnce)
	return all, err
}

// addMarks stores marks with the lanes that came with the events.
func (p *Postgres) addMarks(ctx context.Context, all []laneMark) error {
	return p.write(ctx, patient, func(b *pgx.Batch) {
		for _, m := range all {
			b.Queue("INSERT INTO postern_lanes ("+markColumns+`, lane, until, head) VALUES ($1, $2, $3, $4, $5, $6, $7, 0)
ON CONFLICT (lane) DO UPDATE SET seen = $1, seen_event = $2, applied = $3, applied_event = $4, state = $5, until = $7`,
				string(m.Seen), escaped(m.SeenEvent), string(m.Applied), escaped(m.AppliedEvent), escaped(m.State), m.lane, m.until)
		}
	})
}
