package store

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
)

// copyAnswersAtOnce is how many answers, of up to 64 MiB each, are in memory at
// once.
const copyAnswersAtOnce = 50

// copiedAnswers are what is kept of calls with an idempotency key: without it a
// repeat would be made again.
func copiedAnswers() copyPart {
	return copiedRows[*answer]{
		name: "answers under idempotency keys",
		some: func(ctx context.Context, db copyable, last **answer) ([]*answer, error) {
			if last == nil {
				return db.someAnswers(ctx, []byte{})
			}
			return db.someAnswers(ctx, (*last).id[:])
		},
		add:   func(ctx context.Context, db copyable, all []*answer) error { return db.addAnswers(ctx, all) },
		write: func(f *fields, a **answer) error { (*a).write(f); return nil },
		told:  func(sum *Summary, n copyCount) { sum.Answers = n[0] },
	}
}

func (a *answer) write(f *fields) {
	f.bytes(a.id[:])
	f.texts(a.provider, string(a.state), a.why)
	f.bytes(a.fingerprint[:])
	f.bytes(a.token[:])
	f.time(a.until)
	f.time(a.first)
	f.time(a.expires)
	f.flag(a.unsure)
	f.flag(a.acted)
	f.bytes(a.sealed)
}

func (s *SQLite) someAnswers(ctx context.Context, after []byte) (all []*answer, err error) {
	err = s.scan(ctx, func(r *sql.Rows) error {
		a, err := scanAnswer(r)
		all = append(all, a)
		return err
	}, "SELECT "+answerColumns+" FROM answers WHERE id > ? ORDER BY id LIMIT ?", after, copyAnswersAtOnce)
	return all, err
}

func (s *SQLite) addAnswers(ctx context.Context, all []*answer) error {
	return s.do(ctx, 0, func(t *tx) error {
		for _, a := range all {
			if err := t.exec(insertAnswer+"ON CONFLICT (id) DO NOTHING", a.values()...); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *Postgres) someAnswers(ctx context.Context, after []byte) (all []*answer, err error) {
	err = p.read(ctx, func(r pgx.Rows) error {
		a, _, err := pgScanAnswer(r)
		all = append(all, a)
		return err
	}, "SELECT "+pgAnswerColumns+", clock_timestamp() FROM postern_answers WHERE id > $1 ORDER BY id LIMIT $2", after, copyAnswersAtOnce)
	return all, err
}

const pgCopyAnswer = "INSERT INTO postern_answers (" + pgAnswerColumns + ", resend) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0) ON CONFLICT (id) DO NOTHING"

func (p *Postgres) addAnswers(ctx context.Context, all []*answer) error {
	return p.write(ctx, patient, func(b *pgx.Batch) {
		for _, a := range all {
			b.Queue(pgCopyAnswer, a.id[:], escaped(a.provider), a.fingerprint[:], string(a.state), a.token[:], a.until, a.first, a.expires, a.unsure, a.acted, escaped(a.why), notNil(a.sealed))
		}
	})
}
