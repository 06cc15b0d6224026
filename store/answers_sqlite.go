package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/postern-proxy/postern/policy/idempotency"
)

// Answers returns s as the store of calls with an idempotency key.
func (s *SQLite) Answers() idempotency.Store { return sqliteAnswers{s} }

type sqliteAnswers struct{ *SQLite }

const (
	answerColumns = "id, provider, fingerprint, state, token, until, first, expires, unsure, acted, why, answer"
	selectAnswer  = "SELECT " + answerColumns + " FROM answers WHERE id = ?"
	firstAnswer   = "INSERT INTO answers (" + answerColumns + ") VALUES (?, ?, ?, 'sent', ?, ?, ?, ?, 0, 0, '', x'') ON CONFLICT (id) DO NOTHING"
	insertAnswer  = "INSERT INTO answers (" + answerColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
	putAnswer     = insertAnswer + `ON CONFLICT (id) DO UPDATE SET provider = excluded.provider, fingerprint = excluded.fingerprint, state = excluded.state, token = excluded.token,
  until = excluded.until, first = excluded.first, expires = excluded.expires, unsure = excluded.unsure, acted = excluded.acted, why = excluded.why, answer = excluded.answer`
	renewAnswer = "UPDATE answers SET until = ? WHERE id = ? AND token = ? AND state = 'sent'"
	endAnswer   = "UPDATE answers SET state = ?, why = ?, answer = ?, until = ?, expires = ? WHERE id = ? AND token = ?"
	freeAnswer  = "DELETE FROM answers WHERE id = ? AND token = ?"
)

func (a *answer) values() []any {
	return []any{
		a.id[:], a.provider, a.fingerprint[:], string(a.state), a.token[:], a.until.UnixMicro(), a.first.UnixMicro(), a.expires.UnixMicro(),
		a.unsure, a.acted, a.why, notNil(a.sealed),
	}
}

// scanAnswer reads a row of answerColumns.
func scanAnswer(r *sql.Rows) (*answer, error) {
	a := new(answer)
	var id, fingerprint, token []byte
	var until, first, expires int64
	err := r.Scan(&id, &a.provider, &fingerprint, &a.state, &token, &until, &first, &expires, &a.unsure, &a.acted, &a.why, &a.sealed)
	copy(a.id[:], id)
	copy(a.fingerprint[:], fingerprint)
	copy(a.token[:], token)
	a.until, a.first, a.expires = fromMicro(until), fromMicro(first), fromMicro(expires)
	return a, err
}

func (s sqliteAnswers) Begin(ctx context.Context, c *idempotency.Claim) (found idempotency.Standing, err error) {
	if err := c.Check(); err != nil {
		return found, err
	}
	err = s.do(ctx, 0, func(t *tx) error {
		now := instant(time.Now())
		at := now.UnixMicro()
		n, err := t.change(firstAnswer, c.ID[:], c.Provider, c.Fingerprint[:], c.Token[:], now.Add(c.Lasts).UnixMicro(), at, now.Add(c.Keep).UnixMicro())
		if found = (idempotency.Standing{}); err != nil || n == 1 { // as nearly always
			return err
		}
		var there, put *answer
		err = t.each(func(r *sql.Rows) (err error) {
			there, err = scanAnswer(r)
			return err
		}, selectAnswer, c.ID[:])
		if err != nil {
			return err
		}
		if found, put = there.claim(c, now); put == nil {
			return nil
		}
		return t.exec(putAnswer, put.values()...)
	})
	if err != nil {
		return idempotency.Standing{}, fmt.Errorf("begin a call with an idempotency key: %w", err)
	}
	return found, nil
}

func (s sqliteAnswers) Renew(ctx context.Context, l idempotency.Lease, lasts time.Duration) error {
	return s.held(ctx, "renew", 0, renewAnswer, func() []any {
		return []any{time.Now().Add(lasts).UnixMicro(), l.ID[:], l.Token[:]}
	})
}

func (s sqliteAnswers) End(ctx context.Context, l idempotency.Lease, e *idempotency.Ending) error {
	if err := e.Check(); err != nil {
		return err
	}
	if e.State == idempotency.Free {
		return s.held(ctx, "end", 0, freeAnswer, func() []any { return []any{l.ID[:], l.Token[:]} })
	}
	return s.held(ctx, "end", len(e.Answer), endAnswer, func() []any {
		now := time.Now()
		return []any{string(e.State), e.Why, notNil(e.Answer), now.UnixMicro(), now.Add(e.Keep).UnixMicro(), l.ID[:], l.Token[:]}
	})
}

// held makes a change that touches the row of a lease if that holds.
func (s sqliteAnswers) held(ctx context.Context, doing string, size int, query string, args func() []any) error {
	var n int64
	err := s.do(ctx, size, func(t *tx) (err error) {
		n, err = t.change(query, args()...)
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("%s a call with an idempotency key: %w", doing, err)
	case n == 0:
		return idempotency.ErrLost
	}
	return nil
}

// What maintenance deletes and empties, some rows at once.
const (
	pruneAnswers = "DELETE FROM answers WHERE id IN (SELECT id FROM answers WHERE expires <= ?1 AND (state <> 'sent' OR until <= ?1) LIMIT ?2)"

	sumAnswers   = "SELECT coalesce(sum(length(answer)), 0) FROM answers"
	oldestAnswer = "SELECT id, length(answer) FROM answers WHERE length(answer) > 0 ORDER BY expires LIMIT ?"
	emptyAnswer  = "UPDATE answers SET answer = x'', why = ? WHERE id = ?"
)

// whyEmptied is what stands for an answer that had to go.
const whyEmptied = "the stored answers took more room than store.answers"

// maintainAnswers forgets what has expired. If what is left takes too much room,
// the oldest answers go; that their calls were made is remembered.
func (s *SQLite) maintainAnswers(ctx context.Context) error {
	if err := s.prune(ctx, pruneAnswers, time.Now().UnixMicro()); err != nil {
		return fmt.Errorf("forget old answers: %w", err)
	}
	if s.answers <= 0 {
		return nil
	}
	var total int64
	if err := s.read.QueryRowContext(ctx, sumAnswers).Scan(&total); err != nil {
		return fmt.Errorf("look how much room answers take: %w", err)
	}
	for total > s.answers {
		err := s.do(ctx, 0, func(t *tx) error {
			var ids [][]byte
			left := total
			err := t.each(func(r *sql.Rows) error {
				var id []byte
				var size int64
				err := r.Scan(&id, &size)
				if left > s.answers {
					ids, left = append(ids, id), left-size
				}
				return err
			}, oldestAnswer, prunedAtOnce)
			for _, id := range ids {
				if err == nil {
					err = t.exec(emptyAnswer, whyEmptied, id)
				}
			}
			if len(ids) == 0 {
				left = 0 // they went meanwhile
			}
			total = left
			return err
		})
		if err != nil {
			return fmt.Errorf("empty old answers: %w", err)
		}
	}
	return nil
}
