package connection

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Health says in one word how a connection does.
type Health string

// How a connection does.
const (
	Good    Health = "good"    // there is a token, or one is had with the next call
	Failing Health = "failing" // the token is valid, and a new one could not be had
	Down    Health = "down"    // there is no valid token, and none could be had
	Blocked Health = "blocked" // the policy has no such credential, or hosts that the tokens are not sealed for
	Waiting Health = "waiting" // for a person to grant it
	Ended   Health = "ended"
)

// Healths lists every one.
func Healths() []Health { return []Health{Good, Failing, Down, Blocked, Waiting, Ended} }

// A View is a connection as people are shown it: without tokens, sealed or not.
type View struct {
	Row
	Health           Health
	Renewable        bool     // there is something to renew the token with
	Missing, Surplus []string // scopes that the policy asks for and were not granted, and the reverse
}

// Views returns connections, in the order of their keys.
func (k *Keeper) Views(ctx context.Context, f Filter) ([]View, error) {
	rows, err := k.opt.Store.List(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	views := make([]View, len(rows))
	for i := range rows {
		views[i] = k.view(rows[i])
	}
	return views, nil
}

// Stats counts the connections by provider and state.
func (k *Keeper) Stats(ctx context.Context) ([]Stat, error) { return k.opt.Store.Stats(ctx) }

// View returns one connection, and its last moves, the newest first. If there is
// none, the error is a [RequestError].
func (k *Keeper) View(ctx context.Context, key Key, moves int) (View, []Move, error) {
	r, err := k.opt.Store.Load(ctx, key)
	if errors.Is(err, ErrUnknown) {
		return View{}, nil, unknownConnection(key)
	} else if err != nil {
		return View{}, nil, fmt.Errorf("read the connection %s: %w", key, err)
	}
	history, err := k.opt.Store.History(ctx, key, moves)
	if err != nil {
		return View{}, nil, fmt.Errorf("read the history of %s: %w", key, err)
	}
	return k.view(r), history, nil
}

func unknownConnection(key Key) error {
	return &RequestError{Unknown: true, Why: fmt.Sprintf("there is no connection %s", key), Hint: "postern connections list shows those that there are."}
}

func (k *Keeper) view(r Row) View {
	v := View{Row: r, Health: k.health(&r), Renewable: len(r.Refresh) > 0}
	if s := k.Source(r.Key); s != nil {
		v.Needs = s.Scopes
		v.Renewable = v.Renewable || !s.Person
	}
	if r.Generation > 0 {
		v.Missing, v.Surplus = differ(v.Needs, r.Granted)
	}
	v.Access, v.Refresh, v.Extra = nil, nil, nil
	return v
}

func (k *Keeper) health(r *Row) Health {
	s := k.Source(r.Key)
	gone := !r.Expiry.IsZero() && !r.Now.Before(r.Expiry)
	switch {
	case r.State == Revoked:
		return Ended
	case r.State == Pending || r.State == NeedsReconnect:
		return Waiting
	case s == nil || len(r.Access) > 0 && !within(s.Hosts, r.Hosts):
		return Blocked
	case r.Failures > 0 && (gone || len(r.Access) == 0):
		return Down
	case r.Failures > 0:
		return Failing
	case gone && s.Person && len(r.Refresh) == 0:
		return Waiting // the next call finds it out
	}
	return Good
}

// Pick returns the key of the one connection that is meant: of an account, or if
// that is nil of a provider that has only one. credential "" is any. The error is
// a [RequestError], or that of the store.
func (k *Keeper) Pick(ctx context.Context, provider string, account *string, credential string) (Key, error) {
	f := Filter{Provider: provider, Limit: manyAccounts}
	key, hint := Key{Provider: provider, Credential: credential}, "Name the account."
	if account != nil {
		f.Account, key.Account, hint = *account, *account, "Name the credential: routes have some of their own."
	}
	rows, err := k.opt.Store.List(ctx, f)
	if err != nil {
		return Key{}, fmt.Errorf("list connections: %w", err)
	}
	rows = slices.DeleteFunc(rows, func(r Row) bool {
		return account != nil && r.Account != *account || credential != "" && r.Credential != credential
	})
	switch len(rows) {
	case 0:
		return key, unknownConnection(key)
	case 1:
		return rows[0].Key, nil
	}
	return Key{}, &RequestError{Exists: true, Why: fmt.Sprintf("%s has several connections, and it is not said which is meant", provider), Hint: hint}
}
