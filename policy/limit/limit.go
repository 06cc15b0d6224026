// Package limit is the stage that keeps calls under a rate. It counts what
// really goes out: it stands below retry.
//
// Read source.go for the words, limit.go for the stage, local.go for the tokens
// of one process. Tokens that replicas share come from package shared.
package limit

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// Observer is told how long calls waited and what is left; it must not block.
type Observer interface {
	LimitWait(provider, limit string, d time.Duration)
	LimitRemaining(provider, limit string, tokens float64)
}

// Feature returns the feature. Its tokens come from s, whose buckets outlive
// reloads.
func Feature(o Observer, s Source) policy.Feature {
	sizes := new(sync.Map)
	return policy.Feature{Name: "limit", Named: true, New: func() policy.Block { return &Block{source: s, sizes: sizes, observer: o} }}
}

// size is what two limits have to agree in to share a bucket.
type size struct {
	rate  block.Rate
	burst int
	by    string
}

// Block is a limit block: a token bucket.
type Block struct {
	Rate  block.Rate     `hcl:"rate"`
	Burst int            `hcl:"burst,optional"`              // tokens in a full bucket; one second's worth if not set
	By    *block.Expr    `hcl:"by,optional" scope:"request"` // a bucket for each value
	Wait  block.Duration `hcl:"wait,optional"`               // how long a call may queue
	Mode  policy.Mode    `hcl:"mode,optional"`

	source   Source
	sizes    *sync.Map // provider and label -> size of the provider's own block
	observer Observer
}

// Default enforces, and lets a call wait for 5 s.
func (b *Block) Default() { b.Mode, b.Wait.Duration = policy.Enforce, 5*time.Second }

// Check fills in the burst.
func (b *Block) Check() error {
	if b.Burst < 0 {
		return block.At("burst", "%d is negative", b.Burst)
	}
	if b.Burst == 0 {
		b.Burst = max(1, int(min(b.Rate.PerSecond(), 1e9)))
	}
	return nil
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	by, mine := "", size{rate: b.Rate, burst: b.Burst}
	if b.By != nil {
		mine.by = b.By.Source()
		by = " by " + mine.by
	}
	k := Key{Provider: s.Provider, Route: s.Route, Name: s.Label}
	whole := Key{Provider: s.Provider, Name: s.Label}
	if s.Route == "" { // compiled before its routes
		b.sizes.Store(whole, mine)
	} else if shared, _ := b.sizes.Load(whole); shared == mine {
		k = whole
	}
	return policy.Stage{
		Summary: fmt.Sprintf("%v, burst %d%s, waits up to %v, %s", b.Rate, b.Burst, by, b.Wait, b.Mode),
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return policy.RoundTripper(func(r *http.Request) (*http.Response, error) { return b.pass(k, r, next) })
		},
	}, nil
}

// pass lets an attempt through when there is a token for it. A token of which
// nothing came, because a stage below refused, is given back.
func (b *Block) pass(k Key, r *http.Request, next http.RoundTripper) (*http.Response, error) {
	x := policy.From(r.Context())
	if b.By != nil {
		k.By, _ = b.By.String(x)
	}
	place, err := b.take(r.Context(), x, k)
	if err != nil {
		return nil, err
	}
	sent := x.Attempts
	resp, err := next.RoundTrip(r)
	if place.OK && x.Attempts == sent {
		place.Back()
	}
	return resp, err
}

// take takes a token, waiting for it if that is soon enough. A call that is only
// observed goes on without one.
func (b *Block) take(ctx context.Context, x *policy.Exchange, k Key) (Place, error) {
	within := b.Wait.Duration
	if until := x.Until(); !until.IsZero() {
		within = min(within, time.Until(until))
	}
	if b.Mode == policy.Observe {
		within = 0
	}
	place := b.source.Reserve(k, Rule{Rate: b.Rate.PerSecond(), Burst: b.Burst}, max(0, within))
	if b.By == nil {
		b.observer.LimitRemaining(k.Provider, k.Name, place.Left)
	}
	switch {
	case !place.OK && b.Mode == policy.Observe:
		x.Note("limit", "would_wait", k.Name+": "+place.Wait.Round(time.Millisecond).String())
		return place, nil
	case !place.OK:
		return place, &policy.Denial{
			Code: policy.Limited, Stage: "limit", RetryAfter: place.Wait,
			Detail: fmt.Sprintf("limit %q of %s (%v) is reached, and the next free place is %v away", k.Name, k.Provider, b.Rate, place.Wait.Round(time.Millisecond)),
			Hint:   "Call more slowly, or raise limit.rate or limit.wait if the provider grants more.",
		}
	case place.Wait == 0:
		return place, nil
	}
	start := time.Now()
	if err := x.Sleep(ctx, place.Wait); err != nil {
		place.Back()
		b.observer.LimitWait(k.Provider, k.Name, time.Since(start))
		return Place{}, err
	}
	b.observer.LimitWait(k.Provider, k.Name, place.Wait)
	return place, nil
}
