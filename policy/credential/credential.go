// Package credential is what all kinds of credentials have in common: they are
// the last to see a request, afresh for each attempt, remove what the
// application sent in their place, fail closed, rotate when a key is refused, and
// mask what the provider echoes. Each kind is a folder of its own.
//
//	credential.go  the stage of a kind, kind.go: what describes it
//	rotation.go    which of several values is in use
//	key.go         one value, and what is known of it
//	encoding.go    how a secret writes a key
//	clock.go       how far the provider's clock is from ours
//	echo.go        the ways in which injected values come back
//	mask.go        taking them out of answers, packed.go: out of compressed ones,
//	hints.go       and out of what comes before them
//	kept.go        values that are asked for, kept and renewed
//	token.go       the stage of kinds whose value is a token that the provider grants
//	server.go      how they ask for it, client.go: as whom; stub.go: what an SDK gets that asks by itself
//	refusal.go     and what is said if there is none
package credential

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/postern-proxy/postern/backoff"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/policy"
)

// Live is the state of all credentials: rotation, and the providers' clocks. It
// outlives reloads. Its fields are set before the first call; where policies are
// only checked they are nil.
type Live struct {
	// Skew is told how far a provider's clock is from this machine's: its time
	// minus ours. It must not block, and may be nil.
	Skew   func(provider string, seconds float64)
	Keeper *connection.Keeper
	Do     func(Way, *http.Request) (resp *http.Response, executed bool, err error) // see [oauth.Do]

	// Echoed is told of an answer that holds what was injected into its request,
	// and whether that could be masked. It must not block, and may be nil. Set it
	// before use.
	Echoed func(provider, endpoint string, masked bool)

	// Nonce makes the random nonces of signed requests; nil makes UUIDs of version 4.
	Nonce func() string

	// Guard is told of secrets that are parts of what Keeper keeps, so that they are
	// never shown. It may be nil.
	Guard func(values ...string)

	mu     sync.Mutex
	state  map[policy.Scope]*rotation
	clocks map[string]*Clock // by provider

	standIn func() (*rsa.PrivateKey, error) // a key for tests of policies, made when it is needed
}

// NewNonce makes a random nonce for a signed request.
func (l *Live) NewNonce() string {
	if l.Nonce != nil {
		return l.Nonce()
	}
	return uuid.NewString()
}

// A Way is how a request to an authorization server goes.
type Way struct {
	Provider string
	Named    bool     // the policy names the host itself, so that it may be a private one
	Upstream *url.URL // dialled instead of the host, as for calls; nil is the host

	Certificate *policy.ClientCertificate // nil for none
}

// NewLive returns an empty state.
func NewLive() *Live {
	return &Live{state: map[policy.Scope]*rotation{}, clocks: map[string]*Clock{}, standIn: sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })}
}

// Stage compiles a kind for one scope.
func (l *Live) Stage(s policy.Scope, k Kind) policy.Stage {
	if k.Slots == nil {
		k.Slots = []policy.Slot{k.Slot}
	}
	s.Label = k.Name + "\x00" + k.Slots[0].Name
	state, clock := l.rotation(s), l.Clock(s.Provider)
	summary := k.Summary
	if len(k.Values) > 1 && len(k.On) > 0 {
		on := make([]string, len(k.On))
		for i, o := range k.On {
			on[i] = string(o)
		}
		summary += fmt.Sprintf(", %d values: the next on %s", len(k.Values), strings.Join(on, ", "))
	}
	st := policy.Stage{
		Summary:     summary,
		Slots:       k.Slots,
		ReadsAnswer: !k.Public, // to mask what is in it
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return &injector{Kind: k, live: l, state: state, clock: clock, next: next}
		},
	}
	if k.Source != nil {
		st.Holds = k.Source
	} else {
		st.Keys = func() []policy.KeyState { return state.states(&k, s.Route) }
	}
	return st
}

func (l *Live) rotation(s policy.Scope) *rotation {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state[s] == nil {
		l.state[s] = new(rotation)
	}
	return l.state[s]
}

type injector struct {
	Kind
	live  *Live
	state *rotation
	clock *Clock
	next  http.RoundTripper
}

// RoundTrip injects, sends, and reads whether the credential was refused.
func (t *injector) RoundTrip(r *http.Request) (*http.Response, error) {
	x := policy.From(r.Context())
	if t.Skip != nil && t.Skip(r) {
		return t.next.RoundTrip(r)
	}
	if err := inClear(r, x); err != nil {
		return nil, err
	}
	k, err := t.key(r.Context(), x)
	if err != nil {
		return nil, err
	}
	var shift time.Duration
	if t.Signs {
		shift = t.clock.shift(time.Now())
	}
	if err := t.Put(r, x, k.value, k.also); err != nil {
		return nil, err
	}
	x.Carries(k.print)
	m := t.live.masking(x, k.echo)
	start := time.Now()
	k.last.Store(start.UnixNano())
	resp, err := t.next.RoundTrip(m.listen(r))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	t.clock.measure(resp, start, now)
	t.clock.blame(x, resp.StatusCode, now)
	switch {
	case t.Signs && refusal(resp.StatusCode) && (t.clock.shift(now)-shift).Abs() > trusted:
		x.Fresh = true // whatever the key, the time was wrong
		x.Note("credential", "clock", "the request is signed again by the provider's time")
	case k.token != nil:
		t.accept(x, k, resp)
	default:
		t.judge(r.Context(), x, k, resp, now)
	}
	m.take(resp)
	return resp, nil
}

// key is what is put into this attempt. A call stays on the key that it began
// with, whatever becomes of the policy meanwhile, until that is refused.
func (t *injector) key(ctx context.Context, x *policy.Exchange) (*key, error) {
	if t.Source != nil {
		return t.kept(ctx, x)
	}
	switch kept := x.Kept(t.state).(type) {
	case *key:
		return kept, nil
	case *spent:
		return kept.next, nil
	}
	k, err := t.current()
	if err == nil {
		x.Keep(t.state, k)
	}
	return k, err
}

// current is the key that a call which begins now gets.
func (t *injector) current() (*key, error) {
	newest, err := t.value(0)
	if err != nil {
		return nil, unavailable(err)
	}
	at, using := t.state.current(newest, len(t.Values))
	if using != nil && t.matches(using, at) {
		return using, nil
	}
	values, err := t.reveal(at)
	if err != nil {
		return nil, err
	}
	k := t.state.know(t.Values[at].String(), values[0], values[1:], &t.Kind)
	t.state.use(k)
	return k, nil
}

// judge reads what an answer says about the key. If it was refused, and there is
// another one that this call has not had, that is worth an attempt.
func (t *injector) judge(ctx context.Context, x *policy.Exchange, k *key, resp *http.Response, now time.Time) {
	verdict := x.Outcome
	if verdict == "" {
		verdict = policy.OfStatus(resp.StatusCode)
	}
	if !slices.Contains(t.On, verdict) {
		t.state.accepted(k, len(t.Values))
		return
	}
	s, ok := x.Kept(t.state).(*spent)
	if !ok {
		s = &spent{next: k}
		x.Keep(t.state, s)
	}
	s.keys = append(s.keys, k)
	pause := rest
	if verdict != policy.Auth {
		after, _ := backoff.RetryAfter(resp.Header, now, rest)
		pause = max(after, time.Second)
	}
	renewed := verdict == policy.Auth && t.renewed(k, block.Secret.Reread)
	if !t.state.refused(k, len(t.Values), pause, now) && !renewed {
		if verdict != policy.Auth || !t.renewed(k, func(s block.Secret, v string) bool { return s.Renew(ctx, v) }) {
			return
		}
	}
	next, err := t.current()
	if err != nil || s.has(next) {
		return
	}
	s.next, x.Fresh = next, true
	x.Note("credential", "rotated", k.ref+" was refused ("+string(verdict)+"); now "+next.ref)
}

// renewed asks each secret of a refused key whether there is a newer value where
// it came from.
func (t *injector) renewed(k *key, ask func(s block.Secret, refused string) bool) (newer bool) {
	for i, s := range t.Also {
		newer = ask(s, k.also[i]) || newer
	}
	for at, s := range t.Values {
		if v, err := s.Reveal(); err == nil && v == k.value {
			if len(t.Pairs) > 0 {
				newer = ask(t.Pairs[at], k.also[len(t.Also)]) || newer
			}
			return ask(s, v) || newer
		}
	}
	return true // it is none of the policy's any more
}
