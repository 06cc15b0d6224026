package connection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-proxy/postern/oauth"
)

// renewal returns a valid token, a new one if need be. There is one at a time for
// each connection in this process; between processes the row in the store
// decides: whoever moves it to refreshing asks the provider, the others wait for
// what comes of it. What was read before the row was held is read again.
func (k *Keeper) renewal(ctx context.Context, e *entry, s *Source) (*Token, error) {
	force := e.force.Load()
	defer e.force.CompareAndSwap(force, 0)
	if h := e.now.Load(); h != nil && h.unsaved { // storeLater is at it
		if h.valid(time.Now()) {
			return h.token, nil
		}
		return nil, &UnavailableError{Key: e.key, Why: "the store of connections does not take the last token", RetryAfter: time.Second}
	}
	for wait := 20 * time.Millisecond; ; {
		r, err := k.read(ctx, e, s)
		if err != nil {
			return k.asItWas(e, s, err)
		}
		h, err := k.look(&r, s)
		if err != nil {
			return nil, k.publishWhy(e, &r, err)
		}
		now := time.Now()
		usable := h.valid(now)
		if usable && force != r.Generation && h.fresh(now) {
			return k.publish(e, h), nil
		}
		later, err := k.mustWait(e, &r, s, h)
		switch {
		case err != nil && !usable:
			return nil, err
		case usable && (err != nil || later > 0 && force != r.Generation):
			h.soft = now.Add(max(later, time.Second))
			return k.publish(e, h), nil
		case later > 0:
			if !pause(ctx, wait) {
				return nil, ctx.Err()
			}
			wait = min(2*wait, 500*time.Millisecond)
			continue
		}
		t, again, err := k.ask(ctx, e, s, r, h)
		if !again {
			return t, err
		}
	}
}

// read returns the row, which is made if a token can be asked for without a
// person.
func (k *Keeper) read(ctx context.Context, e *entry, s *Source) (Row, error) {
	r, err := k.opt.Store.Load(ctx, e.key)
	if !errors.Is(err, ErrUnknown) || s.Person {
		return r, err
	}
	r, err = k.save(ctx, Row{Key: e.key, State: Active, Hosts: s.Hosts, Needs: s.Scopes}, Move{To: Active, Reason: "used for the first time"})
	if errors.Is(err, ErrStale) {
		r, err = k.opt.Store.Load(ctx, e.key)
	}
	return r, err
}

// asItWas is the result while the store does not answer: what is valid is used
// to its last second.
func (k *Keeper) asItWas(e *entry, s *Source, err error) (*Token, error) {
	if errors.Is(err, ErrUnknown) {
		k.forget(e)
		return nil, &StateError{Key: e.key}
	}
	if h := e.now.Load(); h != nil && h.valid(time.Now()) && within(s.Hosts, h.hosts) {
		again := *h
		again.soft = time.Now().Add(time.Second)
		e.now.CompareAndSwap(h, &again)
		return h.token, nil
	}
	return nil, &UnavailableError{Key: e.key, Why: "the store of connections does not answer", RetryAfter: time.Second, Err: err}
}

// look makes of a row what can be given to calls. Without a token in it, h has
// none.
func (k *Keeper) look(r *Row, s *Source) (*held, error) {
	switch r.State {
	case Active, Refreshing:
	default:
		return nil, &StateError{Key: r.Key, State: r.State, Why: r.Failure}
	}
	h := &held{fence: r.Fence, hosts: r.Hosts, renewable: !s.Person || len(r.Refresh) > 0}
	if len(r.Access) == 0 {
		return h, nil
	}
	if !within(s.Hosts, r.Hosts) {
		return nil, &UnavailableError{Key: r.Key, Why: fmt.Sprintf("%v: it is sealed for %s", ErrHosts, strings.Join(r.Hosts, ", ")), Err: ErrHosts}
	}
	t, err := k.open(r)
	if err != nil {
		return nil, &UnavailableError{Key: r.Key, Why: "its tokens cannot be unsealed: " + err.Error(), Err: err}
	}
	h.token = tokenOf(r, t)
	if !r.Expiry.IsZero() {
		left := r.Expiry.Sub(r.Now)
		life := r.Expiry.Sub(r.Obtained)
		h.hard = time.Now().Add(left)
		h.soft = h.hard.Add(-time.Duration(float64(life) * (0.2 + 0.1*k.opt.Random()))) // at 70 to 80 % of its life
	}
	return h, nil
}

// mustWait says why no new token is asked for now: for how long, or with an
// error never, or not soon.
func (k *Keeper) mustWait(e *entry, r *Row, s *Source, h *held) (time.Duration, error) {
	if s.Person && len(r.Refresh) == 0 {
		if h.valid(time.Now()) {
			return time.Hour, errNoRefresh
		}
		return 0, nil // ask finds it lost
	}
	if k.opt.Shared && r.Holder != "" && r.Holder != k.opt.Holder && r.Until.After(r.Now) {
		return r.Until.Sub(r.Now), nil
	}
	if e.insists.CompareAndSwap(true, false) {
		return 0, nil
	}
	e.mu.Lock()
	rest := time.Until(e.quiet)
	e.mu.Unlock()
	if r.Failures > 0 {
		rest = max(rest, r.Changed.Add(failureDelay(r.Failures)).Sub(r.Now))
	}
	if rest > 0 {
		return rest, &UnavailableError{Key: r.Key, Why: "no new token can be had: " + r.Failure, RetryAfter: rest}
	}
	return 0, nil
}

var errNoRefresh = errors.New("the provider gave nothing to renew the token with")

// ask asks the provider for a new token, after it is on disk that this is being
// done. again says that the row has moved and has to be looked at anew.
func (k *Keeper) ask(ctx context.Context, e *entry, s *Source, r Row, h *held) (t *Token, again bool, err error) {
	old := &oauth.Token{}
	if len(r.Access)+len(r.Refresh) > 0 {
		if old, err = k.open(&r); err != nil {
			return nil, false, &UnavailableError{Key: r.Key, Why: "its tokens cannot be unsealed: " + err.Error(), Err: err}
		}
	}
	if s.Person && old.Refresh == "" {
		return k.lose(ctx, e, r, "the token has expired, and "+errNoRefresh.Error())
	}
	if s.Person && r.State == Refreshing && r.Tries >= 2 {
		return k.lose(ctx, e, r, "twice a process ended while it renewed the token: whether the provider still takes what we have is not known")
	}
	next, m := begin(r, k.opt.Holder)
	if r, err = k.save(ctx, next, m); err != nil {
		return k.unsaved(e, h, err)
	}
	// From here on nobody's leaving may stop it: what the provider answers has to be
	// stored.
	ctx = context.WithoutCancel(ctx)
	asking, asked := context.WithTimeout(ctx, mintWithin)
	got, err := s.Mint(asking, e.key.Account, old.Refresh)
	asked()
	ctx, cancel := context.WithTimeout(ctx, saveWithin)
	defer cancel()
	if err != nil {
		return k.notRenewed(ctx, e, s, r, h, err)
	}
	if got.Refresh == "" {
		got.Refresh = old.Refresh
	}
	k.opt.Guard(got.Access, got.Refresh)
	t, err = k.settle(ctx, e, s, r, got, "renewed")
	k.opt.Observer.Renewed(s.Provider, "renewed")
	return t, false, err
}

// unsaved is the result of a move that was not made.
func (k *Keeper) unsaved(e *entry, h *held, err error) (*Token, bool, error) {
	if errors.Is(err, ErrStale) {
		return nil, true, nil
	}
	if h != nil && h.valid(time.Now()) {
		h.soft = time.Now().Add(time.Second)
		return k.publish(e, h), false, nil
	}
	return nil, false, &UnavailableError{Key: e.key, Why: "the store of connections does not answer", RetryAfter: time.Second, Err: err}
}

// settle stores a new token before anybody uses it. If that fails the token is
// used all the same, because the one before is dead, and stored as soon as it
// can be.
func (k *Keeper) settle(ctx context.Context, e *entry, s *Source, r Row, t *oauth.Token, reason string) (*Token, error) {
	saved, err := k.store(ctx, s, r, t, reason)
	switch {
	case err == nil:
	case errors.Is(err, errSuperseded):
		h, err := k.look(&saved, s)
		if err != nil {
			return nil, k.publishWhy(e, &saved, err)
		}
		return k.publish(e, h), nil
	default:
		k.opt.Observer.Alarm(e.key, "a new token could not be stored: it is kept in memory and lost if this process ends before the store is back ("+err.Error()+")")
		saved, _ = granted(r, t, s.Scopes, reason)
		h := k.unstored(&saved, t, s)
		k.running.Go(func() { k.storeLater(e, s, r, t, reason, h) })
		return k.publish(e, h), nil
	}
	h, err := k.look(&saved, s)
	if err != nil {
		return nil, k.publishWhy(e, &saved, err)
	}
	if !slices.Equal(saved.Granted, r.Granted) {
		k.scopes(&saved)
	}
	return k.publish(e, h), nil
}

// unstored is what calls are given of a token that the store does not have.
func (k *Keeper) unstored(r *Row, t *oauth.Token, s *Source) *held {
	h := &held{token: tokenOf(r, t), fence: r.Fence, hosts: s.Hosts, renewable: true, unsaved: true, hard: t.Expiry}
	if !h.hard.IsZero() {
		h.soft = h.hard
	}
	return h
}

// errSuperseded says that the store has a newer token, or none any more.
var errSuperseded = errors.New("another token has taken its place")

// store writes a token over the generation that it was made from. It is never
// written over a newer one, nor over a connection that was revoked meanwhile;
// then what is stored is returned with errSuperseded.
func (k *Keeper) store(ctx context.Context, s *Source, r Row, t *oauth.Token, reason string) (Row, error) {
	from := r.Generation
	for {
		next, m := granted(r, t, s.Scopes, reason)
		next.Hosts = s.Hosts
		if s.BaseURL != nil && len(t.Raw) > 0 {
			at, err := s.BaseURL(r.Account, t.Raw)
			if err != nil {
				k.opt.Observer.Alarm(r.Key, err.Error())
			} else if at != "" {
				next.BaseURL = at
			}
		}
		if err := k.sealToken(&next, t); err != nil {
			return r, err
		}
		saved, err := k.save(ctx, next, m)
		if !errors.Is(err, ErrStale) {
			return saved, err
		}
		if r, err = k.opt.Store.Load(ctx, r.Key); err != nil {
			return r, err
		}
		if r.Generation != from || r.State == Revoked {
			return r, errSuperseded
		}
	}
}

// storeLater stores a token that could not be stored at once.
func (k *Keeper) storeLater(e *entry, s *Source, r Row, t *oauth.Token, reason string, h *held) {
	for wait := time.Second / 4; pause(k.ctx, wait); wait = min(2*wait, 10*time.Second) {
		if e.now.Load() != h {
			return // a newer one is in use
		}
		ctx, cancel := context.WithTimeout(k.ctx, leaseTime)
		again, err := k.opt.Store.Load(ctx, e.key)
		if err == nil && again.Generation == r.Generation && again.State != Revoked {
			again, err = k.store(ctx, s, again, t, reason)
		}
		cancel()
		if err != nil && !errors.Is(err, errSuperseded) {
			continue
		}
		if stored, err := k.look(&again, s); err == nil {
			k.publish(e, stored)
			k.opt.Observer.Alarm(e.key, "the token that could not be stored is stored now")
		}
		return
	}
}

// notRenewed takes note of a renewal that failed.
func (k *Keeper) notRenewed(ctx context.Context, e *entry, s *Source, r Row, h *held, cause error) (*Token, bool, error) {
	var o *oauth.Error
	if errors.As(cause, &o) && o.Revoked() && s.Person {
		now, err := k.opt.Store.Load(ctx, e.key) // once: another process may have won
		if err == nil && now.Generation != r.Generation {
			return nil, true, nil
		}
		return k.lose(ctx, e, r, "the provider says that the grant is not valid any more: "+cause.Error())
	}
	k.opt.Observer.Renewed(s.Provider, "failed")
	next, m := failed(r, cause.Error())
	rest := failureDelay(next.Failures)
	if o != nil {
		rest = max(rest, min(o.RetryAfter, time.Hour))
		if o.Misconfigured() {
			rest = max(rest, 30*time.Second)
		}
	}
	e.mu.Lock()
	e.quiet = time.Now().Add(rest)
	e.mu.Unlock()
	if _, err := k.save(ctx, next, m); errors.Is(err, ErrStale) {
		return nil, true, nil
	}
	if h.valid(time.Now()) {
		h.soft = time.Now().Add(rest)
		return k.publish(e, h), false, nil
	}
	return nil, false, &UnavailableError{Key: e.key, Why: "no new token can be had: " + next.Failure, RetryAfter: rest, Err: cause}
}

// lose ends a connection that only a person can bring back.
func (k *Keeper) lose(ctx context.Context, e *entry, r Row, why string) (*Token, bool, error) {
	next, m := lost(r, why)
	saved, err := k.save(ctx, next, m)
	if errors.Is(err, ErrStale) {
		return nil, true, nil
	}
	if err != nil {
		saved = next
	}
	k.opt.Observer.Renewed(r.Provider, "lost")
	k.opt.Observer.Alarm(r.Key, why+"; the account has to be connected again")
	return nil, false, k.publishWhy(e, &saved, &StateError{Key: r.Key, State: NeedsReconnect, Why: why})
}

// save makes a move, and tells it.
func (k *Keeper) save(ctx context.Context, r Row, m Move) (Row, error) {
	m.Replica = k.opt.Holder
	saved, err := k.opt.Store.Save(ctx, r, m)
	if err == nil {
		if k.opt.Observer.Moved(r.Key, m); m.From == "" || m.To == Revoked || m.From == Revoked {
			k.recount(r.Key)
		}
	}
	return saved, err
}

// publish makes h what calls get, unless something newer is.
func (k *Keeper) publish(e *entry, h *held) *Token {
	for {
		old := e.now.Load()
		if old != nil && old.token != nil && old.token.Generation == h.token.Generation && old.token.Value == h.token.Value {
			h.token = old.token // with what was made of it
		}
		if old != nil && old.fence > h.fence && old.token != nil && !old.unsaved {
			return old.token
		}
		if e.now.CompareAndSwap(old, h) {
			k.opt.Observer.Expires(e.key, h.hard)
			return h.token
		}
	}
}

// publishWhy has calls told for a moment why there is no token.
func (k *Keeper) publishWhy(e *entry, r *Row, why error) error {
	e.now.Store(&held{fence: r.Fence, why: why, hard: time.Now().Add(stateFor)})
	k.opt.Observer.Expires(e.key, zero)
	return why
}

// scopes tells if what was granted is not what the policy asks for.
func (k *Keeper) scopes(r *Row) {
	missing, extra := privileges(r.Needs, r.Granted)
	for _, what := range []string{missing, extra} {
		if what != "" {
			k.opt.Observer.Alarm(r.Key, what)
		}
	}
}

// pause waits, and reports whether ctx lives.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
