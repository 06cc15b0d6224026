package outbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// keepWithin is how long a call that has failed may be held for its being kept.
const keepWithin = 2 * time.Second

// Keep keeps a call that has finally failed, or of which nobody knows whether it
// had its effect. It cannot make the call fail, which it has done already: what
// goes wrong is noted and told. One that was not sent, because an earlier one with
// its key may have had the effect, is kept if that one was not.
func (o *Outbox) Keep(x *policy.Exchange, r *http.Request, resp *http.Response, failure error, unknown bool) {
	if x.Attempts == 0 && unknown {
		if ids := o.index.same(keyOf(x, r), nil, time.Time{}); len(ids) > 0 {
			x.Note(stage, "kept", "call "+ids[0])
			return
		}
	}
	c, err := o.letter(x, r, resp, failure, unknown)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), keepWithin)
		defer cancel()
		c, err = o.opt.Store.Add(ctx, c)
	}
	if err != nil {
		x.Note(stage, "not_kept", err.Error())
		o.opt.Observer.trouble("keeping a call that has failed", fmt.Errorf("call %s of provider %s: %w", x.ID, x.Plan.Provider, err))
		return
	}
	x.Note(stage, "kept", string(c.State))
	o.index.add(Mark{ID: c.ID, Provider: c.Provider, Key: c.Key, Print: c.Print, Created: c.Created})
	if o.opt.Observer.Letter != nil {
		o.opt.Observer.Letter(c.Provider, c.Outcome)
	}
	o.opt.Observer.moved(born(c))
}

var (
	errLong = errors.New("its body is longer than retry.buffer or 8 MiB, so there is nothing whole to keep")
	errSlow = errors.New("the application has not sent all of its body, so there is nothing whole to keep")
)

// soon is the body of a call that has ended. An application that waits for the
// answer before it sends the rest is not waited for.
func soon(x *policy.Exchange) ([]byte, error) {
	type read struct {
		body []byte
		err  error
	}
	done := make(chan read, 1)
	go func() {
		body, err := whole(x)
		done <- read{body, err}
	}()
	late := time.NewTimer(keepWithin)
	defer late.Stop()
	select {
	case r := <-done:
		return r.body, r.err
	case <-late.C:
		return nil, errSlow
	}
}

func (o *Outbox) letter(x *policy.Exchange, r *http.Request, resp *http.Response, failure error, unknown bool) (*Call, error) {
	body, err := soon(x)
	if errors.Is(err, policy.ErrTooLarge) {
		return nil, errLong
	}
	if err != nil {
		return nil, err
	}
	now := time.Now()
	res := resultOf(x, resp, failure, now)
	res.Truncated = resp != nil // its body went to the application
	c := &Call{
		ID: x.ID, Kind: DeadLetter, Provider: x.Plan.Provider, Client: x.Client, Account: x.Account, Endpoint: x.Endpoint, Method: r.Method, Target: x.Plan.Provider,
		Key: keyOf(x, r), Print: printOf(x, r, body), State: Failed, Outcome: res.Outcome, Status: res.Status, Reason: reasonOf(res),
	}
	if unknown {
		c.State = Unknown
	}
	if res.Executed != policy.No && !policy.Idempotent(r.Method) {
		c.Doubt = x.Start
	}
	ring, err := o.opt.Ring()
	if err == nil {
		c.Request, err = sealed(ring, c, "request", uncredentialed(x, r, body))
	}
	if err == nil {
		c.Result, err = sealed(ring, c, "result", res)
	}
	return c, err
}

// Waiting reports whether dead letters of a provider wait for a person, as far
// as this process knows. It costs next to nothing if there are none at all.
func (o *Outbox) Waiting(provider string) bool { return o.index.waiting(provider) }

// Succeeded says that a call had its effect: dead letters that are the same call,
// by its key or by what it asks for within window, must not be sent any more.
func (o *Outbox) Succeeded(x *policy.Exchange, r *http.Request, window time.Duration) {
	body, err := soon(x)
	var print []byte
	if err == nil {
		print = printOf(x, r, body)
	}
	ids := o.index.same(keyOf(x, r), print, time.Now().Add(-window))
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), keepWithin)
	defer cancel()
	for _, id := range ids {
		t, err := o.opt.Store.Act(ctx, id, Action{From: []State{Failed, Unknown, Accepted, Retrying}, To: Superseded, Reason: "the application's later call " + x.ID + " did the same"})
		if errors.Is(err, ErrNotFound) || err == nil {
			o.index.remove(id)
		} else {
			o.opt.Observer.trouble("marking a dead letter as superseded", fmt.Errorf("call %s, by call %s: %w", id, x.ID, err))
		}
		if t != nil {
			x.Note(stage, "superseded", id)
			o.opt.Observer.moved(t)
		}
	}
}

// reasonOf is what came of a sending in a few words.
func reasonOf(res *Result) string {
	switch {
	case res.Status != 0 && http.StatusText(res.Status) != "":
		return fmt.Sprintf("%d %s", res.Status, http.StatusText(res.Status))
	case res.Status != 0:
		return fmt.Sprint(res.Status)
	case res.Detail != "":
		return string(res.Code) + ": " + res.Detail
	}
	return string(res.Outcome)
}
