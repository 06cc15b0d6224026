// Package credential is what all kinds of credentials have in common: they are
// the last to see a request, afresh for each attempt, remove what the
// application sent in their place, fail closed, rotate on a 401, and mask what
// the provider echoes. Each kind is a folder of its own.
//
//	credential.go  the stage that a kind describes
//	rotation.go    which of several values is in use
//	clock.go       how far the provider's clock is from ours
//	mask.go        taking injected values out of answers
//	hints.go       and out of what comes before them
//	token.go       the stage of kinds whose value is a token that the provider grants
//	server.go      how they ask for it; stub.go: what an SDK gets that asks by itself
//	refusal.go     and what is said if there is none
package credential

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/oauth"
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
	Do     oauth.Do // sends what credentials ask authorization servers

	mu     sync.Mutex
	state  map[policy.Scope]*rotation
	clocks map[string]*Clock // by provider
}

// NewLive returns an empty state.
func NewLive() *Live {
	return &Live{state: map[policy.Scope]*rotation{}, clocks: map[string]*Clock{}}
}

// A Kind describes one credential.
type Kind struct {
	Name    string // of the kind
	Summary string
	Slot    policy.Slot
	Values  []block.Secret // alternatives, newest first: the next is tried on a 401
	Also    []block.Secret // further secrets that are put with each alternative

	// Put puts one alternative into the request, and removes what the
	// application sent in its place. also has the values of Also. Values hold
	// no CR, LF or NUL.
	Put func(r *http.Request, x *policy.Exchange, value string, also []string) error

	// Echo lists what is taken out of answers; nil means value and also.
	Echo func(value string, also []string) []string

	// Signs says that Put signs by the time of [Live.Clock]: a refusal that shows
	// the time to be wrong is followed by another attempt with the right one.
	Signs bool
}

// Stage compiles a kind for one scope.
func (l *Live) Stage(s policy.Scope, k Kind) policy.Stage {
	s.Label = k.Name + "\x00" + k.Slot.Name
	state, clock := l.rotation(s), l.Clock(s.Provider)
	summary := k.Summary
	if len(k.Values) > 1 {
		summary += fmt.Sprintf(", %d values: the next on a 401", len(k.Values))
	}
	return policy.Stage{
		Summary: summary,
		Slots:   []policy.Slot{k.Slot},
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return &injector{Kind: k, state: state, clock: clock, next: next}
		},
	}
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
	state *rotation
	clock *Clock
	next  http.RoundTripper
	echo  atomic.Pointer[echo] // of the values injected last
}

// RoundTrip injects, sends, and reads whether the credential was refused.
func (t *injector) RoundTrip(r *http.Request) (*http.Response, error) {
	x := policy.From(r.Context())
	if err := inClear(r, x); err != nil {
		return nil, err
	}
	at, value, also, err := t.values()
	if err != nil {
		return nil, err
	}
	var shift time.Duration
	if t.Signs {
		shift = t.clock.shift(time.Now())
	}
	if err := t.Put(r, x, value, also); err != nil {
		return nil, err
	}
	e := t.echoOf(value, also)
	start := time.Now()
	resp, err := t.next.RoundTrip(e.listen(r))
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
	case resp.StatusCode != http.StatusUnauthorized:
		t.state.accepted(at, len(t.Values))
	case t.state.refused(at, len(t.Values), time.Now()):
		x.Fresh = true
		x.Note("credential", "rotated", t.Values[at].String()+" was refused; the next value is in use")
	}
	e.mask(resp, x)
	return resp, nil
}

// values reveals what is put into this attempt, and says which of the
// alternatives that is.
func (t *injector) values() (at int, value string, also []string, err error) {
	if value, err = t.reveal(t.Values[0]); err != nil {
		return 0, "", nil, err
	}
	if at = t.state.current(value, len(t.Values)); at > 0 {
		if value, err = t.reveal(t.Values[at]); err != nil {
			return 0, "", nil, err
		}
	}
	for _, s := range t.Also {
		v, err := t.reveal(s)
		if err != nil {
			return 0, "", nil, err
		}
		also = append(also, v)
	}
	return at, value, also, nil
}

// echoOf returns what to look for in answers. Values seldom change: the work
// is done once for each set of them.
func (t *injector) echoOf(value string, also []string) *echo {
	e := t.echo.Load()
	if e == nil || e.value != value || !slices.Equal(e.also, also) {
		secrets := append([]string{value}, also...)
		if t.Echo != nil {
			secrets = t.Echo(value, also)
		}
		e = newEcho(secrets)
		e.value, e.also = value, also
		t.echo.Store(e)
	}
	return e
}

// reveal fails closed: without its credential nothing leaves.
func (t *injector) reveal(s block.Secret) (string, error) {
	v, err := reveal(s)
	if err != nil {
		return "", unavailable(err)
	}
	return v, nil
}
