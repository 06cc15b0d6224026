package connection

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/seal"
)

// A Source says how the tokens of one credential of a provider are had. It is
// made of policy, and immutable. Its functions return an [oauth.Error] for what
// the authorization server says.
type Source struct {
	Provider, Credential string
	Hosts                []string // to which its tokens may go
	Scopes               []string // that are asked for
	Person               bool     // only a person can grant it; otherwise a new token can be asked for at any time

	// Mint asks for a new token. refresh is "" if there is none.
	Mint func(ctx context.Context, account, refresh string) (*oauth.Token, error)
	// Revoke tells the provider that a token is to be forgotten; nil if it has no
	// way.
	Revoke func(ctx context.Context, account string, t *oauth.Token) error
	// BaseURL reads from the provider's answer where the account's API is, "" if it
	// does not say. An address outside of Hosts is an error. nil is never.
	BaseURL func(account string, answer []byte) (string, error)

	// Link is where a person grants it, and Exchange makes a token of what comes
	// back; both are nil unless Person is set. Issuer is what the callback has to
	// name, "" for nothing (RFC 9207).
	Link     func(account, redirect, state, verifier string) (string, error)
	Exchange func(ctx context.Context, account, code, verifier, redirect string) (*oauth.Token, error)
	Issuer   string
}

// A Token is an access token that was valid when it was asked for.
type Token struct {
	Value      string
	Account    string // whose it is
	Generation int64
	BaseURL    string            // where the account's API is; "" is anywhere in Hosts
	Places     map[string]string // members of the provider's answer that say so

	// Memo is for whoever uses the token: what was made of it once.
	Memo atomic.Value
}

// Options are what a [Keeper] is told. Observer, Guard and Random are required.
type Options struct {
	Store    Store
	Ring     func() (*seal.Ring, error) // the seal in force, or why there is none
	Holder   string                     // the id of this process
	Shared   bool                       // other processes use the store, too
	Observer Observer
	Guard    func(values ...string) // is told every token, so that it is never shown
	Random   func() float64         // in [0,1)
}

// An Observer is told what happens to connections.
type Observer interface {
	// Renewed counts a renewal; result is "renewed", "failed" or "lost".
	Renewed(provider, result string)
	// Expires tells when the token in use of a connection does; zero is unknown.
	Expires(k Key, at time.Time)
	// Moved is told every move that this process made.
	Moved(k Key, m Move)
	// Alarm is told what a person has to know.
	Alarm(k Key, what string)
	// Trouble is told what failed in the background.
	Trouble(doing string, err error)
}

// A Keeper gives calls their tokens. It renews a token once, however many calls
// of however many processes wait for it, and never while one of them holds a
// lock of its own.
type Keeper struct {
	opt     Options
	ctx     context.Context // of renewals: no caller's
	stop    context.CancelFunc
	running sync.WaitGroup

	mu      sync.RWMutex
	entries map[Key]*entry
	soles   map[Key]sole // by a key without account
	sources atomic.Pointer[map[Key]*Source]
}

// entry is what is known about one connection.
type entry struct {
	key     Key
	now     atomic.Pointer[held]
	force   atomic.Int64 // generation of a token that the provider refused: it is to be renewed whatever its expiry
	refused atomic.Int32 // forced renewals in a row of which none helped
	insists atomic.Bool  // a person wants it renewed: failures before do not make it wait

	mu       sync.Mutex
	flight   *flight
	quiet    time.Time // until then no new token is asked for
	forcedAt time.Time
}

// held is a token, or why there is none, as it was last read or made.
type held struct {
	token      *Token
	fence      int64
	hosts      []string  // to which it may go
	soft, hard time.Time // when to renew it in the background, and when it is of no use; zero is never
	why        error     // there is no token: why, until hard
	renewable  bool      // there is something to renew it with
	unsaved    bool      // the store does not have it yet
}

func (h *held) valid(now time.Time) bool {
	return h.token != nil && (h.hard.IsZero() || now.Before(h.hard))
}

func (h *held) fresh(now time.Time) bool {
	return h.valid(now) && (h.soft.IsZero() || now.Before(h.soft))
}

// sole is the only account of a provider, as it was at a time.
type sole struct {
	account string
	known   int
	at      time.Time
}

const (
	mintWithin  = 20 * time.Second // less than leaseTime: an answer that comes later may not be ours any more
	saveWithin  = 8 * time.Second  // what came of it; then it is stored later
	renewWithin = 55 * time.Second // one renewal in all, waiting for another process included
	stateFor    = time.Second      // that a connection cannot be used is believed so long
	restForced  = time.Minute      // between renewals that a 401 forces, doubling while they do not help

	manyAccounts = 100 // of a provider: more need not be counted
)

// NewKeeper returns a keeper. [Keeper.Run] has to run beside it.
func NewKeeper(o Options) *Keeper {
	k := &Keeper{opt: o, entries: map[Key]*entry{}, soles: map[Key]sole{}}
	k.ctx, k.stop = context.WithCancel(context.Background())
	k.sources.Store(&map[Key]*Source{})
	return k
}

// Swap makes sources the ones in force, for what is done without a call.
func (k *Keeper) Swap(sources []*Source) {
	m := make(map[Key]*Source, len(sources))
	for _, s := range sources {
		m[Key{Provider: s.Provider, Credential: s.Credential}] = s
	}
	k.sources.Store(&m)
}

// Source returns the source in force of a connection, or nil.
func (k *Keeper) Source(key Key) *Source {
	return (*k.sources.Load())[Key{Provider: key.Provider, Credential: key.Credential}]
}

// Sources returns the sources in force of a provider.
func (k *Keeper) Sources(provider string) (list []*Source) {
	for _, s := range *k.sources.Load() {
		if s.Provider == provider {
			list = append(list, s)
		}
	}
	return list
}

// Close waits for renewals that are under way, until ctx ends: an answer that
// nobody stores is a grant that is lost.
func (k *Keeper) Close(ctx context.Context) error {
	defer k.stop()
	done := make(chan struct{})
	go func() { k.running.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("renewals of tokens are still under way: %w", ctx.Err())
	}
}

// A StateError says that a connection cannot be used as it stands.
type StateError struct {
	Key   Key
	State State // "" if there is none
	Known int   // connections that the provider has, if no account was named
	Why   string
}

func (e *StateError) Error() string {
	switch {
	case e.State == "" && e.Known > 1:
		return fmt.Sprintf("%s has several connections, and the call names none", e.Key.Provider)
	case e.State == "":
		return fmt.Sprintf("there is no connection %s", e.Key)
	case e.Why != "":
		return fmt.Sprintf("connection %s: %s (%s)", e.Key, e.Why, e.State)
	}
	return fmt.Sprintf("connection %s is %s", e.Key, e.State)
}

// An UnavailableError says that there is no valid token now, and that there may
// be one later.
type UnavailableError struct {
	Key        Key
	Why        string
	RetryAfter time.Duration // 0 if nobody knows
	Err        error         // the cause, for the log
}

func (e *UnavailableError) Error() string { return e.Why }

func (e *UnavailableError) Unwrap() error { return e.Err }

// Token returns a token of account that is valid now; "" is the provider's only
// one. A token that is about to expire is given and renewed behind the call; for
// one that has expired the call waits, at most until then; zero is for as long as
// a renewal may take. It returns how long that was, too. Its error is a
// [StateError], an [UnavailableError] or that of ctx.
func (k *Keeper) Token(ctx context.Context, until time.Time, s *Source, account string) (*Token, time.Duration, error) {
	if account == "" && s.Person {
		var err error
		if account, err = k.Sole(ctx, s); err != nil {
			return nil, 0, err
		}
	}
	e := k.entry(Key{s.Provider, account, s.Credential})
	now := time.Now()
	if h := e.now.Load(); h != nil {
		switch {
		case h.why != nil && now.Before(h.hard):
			return nil, 0, h.why
		case h.token != nil && (e.force.Load() == h.token.Generation || !within(s.Hosts, h.hosts)):
		case h.fresh(now):
			return h.token, 0, nil
		case h.valid(now):
			k.renew(e, s)
			return h.token, 0, nil
		}
	}
	t, err := k.renew(e, s).wait(ctx, until, e.key)
	return t, time.Since(now), err
}

// Refused is told that the provider answered 401 to a call with t. It reports
// whether another call would carry another token: one renewal is forced for a
// generation, then none for a while, because a 401 need not mean that a token
// has expired.
func (k *Keeper) Refused(s *Source, t *Token) bool {
	e := k.entry(Key{s.Provider, t.Account, s.Credential})
	h := e.now.Load()
	if h == nil || h.token == nil {
		return h == nil
	}
	if h.token.Generation != t.Generation {
		return true // renewed in the meantime
	}
	if !h.renewable {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.force.Load() == t.Generation {
		return true // about to be
	}
	if e.flight != nil { // it is being renewed, and the provider knows the new one already
		e.force.Store(t.Generation) // so that calls wait for it
		return true
	}
	rest := min(restForced<<min(e.refused.Load(), 6), time.Hour)
	if now := time.Now(); e.forcedAt.IsZero() || now.Sub(e.forcedAt) >= rest {
		e.forcedAt = now
		e.refused.Add(1)
		e.force.Store(t.Generation)
		return true
	}
	return false
}

// Accepted is told that the provider took t.
func (k *Keeper) Accepted(s *Source, t *Token) {
	if e := k.entry(Key{s.Provider, t.Account, s.Credential}); e.refused.Load() != 0 {
		e.refused.Store(0)
	}
}

func (k *Keeper) entry(key Key) *entry {
	k.mu.RLock()
	e := k.entries[key]
	k.mu.RUnlock()
	if e != nil {
		return e
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if e = k.entries[key]; e == nil {
		e = &entry{key: key}
		k.entries[key] = e
	}
	return e
}

// forget drops what is known of a connection that does not exist, so that names
// which somebody makes up cost no memory.
func (k *Keeper) forget(e *entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.entries[e.key] == e {
		delete(k.entries, e.key)
	}
}

// Sole returns the account that is meant where none is named: the provider's only
// one. Its error is a [StateError] or an [UnavailableError].
func (k *Keeper) Sole(ctx context.Context, of *Source) (string, error) {
	key := Key{Provider: of.Provider, Credential: of.Credential}
	k.mu.RLock()
	s, ok := k.soles[key]
	k.mu.RUnlock()
	if !ok || s.known != 1 && time.Since(s.at) > stateFor {
		rows, err := k.opt.Store.List(ctx, Filter{Provider: key.Provider, Limit: manyAccounts})
		if err != nil {
			return "", &UnavailableError{Key: key, Why: "the store of connections does not answer", Err: err}
		}
		s = soleOf(rows, key.Credential)
		k.mu.Lock()
		k.soles[key] = s
		k.mu.Unlock()
	}
	if s.known != 1 {
		return "", &StateError{Key: key, Known: s.known}
	}
	return s.account, nil
}

// soleOf counts the accounts that are not revoked, or those that are if there is
// no other.
func soleOf(rows []Row, credential string) sole {
	living, ended := sole{at: time.Now()}, sole{at: time.Now()}
	for _, r := range rows {
		of := &living
		switch {
		case r.Credential != credential:
			continue
		case r.State == Revoked:
			of = &ended
		}
		of.account, of.known = r.Account, of.known+1
	}
	if living.known == 0 {
		return ended
	}
	return living
}

// recount has the only account of a provider looked for again.
func (k *Keeper) recount(key Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.soles, Key{Provider: key.Provider, Credential: key.Credential})
}
