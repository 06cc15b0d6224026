package inbound

import (
	"context"
	"fmt"
)

// wakes reports whether an event says only that there is something new, which
// reconcile has to fetch. One that is not for the application says nothing.
func (w *Webhook) wakes(n *Names) bool {
	return w.Thin() && w.Reconcile.Wake.True(n) && (w.Accept == nil || w.Accept.True(n))
}

// Thin reports whether some of its events say only that there is something new.
func (w *Webhook) Thin() bool { return w.Reconcile != nil && w.Reconcile.Wake != nil }

// holdPing holds back an event that is only a ping: what it is about is delivered.
func (w *Webhook) holdPing(n *Names, to []Placement) {
	if w.wakes(n) {
		hold(to, Ignored, "only a ping, what is new is fetched: "+written(w.Reconcile.Wake))
	}
}

// pinged asks for a run of reconcile after a ping, be it a duplicate: what is new need
// not be what the first one was about.
func (in *Inbox) pinged(ctx context.Context, hook *Webhook, req *Request, v Verdict, e *Event) error {
	if in.opt.Woken == nil || !hook.Thin() || !hook.wakes(hook.names(req, v, e)) {
		return nil
	}
	if err := in.opt.Woken(ctx, hook, e.Account); err != nil {
		return fmt.Errorf("have fetched what is new: %w", err)
	}
	return nil
}

// listed is w for an event of a list, which is what a ping stands for and never one.
func (w *Webhook) listed(names *EventNames) *Webhook {
	out := *w
	out.Event = names
	if w.Thin() {
		silent := *w.Reconcile
		silent.Wake = nil
		out.Reconcile = &silent
	}
	return &out
}
