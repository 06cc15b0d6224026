package inbound

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/postern-proxy/postern/application"
	"github.com/postern-proxy/postern/queue"
)

// attempt delivers once and makes the move that follows.
func (in *Inbox) attempt(ctx context.Context, it queue.Item[Delivery]) queue.Report {
	d := &it.Work
	d.lease = it.Lease
	t, ok := in.set.Load().targets[it.Target]
	if !ok || t.deliver.Pull { // the policy changed since the claim
		if err := in.opt.Store.Release(context.WithoutCancel(ctx), []queue.Lease{it.Lease}); err != nil {
			in.opt.Observer.trouble("giving back a delivery", err)
		}
		return queue.Report{}
	}
	if stale(ctx) {
		return queue.Report{}
	}
	in.tell(d, d.From, Processing, &Move{Attempt: d.Attempt})

	m, report := in.try(ctx, &it, t)
	if stale(ctx) {
		return queue.Report{} // somebody else decides
	}
	m = t.hook.ordered(d, m)
	if in.end(ctx, d, m) {
		in.tell(d, Processing, m.To, &m)
	}
	return report
}

// end makes the move that ends an attempt, and those of what shares it.
func (in *Inbox) end(ctx context.Context, d *Delivery, m Move) bool {
	in.sweepShared(ctx, d, m)
	return in.finish(ctx, d.lease, m)
}

// sweepShared ignores what shares the state that is delivered, before the move: nobody
// else has the lane yet, and if we die in between the event that is delivered again
// brings a state that is as new.
func (in *Inbox) sweepShared(ctx context.Context, d *Delivery, m Move) {
	if d.shared == 0 || m.To != Applied && m.To != Ignored {
		return
	}
	if err := in.sweep(ctx, d, d.shared, overtaken+"its state was delivered with "+d.Event.ID); err != nil && !errors.Is(err, queue.ErrStale) {
		in.opt.Observer.trouble("ignoring what shares a delivery", err)
	}
}

// try calls the application, if there is anything to tell it, and says which move
// follows.
func (in *Inbox) try(ctx context.Context, it *queue.Item[Delivery], t target) (Move, queue.Report) {
	d := &it.Work
	if m := in.exhausted(d, t); m != nil {
		return *m, queue.Report{}
	}
	msg, instead := in.message(ctx, d, t)
	if instead != nil {
		return *instead, queue.Report{}
	}
	o := in.call(ctx, d, msg, t)
	o.interrupted = o.err != nil && errors.Is(context.Cause(ctx), queue.ErrDrain)
	o.probe, o.revived = it.Probe, it.Revived
	now := time.Now()
	m := judge(d, o, t.deliver, t.retry(), now, in.opt.Random)
	if o.harmful() && !stale(ctx) {
		m = in.isolate(ctx, d, t, m)
	}
	if !stale(ctx) {
		in.opt.Observer.attempt(&Attempt{
			Event: d.Event.ID, Webhook: d.Event.Webhook, Target: d.Target, EventID: d.Event.EventID, Type: d.Event.Type,
			Account: d.Event.Account, Attempt: d.Attempt, Result: m.To, Status: m.Status, Took: m.Took, Reason: m.Reason,
		})
	}
	return m, o.report(t.deliver, now, t.retry().Backoff.Max.Duration)
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
	return outcome{status: a.Status, header: a.Header, detail: strings.ToValidUTF8(string(a.Text[:min(len(a.Text), maxDetail)]), "\ufffd"), took: a.Took, err: a.Err, called: true, sent: a.Sent, late: a.Late}
}
