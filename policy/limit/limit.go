// Package limit is the stage that keeps calls under a rate. It counts what
// really goes out: it stands below retry.
package limit

import (
	"context"
	"fmt"
	"net/http"
	"sync"
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
	sizes := new(sync.Map)
	return policy.Feature{Name: "limit", Named: true, New: func() policy.Block { return &Block{known: known, sizes: sizes, observer: o} }}, nil
}

// key is what a bucket is about. The route is empty unless it changed the size
// of the bucket: a call takes from the provider's own wherever it can.
type key struct{ provider, route, name, by string }

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

	known    *lru.Cache[key, *rate.Limiter]
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
	k := key{provider: s.Provider, route: s.Route, name: s.Label}
	whole := key{provider: s.Provider, name: s.Label}
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
func (b *Block) pass(k key, r *http.Request, next http.RoundTripper) (*http.Response, error) {
	x := policy.From(r.Context())
	if b.By != nil {
		k.by, _ = b.By.String(x)
	}
	bucket := b.bucket(k)
	taken, err := b.take(r.Context(), x, k, bucket)
	if err != nil {
		return nil, err
	}
	sent := x.Attempts
	resp, err := next.RoundTrip(r)
	if taken && x.Attempts == sent {
		bucket.AllowN(time.Now(), -1)
	}
	return resp, err
}

// take takes a token, waiting for it if that is soon enough.
func (b *Block) take(ctx context.Context, x *policy.Exchange, k key, bucket *rate.Limiter) (taken bool, err error) {
	now := time.Now()
	token := bucket.ReserveN(now, 1)
	wait := token.DelayFrom(now)
	if b.By == nil {
		b.observer.LimitRemaining(k.provider, k.name, bucket.TokensAt(now))
	}
	if wait == 0 {
		return true, nil
	}
	if b.Mode == policy.Observe {
		token.CancelAt(now)
		x.Note("limit", "would_wait", k.name+": "+wait.Round(time.Millisecond).String())
		return false, nil
	}
	until := x.Until()
	if wait > b.Wait.Duration || !until.IsZero() && now.Add(wait).After(until) {
		token.CancelAt(now)
		return false, &policy.Denial{
			Code: policy.Limited, Stage: "limit", RetryAfter: wait,
			Detail: fmt.Sprintf("limit %q of %s (%v) is reached, and the next free place is %v away", k.name, k.provider, b.Rate, wait.Round(time.Millisecond)),
			Hint:   "Call more slowly, or raise limit.rate or limit.wait if the provider grants more.",
		}
	}
	if err := x.Sleep(ctx, wait); err != nil {
		token.Cancel()
		b.observer.LimitWait(k.provider, k.name, time.Since(now))
		return false, err
	}
	b.observer.LimitWait(k.provider, k.name, wait)
	return true, nil
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
