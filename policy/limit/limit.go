// Package limit is the stage that keeps calls under a rate. It counts what
// really goes out: it stands below retry.
package limit

import (
	"context"
	"fmt"
	"net/http"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// buckets is how many are remembered; the values of `by` come and go.
const buckets = 16_384

// Observer is told how long calls waited and what is left; it must not block.
type Observer interface {
	LimitWait(provider, limit string, d time.Duration)
	LimitRemaining(provider, limit string, tokens float64)
}

// Feature returns the feature. Its buckets outlive reloads.
func Feature(o Observer) (policy.Feature, error) {
	known, err := lru.New[key, *rate.Limiter](buckets)
	if err != nil {
		return policy.Feature{}, fmt.Errorf("make the limits' memory: %w", err)
	}
	return policy.Feature{Name: "limit", Named: true, New: func() policy.Block { return &Block{known: known, observer: o} }}, nil
}

// key is what a bucket is about. The route is empty unless it changed the limit.
type key struct{ provider, route, name, by string }

// Block is a limit block: a token bucket.
type Block struct {
	Rate  block.Rate     `hcl:"rate"`
	Burst int            `hcl:"burst,optional"`              // tokens in a full bucket; one second's worth if not set
	By    *block.Expr    `hcl:"by,optional" scope:"request"` // a bucket for each value
	Wait  block.Duration `hcl:"wait,optional"`               // how long a call may queue
	Mode  policy.Mode    `hcl:"mode,optional"`

	known    *lru.Cache[key, *rate.Limiter]
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
		b.Burst = max(1, int(b.Rate.PerSecond()))
	}
	return nil
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	by := ""
	if b.By != nil {
		by = " by " + b.By.Source()
	}
	return policy.Stage{
		Summary: fmt.Sprintf("%v, burst %d%s, waits up to %v, %s", b.Rate, b.Burst, by, b.Wait, b.Mode),
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
				if err := b.take(s, r.Context(), policy.From(r.Context())); err != nil {
					return nil, err
				}
				return next.RoundTrip(r)
			})
		},
	}, nil
}

// take takes a token, waiting for it if that is soon enough.
func (b *Block) take(s policy.Scope, ctx context.Context, x *policy.Exchange) error {
	k := key{provider: s.Provider, route: s.Route, name: s.Label}
	if b.By != nil {
		k.by, _ = b.By.String(x)
	}
	l := b.bucket(k)
	now := time.Now()
	token := l.ReserveN(now, 1)
	wait := token.DelayFrom(now)
	if b.By == nil {
		b.observer.LimitRemaining(s.Provider, s.Label, l.TokensAt(now))
	}
	if wait == 0 {
		return nil
	}
	if b.Mode == policy.Observe {
		token.CancelAt(now)
		x.Note("limit", "would_wait", s.Label+": "+wait.Round(time.Millisecond).String())
		return nil
	}
	until := x.Until()
	if wait > b.Wait.Duration || !until.IsZero() && now.Add(wait).After(until) {
		token.CancelAt(now)
		return &policy.Denial{
			Code: policy.Limited, Stage: "limit", RetryAfter: wait,
			Detail: fmt.Sprintf("limit %q of %s (%v) is reached, and the next free place is %v away", s.Label, s.Provider, b.Rate, wait.Round(time.Millisecond)),
			Hint:   "Call more slowly, or raise limit.rate or limit.wait if the provider grants more.",
		}
	}
	err := x.Sleep(ctx, wait)
	b.observer.LimitWait(s.Provider, s.Label, wait)
	if err != nil {
		token.Cancel()
	}
	return err
}

// bucket returns the bucket of k, with the rate that the policy has now.
func (b *Block) bucket(k key) *rate.Limiter {
	l, ok := b.known.Get(k)
	if !ok {
		l = rate.NewLimiter(rate.Limit(b.Rate.PerSecond()), b.Burst)
		if before, found, _ := b.known.PeekOrAdd(k, l); found {
			l = before
		}
	}
	if per := rate.Limit(b.Rate.PerSecond()); l.Limit() != per {
		l.SetLimit(per)
	}
	if l.Burst() != b.Burst {
		l.SetBurst(b.Burst)
	}
	return l
}
