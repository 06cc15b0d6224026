package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/policy/idempotency"
)

// Answers returns p as the store of calls with an idempotency key.
func (p *Postgres) Answers() idempotency.Store { return postgresAnswers{p} }

type postgresAnswers struct{ *Postgres }

// beginning is a claim, and how it was found.
type beginning struct {
	claim *idempotency.Claim
	found idempotency.Standing
}

func (s postgresAnswers) Begin(ctx context.Context, c *idempotency.Claim) (idempotency.Standing, error) {
	if err := c.Check(); err != nil {
		return idempotency.Standing{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, slow)
	defer cancel()
	b := &beginning{claim: c}
	if err := s.begins.do(ctx, 0, b); err != nil {
		return idempotency.Standing{}, err
	}
	return b.found, nil
}

// beginAll makes the claims of many callers together, of several to one key the
// first alone. What fails for a reason that passes is tried again as long as
// somebody waits: a claim whose commit was lost finds itself by its token.
func (p *Postgres) beginAll(all []*change[*beginning]) {
	var again patience
	for len(all) > 0 {
		var now, later []*change[*beginning]
		seen := map[idempotency.ID]bool{}
		for _, c := range all {
			if id := c.work.claim.ID; seen[id] {
				later = append(later, c)
			} else {
				seen[id] = true
				now = append(now, c)
			}
		}
		rest, err := p.beginOnce(now)
		switch {
		case err == nil:
			all = append(rest, later...)
		case passes(err):
			all = wait(&again, all, err)
		default:
			for _, c := range all {
				c.done <- err
			}
			return
		}
	}
}

// pgBeginAnswer is [answer.claim] in one statement, which returns the claims that
// have begun. A row is running while its lease lasts, forgotten once it has
// expired, and mine if the same claim made it.
const pgBeginAnswer = `
WITH input AS MATERIALIZED (
  SELECT u.*, clock_timestamp() AS t
  FROM unnest($1::bytea[], $2::text[], $3::bytea[], $4::bytea[], $5::bigint[], $6::bigint[], $7::bigint[]) AS u(id, provider, fingerprint, token, lasts, keep, resend)
)
INSERT INTO postern_answers AS a (id, provider, fingerprint, state, token, until, first, expires, resend, unsure, acted, why, answer)
SELECT id, provider, fingerprint, 'sent', token, t + lasts * interval '1 microsecond', t, t + keep * interval '1 microsecond', resend, false, false, '', ''
FROM input ORDER BY id
ON CONFLICT (id) DO UPDATE SET
  provider = excluded.provider, fingerprint = excluded.fingerprint, state = 'sent', token = excluded.token,
  until = excluded.until, expires = excluded.expires, resend = excluded.resend, answer = '',
  first = CASE WHEN ` + pgForgotten + ` THEN excluded.first ELSE a.first END,
  unsure = NOT (` + pgForgotten + `) AND (a.unsure OR NOT (` + pgMine + `)),
  acted = NOT (` + pgForgotten + `) AND (a.acted OR a.state = 'done'),
  why = CASE WHEN ` + pgForgotten + ` THEN '' ELSE a.why END
WHERE ` + pgForgotten + ` OR a.fingerprint = excluded.fingerprint AND (` + pgMine + ` OR
  NOT (` + pgRunning + `) AND octet_length(a.answer) = 0 AND excluded.first - a.first < excluded.resend * interval '1 microsecond')
RETURNING a.id, a.unsure, a.acted, a.why, (extract(epoch FROM a.until - a.first) * 1000000)::bigint`

const (
	pgRunning   = "a.state = 'sent' AND a.until > excluded.first"
	pgForgotten = "NOT (" + pgRunning + ") AND a.expires <= excluded.first"
	pgMine      = "a.state = 'sent' AND a.token = excluded.token"

	pgAnswerColumns = "id, provider, fingerprint, state, token, until, first, expires, unsure, acted, why, answer"
	pgReadAnswers   = "SELECT " + pgAnswerColumns + ", clock_timestamp() FROM postern_answers WHERE id = ANY($1)"
)

// beginOnce makes claims to different keys, answers those of which it is known
// how they stand, and returns the rest.
func (p *Postgres) beginOnce(all []*change[*beginning]) (rest []*change[*beginning], err error) {
	n := len(all)
	ids, fingerprints, tokens, providers := make([][]byte, n), make([][]byte, n), make([][]byte, n), make([]string, n)
	lasts, keeps, resends := make([]int64, n), make([]int64, n), make([]int64, n)
	byID := make(map[idempotency.ID]*change[*beginning], n)
	for i, c := range all {
		k := c.work.claim
		ids[i], fingerprints[i], tokens[i], providers[i] = k.ID[:], k.Fingerprint[:], k.Token[:], escaped(k.Provider)
		lasts[i], keeps[i], resends[i] = k.Lasts.Microseconds(), k.Keep.Microseconds(), k.Resend.Microseconds()
		byID[k.ID] = c
	}
	begun, stand := map[idempotency.ID]idempotency.Standing{}, map[idempotency.ID]*answer{}
	now := map[idempotency.ID]time.Time{}
	err = p.write(context.Background(), quick, func(b *pgx.Batch) {
		b.Queue(pgBeginAnswer, ids, providers, fingerprints, tokens, lasts, keeps, resends).Query(func(rows pgx.Rows) error {
			var id []byte
			var s idempotency.Standing
			var age int64 // with the lease
			_, err := pgx.ForEachRow(rows, []any{&id, &s.Unsure, &s.Acted, &s.Why, &age}, func() error {
				c := byID[idempotency.ID(id)]
				if s.Why = unescaped(s.Why); s.Unsure {
					s.Age = time.Duration(age)*time.Microsecond - c.work.claim.Lasts.Truncate(time.Microsecond)
				} else {
					s = idempotency.Standing{}
				}
				begun[idempotency.ID(id)] = s
				return nil
			})
			return err
		})
		b.Queue(pgReadAnswers, ids).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				a, at, err := pgScanAnswer(rows)
				if err != nil {
					return err
				}
				stand[a.id], now[a.id] = a, at
			}
			return rows.Err()
		})
	})
	if err != nil {
		return nil, fmt.Errorf("begin calls with an idempotency key: %w", err)
	}
	for _, c := range all {
		id := c.work.claim.ID
		if s, ok := begun[id]; ok {
			c.work.found = s
			c.done <- nil
			continue
		}
		found, put := stand[id].claim(c.work.claim, now[id])
		if put != nil { // it changed meanwhile
			rest = append(rest, c)
			continue
		}
		c.work.found = found
		c.done <- nil
	}
	return rest, nil
}

// pgScanAnswer reads pgAnswerColumns and the time.
func pgScanAnswer(r pgx.Rows) (a *answer, now time.Time, err error) {
	a = new(answer)
	var id, fingerprint, token []byte
	err = r.Scan(&id, &a.provider, &fingerprint, &a.state, &token, &a.until, &a.first, &a.expires, &a.unsure, &a.acted, &a.why, &a.sealed, &now)
	copy(a.id[:], id)
	copy(a.fingerprint[:], fingerprint)
	copy(a.token[:], token)
	a.provider, a.why = unescaped(a.provider), unescaped(a.why)
	return a, now, err
}
