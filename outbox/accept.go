package outbox

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// stage is how refusals made by this package are signed.
const stage = "outbox"

// acceptWithin is how long a call may take to be stored. After it the
// application is told that it may be stored, or not.
const acceptWithin = 5 * time.Second

// A Receipt says that a call is on disk.
type Receipt struct {
	ID       string
	Location string
	State    State
	Known    bool // it was there already: another call with the same key
}

// Accept stores a call that the application hands over, as it is on its way to
// its plan. What the stages check before anything is sent they check now, and
// the idempotency key is settled: it is the same whenever the call is sent. The
// error is a [policy.Denial].
func (o *Outbox) Accept(x *policy.Exchange, r *http.Request) (*Receipt, error) {
	a := asyncOf(x.Plan)
	if a == nil {
		return nil, &policy.Denial{
			Code: policy.NotAllowed, Stage: stage, Detail: "the policy of provider " + x.Plan.Provider + " accepts no calls for later",
			Hint: "Add an async block to the provider, or send the call without Postern-Async.",
		}
	}
	x.Request = r
	for i := range x.Plan.Stages {
		if admit := x.Plan.Stages[i].Admit; admit != nil {
			if err := admit(r); err != nil {
				return nil, err
			}
		}
	}
	body, err := whole(x)
	if err != nil {
		return nil, unread(err)
	}
	c := &Call{
		ID: x.ID, Kind: Async, Provider: x.Plan.Provider, Client: x.Client, Account: x.Account, Endpoint: x.Endpoint, Method: r.Method, Target: x.Plan.Provider,
		Lane: o.lane(a, x), Key: keyOf(x, r), Print: printOf(x, r, body), State: Accepted, Expires: time.Now().Add(a.Lifetime.Duration),
	}
	c.Once = c.Key
	ring, err := o.opt.Ring()
	if err == nil {
		c.Request, err = sealed(ring, c, "request", uncredentialed(x, r, body))
	}
	if err != nil {
		return nil, &policy.Denial{Code: policy.NotReady, Stage: stage, Detail: "the call cannot be stored: " + err.Error(), Err: err}
	}
	return o.store(r.Context(), c)
}

// store stores the call and answers for it.
func (o *Outbox) store(ctx context.Context, c *Call) (*Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, acceptWithin)
	defer cancel()
	stored, err := o.opt.Store.Add(ctx, c)
	if err != nil {
		return nil, &policy.Denial{
			Code: policy.NotReady, Stage: stage, Detail: "the store did not say that the call is on disk", Executed: policy.Maybe, RetryAfter: time.Second, Err: err,
			Hint: "Hand it over again with the same idempotency key: if it is there already, it is not stored twice.",
		}
	}
	if stored.ID != c.ID && !bytes.Equal(stored.Print, c.Print) {
		return nil, &policy.Denial{
			Code: policy.IdempotencyMismatch, Stage: stage, Detail: "the call " + stored.ID + " has this idempotency key and asks for something else",
			Hint: "Use a new key for another operation.",
		}
	}
	if stored.ID == c.ID {
		o.opt.Observer.moved(born(stored))
	}
	o.dispatch.Wake()
	return &Receipt{ID: stored.ID, Location: o.opt.Location(stored.ID), State: stored.State, Known: stored.ID != c.ID}, nil
}

// born is the transition by which a call came to be.
func born(c *Call) *Transition {
	return &Transition{ID: c.ID, Kind: c.Kind, Provider: c.Provider, Account: c.Account, At: c.Created, To: c.State, Outcome: c.Outcome, Status: c.Status, Reason: c.Reason}
}

// lane is what the call is in order with, "" for nothing.
func (o *Outbox) lane(a *Policy, x *policy.Exchange) string {
	if a.OrderBy == nil {
		return ""
	}
	by, ok := a.OrderBy.String(x)
	if !ok || by == "" {
		x.Note(stage, "order", "order_by gave nothing: the call is in order with no other")
		return ""
	}
	return laneOf(x.Plan.Provider, x.Account, by)
}

// maxKept is the longest body that is kept, in bytes.
const maxKept = 8 << 20

// whole is the body of a call, if it can be kept.
func whole(x *policy.Exchange) ([]byte, error) {
	if x.Body.Len() > maxKept {
		return nil, policy.ErrTooLarge
	}
	body, err := x.Body.Bytes()
	if len(body) > maxKept {
		return nil, policy.ErrTooLarge
	}
	return body, err
}

// unread is why a body cannot be kept.
func unread(err error) error {
	if errors.Is(err, policy.ErrTooLarge) {
		return &policy.Denial{
			Code: policy.BodyTooLarge, Stage: stage, Detail: "the body is longer than retry.buffer or 8 MiB, and is kept whole or not at all",
			Hint: "Send a shorter body, or raise retry.buffer of this provider.", Err: err,
		}
	}
	return &policy.Denial{Code: policy.BadRequest, Stage: stage, Detail: "the request body could not be read to its end", Err: err}
}
