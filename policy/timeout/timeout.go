// Package timeout is the two stages that bound how long a call may take: one
// above retry for the whole call, one below it for each attempt. Both end with
// the response headers; after that only progress counts, so that streams last.
//
// The stages set deadlines in the exchange; whoever waits (limit, retry, the
// transport) keeps to them, so that no timer is needed per call.
package timeout

import (
	"fmt"
	"net/http"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// Total returns the feature of the whole call, which owns the timeout block.
func Total() policy.Feature {
	return policy.Feature{Name: "timeout", Always: true, New: func() policy.Block { return new(Block) }}
}

// Block is a timeout block. Zero means no limit.
type Block struct {
	Connect block.Duration `hcl:"connect,optional"` // one connection attempt, TLS included
	Attempt block.Duration `hcl:"attempt,optional"` // until an attempt's response headers; waits for a limit or a token do not count
	Total   block.Duration `hcl:"total,optional"`   // until the call's response headers, waits and retries included
	Idle    block.Duration `hcl:"idle,optional"`    // without progress in a body, either way
}

// Default gives 5 s to connect, 30 s to an attempt, 60 s to the call and 60 s
// without progress.
func (b *Block) Default() {
	b.Connect.Duration, b.Attempt.Duration, b.Total.Duration, b.Idle.Duration = 5*time.Second, 30*time.Second, time.Minute, time.Minute
}

// Stage compiles the block. The attempt's limit travels in the exchange to
// the stage that [Attempt] makes.
func (b *Block) Stage(policy.Scope) (policy.Stage, error) {
	return policy.Stage{
		Summary: fmt.Sprintf("connect %v, attempt %v, total %v, idle %v", b.Connect, b.Attempt, b.Total, b.Idle),
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
				x := policy.From(r.Context())
				x.Connect, x.PerAttempt, x.Idle = b.Connect.Duration, b.Attempt.Duration, b.Idle.Duration
				if b.Total.Duration > 0 {
					if t := x.Start.Add(b.Total.Duration); x.Total.IsZero() || t.Before(x.Total) {
						x.Total = t
					}
				}
				return next.RoundTrip(r)
			})
		},
	}, nil
}

// Attempt returns the feature of one attempt. It has no block of its own.
func Attempt() policy.Feature {
	return policy.Feature{Name: "attempt", Always: true, Hidden: true, New: func() policy.Block { return new(attempt) }}
}

type attempt struct{}

// Stage starts the attempt's clock below the waits of limit. It stands still while the
// attempt waits for its credential ([policy.Exchange.Stood]).
func (*attempt) Stage(policy.Scope) (policy.Stage, error) {
	return policy.Stage{
		Summary: "the attempt's clock starts here",
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
				if x := policy.From(r.Context()); x.PerAttempt > 0 {
					x.Deadline = time.Now().Add(x.PerAttempt)
				}
				return next.RoundTrip(r)
			})
		},
	}, nil
}
