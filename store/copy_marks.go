package store

import (
	"context"
	"database/sql"
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

// copiedMarks are the marks of lanes, in the order of these: without them what is
// gone could be revived.
func copiedMarks() copyPart {
	return copiedRows[laneMark]{
		name: "marks of lanes",
		some: func(ctx context.Context, db copyable, last *laneMark) ([]laneMark, error) {
			if last == nil {
				last = &laneMark{lane: []byte{}}
			}
			return db.someMarks(ctx, last.lane)
		},
		add:   func(ctx context.Context, db copyable, all []laneMark) error { return db.addMarks(ctx, all) },
		write: func(f *fields, m *laneMark) error { m.write(f); return nil },
		told:  func(sum *Summary, n copyCount) { sum.Marks = n[0] },
	}
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
