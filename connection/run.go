package connection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	watchEvery = 500 * time.Millisecond // for what other processes did
	overlap    = 5 * time.Second        // of two looks, for writes that took long
	tendEvery  = time.Minute
	idleLimit  = 7 * 24 * time.Hour // a grant is renewed at least so often: many providers forget those that are not used
)

var zero time.Time

// Watch follows what other processes do to connections, until ctx ends: one that
// is revoked there is refused here within a second.
func (k *Keeper) Watch(ctx context.Context) {
	if !k.opt.Shared {
		return
	}
	since := time.Now() // the second look is by the clock of the store, and overlaps
	failing := false
	for ; ; pause(ctx, watchEvery) {
		if ctx.Err() != nil {
			return
		}
		asking, cancel := context.WithTimeout(ctx, 5*time.Second)
		rows, at, err := k.opt.Store.Changed(asking, since.Add(-overlap))
		cancel()
		if err != nil && !failing && ctx.Err() == nil {
			k.opt.Observer.Trouble("following what other replicas do to connections", err)
		}
		if failing = err != nil; failing {
			continue
		}
		since = at
		for i := range rows {
			k.apply(&rows[i])
		}
	}
}

// apply has calls go by a row that was written.
func (k *Keeper) apply(r *Row) {
	if r.Fence == 1 || r.State == Revoked {
		k.recount(r.Key)
	}
	k.mu.RLock()
	e := k.entries[r.Key]
	k.mu.RUnlock()
	if e == nil {
		return
	}
	for {
		h := e.now.Load()
		if h == nil || h.fence >= r.Fence || h.unsaved {
			return
		}
		var next *held
		switch {
		case r.State != Active && r.State != Refreshing:
			next = &held{fence: r.Fence, why: &StateError{Key: r.Key, State: r.State, Why: r.Failure}, hard: time.Now().Add(stateFor)}
		case h.token != nil && h.token.Generation == r.Generation:
			again := *h
			again.fence = r.Fence
			next = &again
		}
		if e.now.CompareAndSwap(h, next) { // nil: the next call reads it
			if next != nil && next.why != nil {
				k.opt.Observer.Expires(r.Key, zero)
			}
			return
		}
	}
}

// Tend does for all connections what no call does, until ctx ends: it renews
// grants that are not used, and tells providers of revocations. One process at a
// time has to.
func (k *Keeper) Tend(ctx context.Context) {
	for pause(ctx, time.Second) {
		if err := k.tend(ctx); err != nil && ctx.Err() == nil {
			k.opt.Observer.Trouble("tending the connections", err)
		}
		pause(ctx, tendEvery)
	}
}

func (k *Keeper) tend(ctx context.Context) error {
	var errs []error
	var after Key
	for {
		rows, err := k.opt.Store.List(ctx, Filter{After: after, Limit: 500})
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		for i := range rows {
			if err := k.tendOne(ctx, rows[i]); err != nil {
				errs = append(errs, err)
			}
		}
		if len(rows) < 500 || ctx.Err() != nil {
			return errors.Join(errs...)
		}
		after = rows[len(rows)-1].Key
	}
}

func (k *Keeper) tendOne(ctx context.Context, r Row) error {
	s := k.Source(r.Key)
	if s == nil {
		return nil
	}
	switch {
	case r.State == Revoked && !r.RevokeDue.IsZero() && !r.RevokeDue.After(r.Now):
		k.tell(ctx, r)
	case r.State == Active && s.Person && len(r.Refresh) > 0 && k.idle(&r):
		e := k.entry(r.Key)
		e.force.Store(r.Generation)
		f := k.renew(e, s)
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil
		}
		if f.err != nil {
			return fmt.Errorf("renew %s, which has not been used for long: %w", r.Key, f.err)
		}
	}
	return nil
}

// idle reports whether a grant is in danger of being forgotten by the provider.
func (k *Keeper) idle(r *Row) bool {
	unused := r.Now.Sub(r.Obtained)
	if !r.RefreshExpiry.IsZero() && unused > r.RefreshExpiry.Sub(r.Obtained)/2 {
		return true
	}
	return unused > idleLimit && !r.Expiry.IsZero()
}

// Reseal brings connections under the newest key, and under the hosts that the
// policy names now if rebind is set: a page of those that f selects. It returns how
// many it changed, and the last one it has looked at, to go on behind; that is
// zero if there are no more.
func (k *Keeper) Reseal(ctx context.Context, f Filter, rebind bool) (changed int, last Key, err error) {
	rows, err := k.opt.Store.List(ctx, f)
	if err != nil {
		return 0, last, fmt.Errorf("reseal: %w", err)
	}
	for i := range rows {
		did, err := k.resealOne(ctx, rows[i], rebind)
		if err != nil {
			return changed, last, fmt.Errorf("reseal %s: %w", rows[i].Key, err)
		}
		if did {
			changed++
		}
	}
	if f.Limit > 0 && len(rows) == f.Limit {
		last = rows[len(rows)-1].Key
	}
	return changed, last, nil
}

func (k *Keeper) resealOne(ctx context.Context, r Row, rebind bool) (bool, error) {
	for {
		hosts := r.Hosts
		if s := k.Source(r.Key); s != nil && rebind {
			hosts = s.Hosts
		}
		current, err := k.current(&r)
		if err != nil || current && slices.Equal(hosts, r.Hosts) {
			return false, err
		}
		if err := k.reseal(&r, hosts); err != nil {
			return false, err
		}
		_, err = k.save(ctx, r, Move{From: r.State, To: r.State, Generation: r.Generation, Reason: "sealed anew"})
		if !errors.Is(err, ErrStale) {
			k.entry(r.Key).now.Store(nil)
			return err == nil, err
		}
		if r, err = k.opt.Store.Load(ctx, r.Key); err != nil {
			return false, err
		}
	}
}
