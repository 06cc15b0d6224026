// Package deadletter is the stage that has calls kept which have finally failed,
// and calls of which nobody knows whether they had their effect. Where they are
// kept, and how they are sent again, is not its business.
package deadletter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// Letters is where calls are kept. Its methods never make the call fail.
type Letters interface {
	// Keep keeps a call with what came of it: an answer, or an error. unknown says
	// that nobody knows whether it had its effect.
	Keep(x *policy.Exchange, r *http.Request, resp *http.Response, err error, unknown bool)
	// Waiting reports whether calls of a provider are kept that might be sent again.
	Waiting(provider string) bool
	// Succeeded says that a call had its effect: those kept that are the same call,
	// by its key or by what was asked for within window, are not to be sent again.
	Succeeded(x *policy.Exchange, r *http.Request, window time.Duration)
}

// Feature returns the feature. letters may be nil: then nothing is kept, and
// noted as such.
func Feature(letters Letters) policy.Feature {
	return policy.Feature{Name: "deadletter", New: func() policy.Block { return &Block{letters: letters} }}
}

// Block is a deadletter block.
type Block struct {
	Outcomes []policy.Outcome `hcl:"outcomes,optional"` // with which a call is kept
	Window   block.Duration   `hcl:"window,optional"`   // within it a later call that asks for the same is the same

	letters Letters
}

// Default keeps what may go better later.
func (b *Block) Default() {
	b.Outcomes = []policy.Outcome{policy.ServerError, policy.Timeout, policy.Unreachable, policy.RateLimited}
	b.Window.Duration = 24 * time.Hour
}

// Check refuses classes that are no failure.
func (b *Block) Check() error {
	var errs []error
	for _, o := range b.Outcomes {
		switch {
		case !o.Valid():
			errs = append(errs, block.At("outcomes", "%q is not an outcome; those are %v", o, policy.Outcomes()))
		case o == policy.OK || o == policy.Redirect || o == policy.Cancelled:
			errs = append(errs, block.At("outcomes", "%q is no failure to keep a call for", o))
		}
	}
	if b.Window.Duration <= 0 {
		errs = append(errs, block.At("window", "%v is no time", b.Window))
	}
	return errors.Join(errs...)
}

// Stage compiles the block.
func (b *Block) Stage(policy.Scope) (policy.Stage, error) {
	list := make([]string, len(b.Outcomes))
	fails := map[policy.Outcome]bool{}
	for i, o := range b.Outcomes {
		list[i], fails[o] = string(o), true
	}
	return policy.Stage{
		Summary: fmt.Sprintf("calls that end with %s are kept, and those of which nobody knows the end", strings.Join(list, ", ")),
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if x := policy.From(r.Context()); !x.Stored && !x.Aside && b.letters != nil && !safe(r.Method) {
					b.after(x, r, resp, err, fails)
				}
				return resp, err
			})
		},
	}, nil
}

// safe reports whether a call is only a question (RFC 9110 §9.2.1): whoever asked
// wants no answer later.
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

func (b *Block) after(x *policy.Exchange, r *http.Request, resp *http.Response, err error, fails map[policy.Outcome]bool) {
	o, did := outcome(x, resp, err), acted(err)
	var d *policy.Denial
	switch {
	case errors.As(err, &d) && d.Code == policy.IdempotencyInFlight:
		// The call is under way, and is kept itself if it fails.
	case x.Attempts == 0 && did != "" && did != policy.No:
		// An earlier call may have had its effect. It was kept itself, unless its
		// process died.
		if did == policy.Maybe {
			b.letters.Keep(x, r, resp, err, true)
		}
	case x.Attempts > 0 && x.Doubtful():
		b.letters.Keep(x, r, resp, err, true)
	case fails[o] && !x.Done && did != policy.Yes:
		b.letters.Keep(x, r, resp, err, false)
	case (o == policy.OK || o == policy.Redirect && policy.Effective(resp.StatusCode)) && b.letters.Waiting(x.Plan.Provider):
		b.letters.Succeeded(x, r, b.Window.Duration)
	}
}

// acted is what a refusal says of the call: one that was not sent this time may
// have been before, under the same key.
func acted(err error) policy.Executed {
	if d := (*policy.Denial)(nil); errors.As(err, &d) {
		return d.Executed
	}
	return ""
}

// outcome is the class of what came of a call.
func outcome(x *policy.Exchange, resp *http.Response, err error) policy.Outcome {
	var d *policy.Denial
	switch {
	case errors.As(err, &d):
		return d.Code.Outcome()
	case errors.Is(err, context.Canceled):
		return policy.Cancelled
	case err != nil:
		return policy.Unreachable
	case x.Outcome != "":
		return x.Outcome
	}
	return policy.OfStatus(resp.StatusCode)
}
