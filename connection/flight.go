package connection

import (
	"context"
	"errors"
	"time"
)

// flight is a renewal under way.
type flight struct {
	done  chan struct{}
	token *Token
	err   error
}

// renew starts a renewal, or joins the one that is under way.
func (k *Keeper) renew(e *entry, s *Source) *flight {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.flight != nil {
		return e.flight
	}
	f := &flight{done: make(chan struct{})}
	e.flight = f
	k.running.Go(func() {
		ctx, cancel := context.WithTimeout(k.ctx, renewWithin)
		defer cancel()
		f.token, f.err = k.renewal(ctx, e, s)
		if errors.Is(f.err, context.DeadlineExceeded) || errors.Is(f.err, context.Canceled) {
			f.err = &UnavailableError{Key: e.key, Why: "a new token could not be had in time", Err: f.err}
		}
		e.mu.Lock()
		e.flight = nil
		e.mu.Unlock()
		close(f.done)
	})
	return f
}

// wait returns what comes of a renewal, which goes on if nobody waits for it.
func (f *flight) wait(ctx context.Context, until time.Time, key Key) (*Token, error) {
	var late <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		late = t.C
	}
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-late:
		return nil, &UnavailableError{Key: key, Why: "a new one is being asked for, and was not there within the time of the call", RetryAfter: time.Second}
	}
}
