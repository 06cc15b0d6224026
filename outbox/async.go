package outbox

import (
	"errors"
	"fmt"
	"time"

	"github.com/postern-proxy/postern/application"
	"github.com/postern-proxy/postern/backoff"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/signing"
)

// Feature returns the feature of async blocks. It is no stage: it says what
// becomes of calls that the application hands over.
func Feature() policy.Feature {
	return policy.Feature{Name: "async", New: func() policy.Block { return new(Policy) }}
}

// Policy is an async block.
type Policy struct {
	OrderBy     *block.Expr    `hcl:"order_by,optional" scope:"request"` // calls of an account for which it is the same are sent in order
	Callback    string         `hcl:"callback,optional"`                 // where what came of a call is posted
	Sign        []block.Secret `hcl:"sign,optional"`
	Concurrency int            `hcl:"concurrency,optional"` // calls at once
	Lifetime    block.Duration `hcl:"lifetime,optional"`    // since it was accepted; then it has failed
	Backoff     *Backoff       `hcl:"backoff,block"`

	TLS *application.TLS `hcl:"tls,block"` // of the callback

	callback *application.Address
}

// Backoff is a backoff block of async.
type Backoff struct {
	First  block.Duration `hcl:"first,optional"`
	Factor float64        `hcl:"factor,optional"`
	Max    block.Duration `hcl:"max,optional"`
	Jitter backoff.Jitter `hcl:"jitter,optional"`
}

// Default tries for a day, eight at once.
func (p *Policy) Default() {
	p.Concurrency, p.Lifetime.Duration = 8, 24*time.Hour
	p.Backoff = new(Backoff)
	p.Backoff.Default()
}

// Default waits 2 s, doubling to 10 minutes, with full jitter.
func (b *Backoff) Default() {
	*b = Backoff{First: block.Duration{Duration: 2 * time.Second}, Factor: 2, Max: block.Duration{Duration: 10 * time.Minute}, Jitter: backoff.Full}
}

// Check refuses what would not grow.
func (b *Backoff) Check() error {
	switch {
	case b.Factor < 1:
		return block.At("factor", "%v is less than 1", b.Factor)
	case b.First.Duration <= 0:
		return block.At("first", "%v is no wait", b.First)
	case b.Max.Duration < b.First.Duration:
		return block.At("max", "%v is less than first, %v", b.Max, b.First)
	}
	return nil
}

func (b *Backoff) delays() backoff.Backoff {
	return backoff.Backoff{First: b.First.Duration, Factor: b.Factor, Max: b.Max.Duration, Jitter: b.Jitter}
}

// Check refuses what cannot be called, and numbers that mean nothing.
func (p *Policy) Check() error {
	var errs []error
	if p.Concurrency < 1 || p.Concurrency > 1000 {
		errs = append(errs, block.At("concurrency", "%d is not between 1 and 1000", p.Concurrency))
	}
	if p.Lifetime.Duration < time.Minute {
		errs = append(errs, block.At("lifetime", "%v is less than a minute", p.Lifetime))
	}
	if p.Callback == "" {
		if len(p.Sign) > 0 {
			errs = append(errs, block.At("sign", "there is no callback that it could sign"))
		}
		if p.TLS != nil {
			errs = append(errs, block.At("tls", "there is no callback that it could be for"))
		}
		return errors.Join(errs...)
	}
	var err error
	if p.callback, err = application.Parse(p.Callback); err != nil {
		errs = append(errs, block.At("callback", "callback: %w", err))
	} else if p.TLS != nil && !p.callback.Secure() {
		errs = append(errs, block.At("tls", "callback is not called by TLS"))
	}
	return errors.Join(errs...)
}

// Stage compiles the block.
func (p *Policy) Stage(policy.Scope) (policy.Stage, error) {
	s := policy.Stage{Summary: fmt.Sprintf("calls with Postern-Async are accepted, and sent for up to %v, %d at once", p.Lifetime, p.Concurrency), Holds: p}
	if p.OrderBy != nil {
		s.Summary += ", in order by " + p.OrderBy.Source()
	}
	if p.Callback != "" {
		s.Summary += ", then told to " + p.Callback
	}
	if len(p.Sign) > 0 || p.TLS != nil {
		s.Ready = func() error {
			_, err := signing.Keys(p.Sign)
			return errors.Join(err, p.TLS.Ready())
		}
	}
	return s, nil
}

// asyncOf is the async block of a plan, nil if it has none.
func asyncOf(plan *policy.Plan) *Policy {
	if plan == nil {
		return nil
	}
	for i := range plan.Stages {
		if p, ok := plan.Stages[i].Holds.(*Policy); ok {
			return p
		}
	}
	return nil
}

// scheduleOf is how calls of a plan are sent again, also where it has no async
// block: a dead letter that is replayed.
func scheduleOf(plan *policy.Plan) *Policy {
	if p := asyncOf(plan); p != nil {
		return p
	}
	p := new(Policy)
	p.Default()
	p.Concurrency, p.Lifetime.Duration = 4, time.Hour
	return p
}

// Callbacks lists what is dialled to post what came of calls.
func Callbacks(set *policy.Set) (addresses []string) {
	for _, name := range set.Providers() {
		for _, plan := range set.Provider(name).Plans() {
			if p := asyncOf(plan); p != nil && p.callback != nil {
				addresses = append(addresses, p.callback.HostPort())
			}
		}
	}
	return addresses
}
