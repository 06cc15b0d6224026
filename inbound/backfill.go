package inbound

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/postern-proxy/postern/config/block"
)

// schemeAPI is the scheme of what a provider's API said.
const schemeAPI = "api"

// Backfilled reports whether the event came of a provider's list, and not by a
// push.
func (p Proof) Backfilled() bool { return p.Scheme == schemeAPI }

// Listed is an event as a provider's list has it. What is not null of its
// names stands for what the webhook's event block says.
type Listed struct {
	Header                       http.Header // that a push would have had
	Body                         []byte
	ID, Type, Account, Time, Key block.Value
	Unit                         Unit // of Time
}

// Arrival is a listed event as a push of it would bring it, with origin backfill.
func (in *Inbox) Arrival(hook *Webhook, l *Listed) *Arrival {
	names := *hook.Event
	for _, n := range []struct {
		given block.Value
		into  **block.Expr
	}{{l.ID, &names.ID}, {l.Type, &names.Type}, {l.Account, &names.Account}, {l.Time, &names.Time}, {l.Key, &names.Key}} {
		if n.given.Kind != block.Null {
			*n.into = block.Literal(n.given)
		}
	}
	if l.Time.Kind != block.Null {
		names.Unit = l.Unit
	}
	w, n := hook.listed(&names), &Names{Request: l.request()}
	if names.Split != nil { // what the list has is what a batch would have had
		n.Item = l.Body
	}
	e := w.event(n, Verdict{Result: Accepted, Proof: Proof{Scheme: schemeAPI}}, in.opt.NewID(), l.Body)
	e.Verified = true
	a := w.arrival(e, n)
	in.outlive(hook, []*Arrival{a})
	a.Listed = true
	for i := range a.To {
		a.To[i].Origin = Backfill
	}
	return a
}

func (l *Listed) request() *Request {
	return &Request{Method: http.MethodPost, Header: l.Header, Body: l.Body, Received: time.Now()}
}

// Backfill stores listed events, and does what follows, as for a push. Whose key
// is known is a duplicate, whatever its body.
func (in *Inbox) Backfill(ctx context.Context, hook *Webhook, all []*Arrival) error {
	for _, a := range all {
		l := Listed{Header: a.Event.Header, Body: a.Event.Body}
		if err := in.revoke(ctx, hook, l.request(), Verdict{Result: Accepted}, a.Event); err != nil {
			return fmt.Errorf("end the grant that the event is about: %w", err)
		}
	}
	if err := in.opt.Store.Insert(ctx, all...); err != nil {
		return fmt.Errorf("store events: %w", err)
	}
	in.Wake()
	for _, a := range all {
		if a.What == Stored {
			in.tellMisfit(a)
		}
		in.alarm(hook, a)
	}
	return nil
}

// late tells of a push of an event that was backfilled before.
func (in *Inbox) late(ctx context.Context, a *Arrival) {
	if !a.Backfilled || in.opt.Late == nil {
		return
	}
	if err := in.opt.Late(ctx, a.ID); err != nil {
		in.opt.Observer.trouble("counting a late webhook", err)
	}
}
