package inbound

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postern-proxy/postern/application"
	"github.com/postern-proxy/postern/queue"
)

// crashes is how often an attempt may end without a word, because the process
// died under it, before the delivery is given up.
const crashes = 3

// attempt delivers once and makes the move that follows.
func (in *Inbox) attempt(ctx context.Context, it queue.Item[Delivery]) queue.Health {
	d := &it.Work
	t, ok := in.set.Load().targets[it.Target]
	if !ok { // the policy changed since the claim
		if err := in.opt.Store.Release(context.WithoutCancel(ctx), []queue.Lease{it.Lease}); err != nil {
			in.opt.Observer.trouble("giving back a delivery", err)
		}
		return queue.Well
	}
	if stale(ctx) {
		return queue.Well
	}
	in.tell(d, d.From, Processing, &Move{Attempt: d.Attempt})

	var m Move
	health := queue.Well
	if d.Attempt > t.hook.Retry.Attempts+crashes {
		m = Move{To: Failed, Attempt: d.Attempt, Reason: fmt.Sprintf("given up: %d attempts ended without a result", crashes)}
	} else {
		m, health = in.try(ctx, d, t)
		if stale(ctx) {
			return queue.Well // somebody else decides
		}
	}
	if in.finish(ctx, it.Lease, m) {
		in.tell(d, Processing, m.To, &m)
	}
	return health
}

// try calls the application, if there is anything to tell it, and says which move
// follows.
func (in *Inbox) try(ctx context.Context, d *Delivery, t target) (Move, queue.Health) {
	msg, instead := in.message(ctx, d, t)
	if instead != nil {
		return *instead, queue.Well
	}
	o := in.call(ctx, d, msg, t)
	o.interrupted = o.err != nil && errors.Is(context.Cause(ctx), queue.ErrDrain)
	m := judge(d, o, t.deliver, t.hook.Retry, time.Now(), in.opt.Random)
	if !stale(ctx) {
		in.opt.Observer.attempt(&Attempt{
			Event: d.Event.ID, Webhook: d.Event.Webhook, Target: d.Target, EventID: d.Event.EventID, Type: d.Event.Type,
			Account: d.Event.Account, Attempt: d.Attempt, Result: m.To, Status: m.Status, Took: m.Took, Reason: m.Reason,
		})
	}
	return m, queue.Health(o.health())
}

// stale reports whether the lease of an attempt is over.
func stale(ctx context.Context) bool {
	return ctx.Err() != nil && errors.Is(context.Cause(ctx), queue.ErrStale)
}

// recordWithin is how long one try to record a move may take.
const recordWithin = 10 * time.Second

// record makes the move, also during a shutdown, but not after the lease.
func (in *Inbox) record(ctx context.Context, lease queue.Lease, m Move) error {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if stale(ctx) {
			cancel()
		}
	})()
	return in.opt.Store.Finish(within, lease, m)
}

// finish makes the move, patiently: while the store cannot take it and the lease
// is held, nobody calls the application again. It gives up with the lease.
func (in *Inbox) finish(ctx context.Context, lease queue.Lease, m Move) bool {
	for {
		err := in.record(ctx, lease, m)
		if err == nil {
			return true
		}
		if errors.Is(err, queue.ErrStale) {
			return false
		}
		in.opt.Observer.trouble("recording a delivery", err)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(time.Second):
		}
	}
}

func (in *Inbox) tell(d *Delivery, from, to State, m *Move) {
	in.opt.Observer.moved(Transition{
		Event: d.Event.ID, Webhook: d.Event.Webhook, Target: d.Target, Received: d.Event.Received, At: time.Now(),
		From: from, To: to, Attempt: m.Attempt, Status: m.Status, Took: m.Took, Reason: m.Reason,
	})
}

// maxDetail is how much of the application's answer the trail keeps.
const maxDetail = 256

// call posts the event to the application once.
func (in *Inbox) call(ctx context.Context, d *Delivery, msg *message, t target) outcome {
	header, err := heading(d, msg, t.deliver, time.Now())
	if err != nil {
		return outcome{err: err}
	}
	a := in.client.Post(ctx, &application.Call{To: t.deliver.address, TLS: t.deliver.TLS, Header: header, Body: msg.body, Timeout: t.deliver.Timeout.Duration})
	return outcome{status: a.Status, header: a.Header, detail: strings.ToValidUTF8(string(a.Text[:min(len(a.Text), maxDetail)]), "\ufffd"), took: a.Took, err: a.Err}
}
