package limit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

const (
	cooldown = "cooldown"
	shortest = 500 * time.Millisecond // where the provider does not say how long, doubled each time
	longest  = time.Minute            // up to this
)

// Cooldown returns the stage that holds calls back while their account is limited,
// which comes before the limits, and the guard behind the limits: whoever had a place
// there when the provider said no waits again and gives it back.
func Cooldown(o Observer) (stage, guard policy.Feature, err error) {
	known, err := lru.New[Key, *pause](buckets)
	if err != nil {
		return stage, guard, fmt.Errorf("make the memory of cool-downs: %w", err)
	}
	c := &cooling{observer: o, known: known}
	stage = policy.Feature{Name: cooldown, Always: true, New: func() policy.Block { return &Pause{c: c} }}
	guard = policy.Feature{Name: "guard", Always: true, Hidden: true, New: func() policy.Block { return &behind{c} }}
	return stage, guard, nil
}

// Pause is a cooldown block: what happens after a provider said that its limit is
// reached.
type Pause struct {
	Scope    string         `hcl:"scope,optional"` // account or endpoint
	Max      block.Duration `hcl:"max,optional"`   // longest cool-down
	Ramp     block.Duration `hcl:"ramp,optional"`  // after it, until calls go out as before; not longer than it was
	Wait     block.Duration `hcl:"wait,optional"`  // how long a call may wait
	Queue    int            `hcl:"queue,optional"` // how many may
	Priority *block.Expr    `hcl:"priority,optional" scope:"request"`
	Mode     policy.Mode    `hcl:"mode,optional"`

	c *cooling
}

// Default spares the account for an hour at most, and begins again within 10 s at most.
func (b *Pause) Default() {
	b.Scope, b.Mode, b.Queue = "account", policy.Enforce, 10_000
	b.Max.Duration, b.Ramp.Duration, b.Wait.Duration = time.Hour, 10*time.Second, 5*time.Second
}

// Check refuses what means nothing.
func (b *Pause) Check() error {
	switch {
	case b.Scope != "account" && b.Scope != "endpoint":
		return block.At("scope", "%q is neither \"account\" nor \"endpoint\"", b.Scope)
	case b.Queue < 0:
		return block.At("queue", "it is negative")
	}
	return nil
}

// Stage compiles the block.
func (b *Pause) Stage(s policy.Scope) (policy.Stage, error) {
	return policy.Stage{
		Summary: fmt.Sprintf("spares an %s that is limited, up to %v; then begins again within %v; calls wait up to %v, %s", b.Scope, b.Max, b.Ramp, b.Wait, b.Mode),
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return policy.RoundTripper(func(r *http.Request) (*http.Response, error) { return b.pass(s.Provider, r, next) })
		},
	}, nil
}

// cooling is what outlives reloads.
type cooling struct {
	observer Observer
	known    *lru.Cache[Key, *pause]
	hall     hall
	last     atomic.Pointer[time.Time] // until then some cool-down or ramp-up lasts; nil is none yet
}

// pause is the cool-down of one account, or endpoint of one, and what follows.
type pause struct {
	mu      sync.Mutex
	until   time.Time
	strikes int // in a row, of which the provider did not say how long they last
	ramp    ramp
}

// errCooling is told by the guard to the stage.
var errCooling = errors.New("the provider's limit was reached meanwhile")

// any reports whether there may be a cool-down of anybody.
func (c *cooling) any() bool {
	last := c.last.Load()
	return last != nil && time.Now().Before(*last)
}

func (b *Pause) key(provider string, x *policy.Exchange) Key {
	k := Key{Provider: provider, Name: cooldown, By: x.Account}
	if b.Scope == "endpoint" {
		k.Route = x.Endpoint
	}
	return k
}

// pass lets an attempt through when its account is not limited, and takes note if
// the answer says that it is.
func (b *Pause) pass(provider string, r *http.Request, next http.RoundTripper) (*http.Response, error) {
	x := policy.From(r.Context())
	var begun time.Time
	for {
		var p Place
		start := x.Now.Start // unless it waits, which few do
		if b.c.any() || b.c.hall.open.Load() > 0 {
			if begun.IsZero() {
				begun = time.Now()
			}
			var err error
			if p, err = b.take(r.Context(), x, b.key(provider, x), begun); err != nil {
				return nil, err
			}
			start = time.Now()
		}
		sent := x.Attempts
		resp, err := next.RoundTrip(r)
		if resp != nil && x.Attempts > sent && b.limits(x) {
			b.open(b.key(provider, x), x, resp, start)
		}
		if p.Back != nil { // now: those who wait are not to begin before the provider's word is known
			p.Back()
			b.c.hall.stir(b.key(provider, x))
		}
		if !errors.Is(err, errCooling) {
			return resp, err
		}
		if r.Context().Err() != nil {
			return nil, context.Cause(r.Context())
		}
	}
}

// limits reports whether the answer says that nothing more may be sent now. A key
// that was limited is not the account where there is another.
func (b *Pause) limits(x *policy.Exchange) bool {
	return (x.Outcome == policy.RateLimited || x.Outcome == policy.QuotaExhausted) && !x.Fresh
}

// take waits until the account is not limited any more.
func (b *Pause) take(ctx context.Context, x *policy.Exchange, k Key, begun time.Time) (Place, error) {
	t, ok := b.c.known.Get(k)
	if b.Mode == policy.Observe {
		x.Keep(b.c, Key{})
	} else {
		x.Keep(b.c, k)
	}
	if !ok {
		return Place{OK: true}, nil
	}
	var p Place
	if b.Mode == policy.Observe || !b.c.hall.busy(k) {
		if p = t.take(time.Now()); p.OK {
			return p, nil
		}
	}
	if b.Mode == policy.Observe {
		if x.Note(cooldown, "would_wait", p.Wait.Round(time.Millisecond).String()); p.Wait > b.Wait.Duration {
			b.c.observer.LimitObserved(k.Provider)
		}
		return Place{OK: true}, nil
	}
	within := b.Wait.Duration - time.Since(begun)
	if until := x.Until(); !until.IsZero() {
		within = min(within, time.Until(until))
	}
	w := wish{line: line{x.Client, x.Account}, urgency: usual, within: max(0, within), next: p.Wait}
	if b.Priority != nil {
		word, _ := b.Priority.String(x)
		w.urgency = urgency(word)
	}
	s := supply{take: func() Place { return t.take(time.Now()) }, length: b.Queue}
	p, waited, why, err := b.c.hall.wait(ctx, k, s, w)
	if waited > 0 {
		x.Waited += waited
		b.c.observer.LimitWait(k.Provider, cooldown, waited)
	}
	if why != 0 {
		return Place{}, b.refuse(k, p.Wait, why)
	}
	return p, err
}

func (b *Pause) refuse(k Key, wait time.Duration, why refusal) error {
	d := &policy.Denial{
		Code: policy.Limited, Stage: cooldown, RetryAfter: max(wait, time.Second),
		Detail: fmt.Sprintf("%s has said that its limit is reached, and is spared for another %v", k.Provider, wait.Round(time.Millisecond)),
		Hint:   "Wait for Retry-After: to go on calling makes some providers ban the account. The last rate_limited call in the log has the provider's answer.",
	}
	switch {
	case why == tooMany:
		d.Detail = fmt.Sprintf("%s has said that its limit is reached, and the queue of %d calls is full", k.Provider, b.Queue)
	case wait <= 0:
		d.Detail = fmt.Sprintf("%s has said that its limit was reached, and the calls before this one have not begun yet", k.Provider)
	}
	return d
}

// take lets a call begin if that is time.
func (t *pause) take(now time.Time) Place {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case now.Before(t.until):
		return Place{Wait: t.until.Sub(now)}
	case t.ramp.over(now):
		return Place{OK: true}
	}
	wait, ok := t.ramp.take(now)
	if !ok {
		return Place{Wait: wait}
	}
	return Place{OK: true, Back: t.end}
}

// end is the end of a call that began during a ramp-up.
func (t *pause) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ramp.done()
}

// open begins a cool-down, or makes it longer.
func (b *Pause) open(k Key, x *policy.Exchange, resp *http.Response, start time.Time) {
	now := time.Now()
	d, said := b.asked(x, resp)
	if !said && x.Outcome == policy.QuotaExhausted {
		return // nobody knows when there is more
	}
	t, ok := b.c.known.Get(k)
	if !ok {
		t = new(pause)
		if before, ok, _ := b.c.known.PeekOrAdd(k, t); ok {
			t = before
		}
	}
	t.mu.Lock()
	fresh := !start.Before(t.until) // not one that was under way when others were told
	switch {
	case said:
		t.strikes = 0
	case !fresh:
		t.mu.Unlock()
		return
	default:
		if t.ramp.over(now) {
			t.strikes = 0
		}
		d = min(b.Max.Duration, longest, shortest<<min(t.strikes, 10))
		t.strikes++
	}
	if until := now.Add(d); until.After(t.until) {
		t.until, t.ramp = until, ramp{from: until, long: min(b.Ramp.Duration, d)}
	}
	until := t.until
	t.mu.Unlock()
	b.c.until(until.Add(b.Ramp.Duration))
	x.Note(cooldown, "for", time.Until(until).Round(time.Millisecond).String())
	b.c.hall.stir(k)
}

// until makes last at least t.
func (c *cooling) until(t time.Time) {
	for {
		last := c.last.Load()
		if last != nil && !last.Before(t) || c.last.CompareAndSwap(last, &t) {
			return
		}
	}
}

// asked is how long the provider asks to wait, else how long it is until something is
// left by its RateLimit fields.
func (b *Pause) asked(x *policy.Exchange, resp *http.Response) (time.Duration, bool) {
	if d, ok := x.Asked(x, resp); ok {
		return min(d, b.Max.Duration), true
	}
	if said, ok := fields(resp.Header); ok && said.left < 1 && said.reset >= 0 {
		return min(said.reset, b.Max.Duration), true
	}
	return 0, false
}

// behind is the guard.
type behind struct{ c *cooling }

// Stage compiles the guard.
func (b *behind) Stage(s policy.Scope) (policy.Stage, error) {
	return policy.Stage{
		Summary: "a call that waited for a limit is held back if its account was limited meanwhile",
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
				if b.c.any() && b.c.holds(s.Provider, policy.From(r.Context())) {
					return nil, errCooling
				}
				return next.RoundTrip(r)
			})
		},
	}, nil
}

// holds reports whether the stage would hold the call back now. If the stage did
// not look yet, because there was nothing to be seen, it has to look.
func (c *cooling) holds(provider string, x *policy.Exchange) bool {
	if k, ok := x.Kept(c).(Key); ok {
		return c.cools(k)
	}
	k := Key{Provider: provider, Name: cooldown, By: x.Account}
	if c.cools(k) {
		return true
	}
	k.Route = x.Endpoint
	return c.cools(k)
}

// cools reports whether k may not be called now.
func (c *cooling) cools(k Key) bool {
	t, ok := c.known.Get(k)
	if !ok {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Now().Before(t.until)
}
