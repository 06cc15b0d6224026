package outbox

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/queue"
	"github.com/postern-proxy/postern/seal"
)

const (
	maxResult   = 1 << 20 // bytes of an answer that are kept
	sendWithin  = 10 * time.Minute
	recordTries = 10 * time.Second // for one try to record a move
)

// attempt sends a call once, or a callback, and makes the move that follows.
func (o *Outbox) attempt(ctx context.Context, it queue.Item[Call]) queue.Report {
	c := &it.Work
	if stale(ctx) {
		return queue.Report{}
	}
	from := c.State
	o.opt.Observer.moved(&Transition{ID: c.ID, Kind: c.Kind, Provider: c.Provider, Account: c.Account, At: time.Now(), From: from, To: Sending, Attempt: c.Attempt})
	if from == Sending && c.Kind != Callback && c.Doubt.IsZero() && !policy.Idempotent(c.Method) {
		c.Doubt = c.Changed // the process that sent it then is gone, and knows no more
	}
	var m Move
	var s *sent
	if c.Kind == Callback {
		m, s = o.callback(ctx, c)
	} else {
		m, s = o.send(ctx, c)
	}
	if stale(ctx) {
		return queue.Report{} // somebody else decides
	}
	if c.Kind == Async && !m.To.Open() {
		m.Then = o.told(c)
	}
	if o.finish(ctx, it.Lease, m) {
		o.opt.Observer.moved(&Transition{
			ID: c.ID, Kind: c.Kind, Provider: c.Provider, Account: c.Account, At: time.Now(), From: Sending, To: m.To, Attempt: m.Attempt,
			Outcome: m.Outcome, Status: m.Status, Took: m.Took, Reason: m.Reason,
		})
		switch {
		case c.Kind == DeadLetter && m.To == Done:
			o.index.remove(c.ID)
		case c.Kind == DeadLetter:
			o.index.add(Mark{ID: c.ID, Provider: c.Provider, Key: c.Key, Print: c.Print, Created: c.Created})
		}
		if m.To.Open() {
			o.dispatch.Wake() // it may be due before the loop looks again
		}
	}
	return s.report()
}

// stale reports whether the lease of an attempt is over.
func stale(ctx context.Context) bool {
	return ctx.Err() != nil && errors.Is(context.Cause(ctx), queue.ErrStale)
}

// send sends a call by way of the policy in force.
func (o *Outbox) send(ctx context.Context, c *Call) (Move, *sent) {
	kept := new(Request)
	ring, err := o.opt.Ring()
	if err != nil { // it may be there again soon: nothing is given up
		return Move{To: Retrying, Due: time.Now().Add(time.Minute), Attempt: c.Attempt - 1, Wait: c.Wait, Outcome: c.Outcome, Doubt: c.Doubt, Reason: err.Error()}, nil
	}
	if err := opened(ring, c, "request", c.Request, kept); errors.Is(err, seal.ErrKey) {
		return Move{To: Retrying, Due: time.Now().Add(time.Minute), Attempt: c.Attempt - 1, Wait: c.Wait, Outcome: c.Outcome, Doubt: c.Doubt, Reason: err.Error()}, nil
	} else if err != nil {
		o.opt.Observer.trouble("sending a call", err)
		return Move{To: Failed, Attempt: c.Attempt, Outcome: c.Outcome, Doubt: c.Doubt, Reason: "what is kept of it cannot be opened: " + err.Error()}, nil
	}
	u, err := url.Parse(string(kept.URL))
	if err != nil {
		return Move{To: Failed, Attempt: c.Attempt, Outcome: c.Outcome, Doubt: c.Doubt, Reason: "its URL cannot be read"}, nil
	}
	plan := o.planOf(c.Provider, c.Method, u.EscapedPath())
	if plan == nil { // the policy changed since the claim: it waits until the provider is back
		return Move{To: Retrying, Due: time.Now(), Attempt: c.Attempt - 1, Wait: c.Wait, Outcome: c.Outcome, Doubt: c.Doubt, Reason: "the policy has no provider " + c.Provider}, nil
	}
	if c.Forced { // whatever happened before, a person has decided; what happens now counts
		c.Doubt = time.Time{}
	}
	if why := risk(c, kept.Told, plan, time.Now()); why != "" {
		return Move{To: Unknown, Attempt: c.Attempt - 1, Outcome: c.Outcome, Doubt: c.Doubt, Reason: why}, nil
	}
	s := o.once(ctx, c, kept, o.decided(ctx, c, kept))
	m := judge(c, s, scheduleOf(plan), time.Now(), o.opt.Random)
	if m.Result, err = sealed(ring, c, "result", s.result); err != nil {
		o.opt.Observer.trouble("keeping what came of a call", err)
	}
	return m, s
}

// decided reports whether a person has decided that a call is sent: it is forced,
// or resolved as not executed, and was not in doubt again since. Where answers are
// kept under keys, an earlier call in doubt is remembered there, too.
func (o *Outbox) decided(ctx context.Context, c *Call, kept *Request) bool {
	if c.Forced || kept.Key == "" || kept.Origin == policy.KeyRandom {
		return c.Forced
	}
	rec, err := o.opt.Store.Show(ctx, c.ID)
	if err != nil {
		return false // it is in doubt again then
	}
	resolved := false
	for i := range rec.Trail {
		switch t := &rec.Trail[i]; {
		case t.From == Unknown && t.To == Failed:
			resolved = true
		case t.To == Unknown:
			resolved = false
		}
	}
	return resolved
}

// once makes the exchange and reads its answer.
func (o *Outbox) once(ctx context.Context, c *Call, kept *Request, decided bool) *sent {
	s := &sent{began: time.Now()}
	r, err := kept.request()
	if err != nil {
		s.result = &Result{At: s.began, Outcome: policy.Validation, Code: policy.BadRequest, Detail: "what is kept of it is no request", Executed: policy.No}
		return s
	}
	within, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	resp, x, err := o.opt.Send(r.WithContext(within), Envelope{
		Provider: c.Provider, Client: c.Client, Account: c.Account, ID: c.ID, Tags: kept.Tags, Unsure: !c.Doubt.IsZero(), Decided: decided,
	})
	s.result = resultOf(x, resp, err, time.Now())
	s.final = x.Key.Final
	if x.Request == nil {
		x.Request = r
	}
	s.doubtful, s.done = x.Attempts > 0 && x.Doubtful(), x.Done
	if d := denialOf(err); err != nil && x.Attempts == 0 && d.Code == policy.CodeUnreachable { // what an earlier sending came to
		s.doubtful, s.done = s.doubtful || d.Executed == policy.Maybe, s.done || d.Executed == policy.Yes
	}
	s.interrupted = err != nil && errors.Is(context.Cause(ctx), queue.ErrDrain)
	if err != nil {
		s.after = askedFor(denialOf(err), nil, time.Now())
	} else {
		s.after = askedFor(nil, resp.Header, time.Now())
		s.result.read(resp)
	}
	s.took = time.Since(s.began)
	return s
}

// read keeps the answer's body, up to maxResult. An answer that breaks off is
// kept as far as it came: that the call was answered is known all the same.
func (res *Result) read(resp *http.Response) {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResult+1))
	if len(body) > maxResult {
		body, res.Truncated = body[:maxResult], true
	}
	res.Body, res.Truncated = body, res.Truncated || err != nil
}

// finish makes the move, patiently: while the store cannot take it and the lease
// is held, nobody sends the call again. It gives up with the lease.
func (o *Outbox) finish(ctx context.Context, lease queue.Lease, m Move) bool {
	for {
		err := o.record(ctx, lease, m)
		if err == nil {
			return true
		}
		if errors.Is(err, queue.ErrStale) {
			return false
		}
		o.opt.Observer.trouble("recording what came of a call", err)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(time.Second):
		}
	}
}

// record makes the move, also during a shutdown, but not after the lease.
func (o *Outbox) record(ctx context.Context, lease queue.Lease, m Move) error {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTries)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if stale(ctx) {
			cancel()
		}
	})()
	return o.opt.Store.Finish(within, lease, m)
}

// told is the callback about a call that has come to its end, nil for none.
func (o *Outbox) told(c *Call) *Call {
	a := o.asyncBlock(c.Provider)
	if a == nil {
		return nil
	}
	return &Call{
		ID: o.opt.NewID(), Kind: Callback, Of: c.ID, Provider: c.Provider, Client: c.Client, Account: c.Account, Endpoint: c.Endpoint,
		Method: http.MethodPost, Target: callbackTo + c.Provider, State: Accepted, Expires: time.Now().Add(a.Lifetime.Duration),
	}
}

// asyncBlock is the first async block of a provider that has a callback, nil if
// there is none.
func (o *Outbox) asyncBlock(provider string) *Policy {
	p := o.opt.Policy().Provider(provider)
	if p == nil {
		return nil
	}
	for _, plan := range p.Plans() {
		if a := asyncOf(plan); a != nil && a.Callback != "" {
			return a
		}
	}
	return nil
}
