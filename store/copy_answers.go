package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"hash"

	"github.com/jackc/pgx/v5"
)

// copyAnswersAtOnce is how many answers, of up to 64 MiB each, are in memory at
// once.
const copyAnswersAtOnce = 50

// eachAnswers reads what is kept of calls with an idempotency key in the order of
// their ids, some at a time.
func eachAnswers(ctx context.Context, db copyable, do func([]*answer) error) error {
	for after := []byte{}; ; {
		all, err := db.someAnswers(ctx, after)
		if err != nil || len(all) == 0 {
			return err
		}
		if err := do(all); err != nil {
			return err
		}
		after = all[len(all)-1].id[:]
	}
}

// copyAnswers copies what is kept of calls with an idempotency key: without it a
// repeat would be made again. What is there already from an earlier try stays.
func copyAnswers(ctx context.Context, source, dest copyable) error {
	var destErr error
	err := eachAnswers(ctx, source, func(all []*answer) error {
		destErr = dest.addAnswers(ctx, all)
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

// compareAnswers adds them to what two databases have in common.
func compareAnswers(ctx context.Context, source, dest copyable, sum *Summary, everything hash.Hash) error {
	digest := func(db copyable, of hash.Hash) (n int64, err error) {
		err = eachAnswers(ctx, db, func(all []*answer) error {
			n += int64(len(all))
			for _, a := range all {
				a.write(&fields{Hash: of})
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
		return fmt.Errorf("%w: there are %d answers under idempotency keys, not %d, or others: empty the destination and begin anew", ErrCopy, got, want)
	}
	everything.Write(a.Sum(nil))
	sum.Answers = want
	return nil
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
