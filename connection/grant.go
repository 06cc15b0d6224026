package connection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postern-proxy/postern/oauth"
)

// Ask records that somebody asked for a link to connect an account. What there
// is of the connection stays as it is.
func (k *Keeper) Ask(ctx context.Context, s *Source, account, by string) error {
	next, m := asked(Row{Key: Key{s.Provider, account, s.Credential}, Hosts: s.Hosts}, s.Scopes)
	m.By = by
	if _, err := k.save(ctx, next, m); err != nil && !errors.Is(err, ErrStale) {
		return fmt.Errorf("store the connection %s: %w", next.Key, err)
	}
	k.entry(next.Key).now.Store(nil)
	return nil
}

// Grant stores what a person has granted, whatever there was before. It returns
// what has to be told about the scopes, "" if they are as asked.
func (k *Keeper) Grant(ctx context.Context, s *Source, account string, t *oauth.Token, by string) (warning string, err error) {
	return k.accept(ctx, s, account, t, Move{Reason: "granted", By: by}, func(*Row) error { return nil })
}

// accept makes t the token of a connection, unless may says no to what there is.
func (k *Keeper) accept(ctx context.Context, s *Source, account string, t *oauth.Token, why Move, may func(*Row) error) (warning string, err error) {
	key := Key{s.Provider, account, s.Credential}
	if s.BaseURL != nil {
		if _, err := s.BaseURL(account, t.Raw); err != nil {
			return "", fmt.Errorf("connect %s: %w", key, err)
		}
	}
	k.opt.Guard(t.Access, t.Refresh)
	e := k.entry(key)
	for {
		r, err := k.opt.Store.Load(ctx, key)
		if errors.Is(err, ErrUnknown) {
			r, err = Row{Key: key, Needs: s.Scopes}, nil
		} else if err == nil {
			err = may(&r)
		}
		if err != nil {
			return "", fmt.Errorf("connect %s: %w", key, err)
		}
		saved, err := k.put(ctx, s, r, t, why)
		if errors.Is(err, ErrStale) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("connect %s: %w", key, err)
		}
		h, err := k.look(&saved, s)
		if err != nil {
			return "", err
		}
		e.refused.Store(0)
		e.now.Store(h)
		k.opt.Observer.Expires(key, h.hard)
		k.scopes(&saved)
		missing, extra := privileges(saved.Needs, saved.Granted)
		return join(missing, extra), nil
	}
}

func join(a, b string) string {
	if a != "" && b != "" {
		return a + "; " + b
	}
	return a + b
}

// put writes a grant over r.
func (k *Keeper) put(ctx context.Context, s *Source, r Row, t *oauth.Token, why Move) (Row, error) {
	next, m := granted(r, t, s.Scopes, why.Reason)
	m.By, next.Hosts, next.BaseURL = why.By, s.Hosts, ""
	if s.BaseURL != nil {
		next.BaseURL, _ = s.BaseURL(r.Account, t.Raw) // looked at before
	}
	if r.Now.IsZero() { // a new row: by the clock of this process, which is near enough
		next.Obtained, next.Expiry, next.RefreshExpiry = time.Now(), t.Expiry, t.RefreshExpiry
	}
	if err := k.sealToken(&next, t); err != nil {
		return r, err
	}
	return k.save(ctx, next, m)
}

// Renew asks for a new token now, whatever the one in use is good for and however
// often that has failed, and returns the connection as it is then. One that was
// revoked is in use again if its tokens are asked for without a person.
func (k *Keeper) Renew(ctx context.Context, key Key) (Row, error) {
	s := k.Source(key)
	if s == nil {
		return Row{}, &RequestError{Why: fmt.Sprintf("no policy in force has the credential of %s", key), Hint: "Nothing is known of where its token could be had."}
	}
	r, err := k.opt.Store.Load(ctx, key)
	if err != nil {
		return r, fmt.Errorf("renew %s: %w", key, err)
	}
	if r.State == Revoked && !s.Person {
		next, m := restored(r)
		if r, err = k.save(ctx, next, m); err != nil {
			return r, fmt.Errorf("renew %s: %w", key, err)
		}
		k.apply(&r)
	}
	e := k.entry(key)
	e.insists.Store(true)
	e.force.Store(r.Generation)
	f := k.renew(e, s)
	select {
	case <-f.done:
	case <-ctx.Done():
		return r, context.Cause(ctx)
	}
	if f.err != nil {
		return r, fmt.Errorf("renew %s: %w", key, f.err)
	}
	again, err := k.opt.Store.Load(ctx, key)
	if err == nil && again.Generation == r.Generation {
		why := again.Failure
		if why == "" {
			why = errNoRefresh.Error()
		}
		err = fmt.Errorf("renew %s: there is no new token: %s", key, why)
	}
	return again, err
}
