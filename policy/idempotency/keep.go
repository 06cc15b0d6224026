package idempotency

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/postern-proxy/postern/policy"
)

const (
	lasts     = 30 * time.Second // a lease; whoever does not renew it is taken for dead
	renewal   = 10 * time.Second
	storeTime = 5 * time.Second // for one answer of the store
	comeBack  = time.Second     // of a call in flight nobody knows how long it takes
	always    = time.Duration(math.MaxInt64 / 4)
)

// keep sends a call under a key that can be repeated, once that is on disk, or
// answers it from what an earlier one came to.
func (b *Block) keep(x *policy.Exchange, r *http.Request, next http.RoundTripper) (*http.Response, error) {
	why := immaterial(r)
	var body []byte
	if why == "" {
		var err error
		switch body, err = x.Body.Bytes(); {
		case errors.Is(err, policy.ErrTooLarge) && b.local() && b.Required:
			return nil, &policy.Denial{
				Code: policy.BodyTooLarge, Stage: "idempotency", Detail: "a repeat of this call is known by all of its body, and that is longer than retry.buffer",
				Hint: "Send a shorter body, or raise retry.buffer of this provider.", Err: err,
			}
		case errors.Is(err, policy.ErrTooLarge):
			why = "the body is longer than retry.buffer"
		case err != nil:
			return nil, err
		}
	}
	if why != "" {
		x.Note("idempotency", "not_kept", why)
		return next.RoundTrip(r)
	}
	c := &Claim{Provider: x.Plan.Provider, Fingerprint: b.fingerprint(x, r, body), Lasts: lasts, Keep: b.Keep.Duration, Resend: b.resend(x)}
	c.ID = b.id(x, r)
	_, _ = rand.Read(c.Token[:]) // never fails
	if b.live.Store == nil {
		return nil, unavailable(errors.New("there is no store here"))
	}
	if err := r.Context().Err(); err != nil {
		return nil, context.Cause(r.Context())
	}
	// Not cut off when the application leaves: nobody would know whether it was
	// stored, and a call that was never sent would count as one that may have been.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), storeTime)
	s, err := b.live.Store.Begin(ctx, c)
	cancel()
	switch {
	case err != nil:
		return nil, unavailable(err)
	case s.Found == Begun:
		return b.run(x, r, next, c, s)
	case s.Found == Replay:
		return b.replay(x, r, c, s)
	}
	return nil, b.refuse(x, s)
}

// looks reports whether the provider is asked before a call is sent that may have
// had its effect.
func looks(x *policy.Exchange) bool {
	return slices.ContainsFunc(x.Plan.Stages, func(s policy.PlannedStage) bool { return s.Looks })
}

// resend is how long a call may be sent again although the one before may have
// had its effect: for good where that is looked up first, where a person has
// decided it, or where the method makes it safe, else as long as the provider knows the key.
func (b *Block) resend(x *policy.Exchange) time.Duration {
	switch {
	case looks(x), x.Decided, policy.Idempotent(x.Request.Method):
		return always
	case x.Keyed():
		return b.Lifetime.Duration
	}
	return 0
}

// refuse words why a call is not sent.
func (b *Block) refuse(x *policy.Exchange, s Standing) error {
	d := &policy.Denial{Stage: "idempotency", Executed: policy.Maybe}
	switch s.Found {
	case InFlight:
		d.Code, d.RetryAfter = policy.IdempotencyInFlight, comeBack
		d.Detail = fmt.Sprintf("a call with this idempotency key began %s ago and has no answer yet", ago(s.Age))
		d.Hint = "Repeat the call, unchanged and under the same key, after Retry-After: it is answered with what the first one comes to."
	case Mismatch:
		d.Code, d.Executed = policy.IdempotencyMismatch, policy.No
		d.Detail = fmt.Sprintf("this idempotency key was used %s ago for a call with another method, host, path, query or body", ago(s.Age))
		d.Hint = "A new operation needs a new key; a repeat has to be the same to the byte."
	default:
		d.Code = policy.CodeUnreachable
		d.Detail = fmt.Sprintf("a call with this idempotency key was made %s ago, and nobody knows whether it had its effect", ago(s.Age))
		if s.Acted {
			d.Executed = policy.Yes
			d.Detail = fmt.Sprintf("a call with this idempotency key was made %s ago and had its effect, but there is no answer to give again", ago(s.Age))
		}
		if s.Why != "" {
			d.Detail += ": " + s.Why
		}
		d.Hint = "Look at the provider whether the operation took place. If it did not, make it under a new key."
		if x.Keyed() {
			d.Hint += fmt.Sprintf(" The provider knows a key for %v: sent again now it might have a second effect.", b.Lifetime)
		} else {
			d.Hint += " A reconcile block on this route would look by itself."
		}
		x.Note("idempotency", "open", s.Why)
	}
	return d
}

func ago(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Second)
}

// unavailable refuses a call that could not be remembered: nothing was sent.
func unavailable(err error) error {
	return &policy.Denial{
		Code: policy.NotReady, Stage: "idempotency", Detail: "the call bears an idempotency key, and the store that has to remember it cannot be written",
		Hint: "Nothing was sent. Repeat the call under the same key; the log has the cause.", RetryAfter: comeBack, Err: err,
	}
}

// running is a call that has begun.
type running struct {
	*Block
	x     *policy.Exchange
	ctx   context.Context
	lease Lease
	why   string // an earlier call is open
	timer *time.Timer
}

// run makes the call, and stores what became of it before anybody is told.
func (b *Block) run(x *policy.Exchange, r *http.Request, next http.RoundTripper, c *Claim, s Standing) (*http.Response, error) {
	if s.Unsure && (!x.Decided || looks(x)) { // whoever makes the call may know more, such as the outbox
		x.Unsure = true
		x.Note("idempotency", "unsure", "an earlier call may have had its effect: "+s.Why)
	}
	call := &running{Block: b, x: x, ctx: context.WithoutCancel(r.Context()), lease: c.Lease, why: s.Why}
	call.timer = time.AfterFunc(always, call.renew)
	call.timer.Reset(renewal) // renew reads the field: it is set before the clock runs
	returned := false
	defer func() {
		if !returned { // a panic: its lease ends by itself
			call.timer.Stop()
		}
	}()
	var resp *http.Response
	err := context.Cause(r.Context())
	if err == nil {
		resp, err = next.RoundTrip(r)
	}
	returned = true
	if err != nil {
		return nil, call.failed(err)
	}
	return call.answered(resp), nil
}

// renew keeps the lease while the call runs. If that fails for long, another call
// may take over, and then this one's answer is not stored.
func (c *running) renew() {
	ctx, cancel := context.WithTimeout(c.ctx, storeTime)
	defer cancel()
	if err := c.live.Store.Renew(ctx, c.lease, lasts); !errors.Is(err, ErrLost) {
		c.timer.Reset(renewal)
	}
}

// end stores what became of the call. If it cannot, the call stays one of which
// nobody knows, and whoever waits for the answer gets it all the same.
func (c *running) end(e Ending) {
	c.timer.Stop()
	if c.x.Done && e.State != Done { // a look at the provider has shown it
		e.State, e.Why = Done, "the provider has it, but its answer is not known"
	}
	e.Keep = c.Keep.Duration
	ctx, cancel := context.WithTimeout(c.ctx, storeTime)
	defer cancel()
	err := c.live.Store.End(ctx, c.lease, &e)
	switch {
	case errors.Is(err, ErrLost):
		c.x.Note("idempotency", "not_kept", "the lease of this call had ended, and another has taken over")
	case err != nil:
		c.x.Note("idempotency", "not_kept", "the store cannot be written")
		if c.live.Told != nil {
			c.live.Told("storing the answer under an idempotency key", err)
		}
	case e.State != Free && len(e.Answer) == 0:
		c.x.Note("idempotency", string(e.State), e.Why)
	}
}

// failed ends a call without an answer.
func (c *running) failed(err error) error {
	if !c.x.Unsure && c.x.Now.Executed() == policy.No {
		c.end(Ending{State: Free})
		return err
	}
	if c.x.Attempts == 0 && c.why != "" { // as it was
		c.end(Ending{State: Unknown, Why: c.why})
		return c.honest(err)
	}
	if d := (*policy.Denial)(nil); errors.As(err, &d) {
		e := Ending{State: Unknown, Why: d.Detail}
		if d.Executed == policy.Yes {
			e.State = Done
		}
		c.end(e)
		return c.honest(err)
	}
	c.end(Ending{State: Unknown, Why: "the call ended without an answer"})
	return c.honest(err)
}

// honest is an error that does not say that nothing was done if an earlier call
// may have done it.
func (c *running) honest(err error) error {
	if !c.x.Unsure {
		return err
	}
	c.x.Now.Earlier = true
	if d := (*policy.Denial)(nil); errors.As(err, &d) && (d.Executed == "" || d.Executed == policy.No) {
		honest := *d
		honest.Executed = policy.Maybe
		return &honest
	}
	return err
}
