package store

import (
	"bytes"
	"time"

	"github.com/postern-proxy/postern/policy/idempotency"
)

// answer is what a store has of a call with an idempotency key. Times are those
// of the store, to the microsecond.
type answer struct {
	id          idempotency.ID
	provider    string
	fingerprint [32]byte
	state       idempotency.State
	token       [16]byte // of who runs or ran it
	until       time.Time
	first       time.Time // when it was first sent
	expires     time.Time
	unsure      bool // it began although an earlier call may have had its effect
	acted       bool // an earlier one surely had
	why         string
	sealed      []byte
}

// claim says how c finds a, which is nil if there is nothing, and what has to be
// stored, nil for no change. It is the one decision that memory and SQLite share;
// [pgBeginAnswer] is the same in the words of PostgreSQL.
func (a *answer) claim(c *idempotency.Claim, now time.Time) (s idempotency.Standing, put *answer) {
	fresh := &answer{
		id: c.ID, provider: c.Provider, fingerprint: c.Fingerprint, state: idempotency.Sent, token: c.Token,
		until: now.Add(c.Lasts), first: now, expires: now.Add(c.Keep),
	}
	running := a != nil && a.state == idempotency.Sent && a.until.After(now)
	if a == nil || !running && !a.expires.After(now) {
		return idempotency.Standing{}, fresh
	}
	s = idempotency.Standing{Age: now.Sub(a.first), Acted: a.acted || a.state == idempotency.Done, Why: a.why}
	switch {
	case a.state == idempotency.Sent && a.token == c.Token && a.fingerprint == c.Fingerprint:
		fresh.first, fresh.unsure, fresh.acted, fresh.why = a.first, a.unsure, a.acted, a.why
		s.Unsure = a.unsure
		if !a.unsure {
			s = idempotency.Standing{}
		}
		return s, fresh
	case a.fingerprint != c.Fingerprint:
		return idempotency.Standing{Found: idempotency.Mismatch, Age: s.Age}, nil
	case running:
		return idempotency.Standing{Found: idempotency.InFlight, Age: s.Age, Left: a.until.Sub(now)}, nil
	case len(a.sealed) > 0:
		s.Found, s.Answer = idempotency.Replay, bytes.Clone(a.sealed)
		return s, nil
	case s.Age < c.Resend:
		fresh.first, fresh.unsure, fresh.acted, fresh.why = a.first, true, s.Acted, a.why
		s.Unsure = true
		return s, fresh
	}
	s.Found = idempotency.Open
	return s, nil
}

// end is a after it ended.
func (a *answer) end(e *idempotency.Ending, now time.Time) *answer {
	ended := *a
	ended.state, ended.why, ended.sealed, ended.until, ended.expires = e.State, e.Why, bytes.Clone(e.Answer), now, now.Add(e.Keep)
	return &ended
}
