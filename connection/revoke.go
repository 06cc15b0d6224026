package connection

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Revoke ends a connection here at once, and has the provider told as soon as it
// can be. Calls that are under way go on; new ones are refused. reason and by
// stand in its history. One that has been revoked stays as it is.
func (k *Keeper) Revoke(ctx context.Context, key Key, reason, by string) (Row, error) {
	return k.end(ctx, key, reason, by, true)
}

// Ended records that the provider has ended a grant by itself: there is nothing
// to be revoked there.
func (k *Keeper) Ended(ctx context.Context, key Key, reason, by string) (Row, error) {
	return k.end(ctx, key, reason, by, false)
}

func (k *Keeper) end(ctx context.Context, key Key, reason, by string, tell bool) (Row, error) {
	for {
		r, err := k.opt.Store.Load(ctx, key)
		if err != nil {
			return r, fmt.Errorf("revoke %s: %w", key, err)
		}
		if r.State == Revoked && (tell || r.RevokeDue.IsZero()) {
			return r, nil
		}
		due := time.Time{}
		if s := k.Source(key); tell && len(r.Access)+len(r.Refresh) > 0 && s != nil && s.Revoke != nil {
			due = r.Now
		}
		next, m := revoked(r, reason, due)
		m.By = by
		saved, err := k.save(ctx, next, m)
		if errors.Is(err, ErrStale) {
			continue
		}
		if err != nil {
			return r, fmt.Errorf("revoke %s: %w", key, err)
		}
		k.apply(&saved)
		if !due.IsZero() {
			return k.tell(ctx, saved), nil
		}
		return saved, nil
	}
}

// tell tells the provider that a connection is revoked. If that fails it is tried
// again later, and in the end given up.
func (k *Keeper) tell(ctx context.Context, r Row) Row {
	s := k.Source(r.Key)
	if s == nil || s.Revoke == nil {
		return r
	}
	m := Move{From: Revoked, To: Revoked, Generation: r.Generation, Reason: "the provider was told"}
	next, err := r, k.revokeThere(ctx, s, &r)
	switch {
	case err == nil:
		next.RevokeDue, next.Failure = time.Time{}, ""
	case r.Failures >= giveUp:
		next.RevokeDue, next.Failure = time.Time{}, err.Error()
		m.Reason = "the provider could not be told: " + err.Error()
		k.opt.Observer.Alarm(r.Key, m.Reason+"; revoke the grant in its console")
	default:
		next.Failures++
		next.Failure = err.Error()
		next.RevokeDue = r.Now.Add(max(failureDelay(next.Failures), time.Minute))
		m.Reason = "the provider could not be told yet: " + err.Error()
	}
	if next.RevokeDue.IsZero() {
		next.Access, next.Refresh, next.Extra = nil, nil, nil
	}
	saved, err := k.save(ctx, next, m)
	if err != nil {
		return r // somebody else was there, or it is due again
	}
	return saved
}

// giveUp is how often a provider that cannot be reached is told of a revocation:
// for about two days.
const giveUp = 500

func (k *Keeper) revokeThere(ctx context.Context, s *Source, r *Row) error {
	t, err := k.open(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, mintWithin)
	defer cancel()
	return s.Revoke(ctx, r.Account, t)
}
