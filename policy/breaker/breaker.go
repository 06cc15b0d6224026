// Package breaker is the stage that spares a provider that keeps failing.
//
//	breaker.go   the block and the stage
//	circuit.go   one circuit: closed, open, half-open
//	answer.go    answers that break off count, too
package breaker

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// circuits is how many are remembered; accounts come and go.
const circuits = 16_384

// Feature returns the feature. Its circuits outlive reloads. changed is told
// when one opens or closes; it must not block.
func Feature(changed func(provider, endpoint string, open bool)) (policy.Feature, error) {
	known, err := lru.NewWithEvict(circuits, func(k key, c *circuit) {
		if c.isOpen() {
			changed(k.provider, k.endpoint, false) // nobody remembers it
		}
	})
	if err != nil {
		return policy.Feature{}, fmt.Errorf("make the breaker's memory: %w", err)
	}
	return policy.Feature{Name: "breaker", New: func() policy.Block { return &Block{known: known, changed: changed} }}, nil
}

// key is what a circuit is about.
type key struct{ provider, account, endpoint string }

// Block is a breaker block.
type Block struct {
	Failures float64        `hcl:"failures,optional"` // share of calls that opens it
	Calls    int            `hcl:"calls,optional"`    // at least so many in the window
	Window   block.Duration `hcl:"window,optional"`
	Open     block.Duration `hcl:"open,optional"` // how long it stays open

	known   *lru.Cache[key, *circuit]
	changed func(provider, endpoint string, open bool)
}

// Default opens for 10 s when half of at least 20 attempts within 30 s failed.
func (b *Block) Default() {
	b.Failures, b.Calls, b.Window.Duration, b.Open.Duration = 0.5, 20, 30*time.Second, 10*time.Second
}

// Check refuses numbers that mean nothing.
func (b *Block) Check() error {
	switch {
	case b.Failures <= 0 || b.Failures > 1:
		return block.At("failures", "%v is not a share between 0 and 1", b.Failures)
	case b.Calls < 1:
		return block.At("calls", "%d is less than 1", b.Calls)
	case b.Window.Duration < time.Second:
		return block.At("window", "%v is less than 1s", b.Window)
	case b.Open.Duration <= 0:
		return block.At("open", "it must be longer than 0s")
	}
	return nil
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	return policy.Stage{
		Summary: fmt.Sprintf("opens for %v when %v of at least %d attempts within %v fail; by account and endpoint", b.Open, b.Failures, b.Calls, b.Window),
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
				return b.pass(s.Provider, policy.From(r.Context()), r, next)
			})
		},
	}, nil
}

// pass lets one attempt through, if the circuit does.
func (b *Block) pass(provider string, x *policy.Exchange, r *http.Request, next http.RoundTripper) (*http.Response, error) {
	c := b.circuit(key{provider, x.Account, x.Endpoint})
	permit, wait := c.ask(b, x.Repeatable(), time.Now())
	if permit == refused {
		return nil, &policy.Denial{
			Code: policy.BreakerOpen, Stage: "breaker", RetryAfter: wait,
			Detail: fmt.Sprintf("%s %s has been failing, and is not called again for %v", provider, x.Endpoint, wait.Round(time.Second)),
			Hint:   "Try again after Retry-After. The provider's status page and the last failures in the log say why.",
		}
	}
	settled := false
	defer func() {
		if !settled { // a panic above the transport must not keep the probe
			c.done(b, permit, neutral, time.Now())
		}
	}()
	resp, err := next.RoundTrip(r)
	settled = true
	if opened, closed := c.done(b, permit, judge(x, err), time.Now()); opened || closed {
		x.Note("breaker", "circuit", map[bool]string{true: "opened", false: "closed"}[opened])
		b.changed(provider, x.Endpoint, opened)
	}
	if err == nil && judge(x, nil) == success {
		b.watch(c, provider, x, resp)
	}
	return resp, err
}

func (b *Block) circuit(k key) *circuit {
	if c, ok := b.known.Get(k); ok {
		return c
	}
	c := new(circuit)
	if before, ok, _ := b.known.PeekOrAdd(k, c); ok {
		return before
	}
	return c
}

// judge says what an attempt tells about the provider: 4xx and rate limits are
// no failures of it, unless a rule of the policy says so, and a client that left
// or a refusal of ours says nothing. A 408 may be about a slow client.
func judge(x *policy.Exchange, err error) judgement {
	if err != nil {
		var d *policy.Denial
		if errors.As(err, &d) && d.Code != policy.CodeUnreachable && d.Code != policy.UpstreamTimeout {
			return neutral
		}
	}
	if x.Now.Status == http.StatusRequestTimeout && x.Outcome == policy.Timeout {
		return neutral
	}
	switch x.Outcome {
	case policy.ServerError, policy.Timeout, policy.Unreachable:
		return failure
	case policy.Cancelled, policy.Denied, policy.RateLimited, policy.QuotaExhausted, "":
		return neutral
	}
	return success
}
