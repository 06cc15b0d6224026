package inbound

import (
	"context"
	"net/http"
)

// message is what the application is told of an event.
type message struct {
	header http.Header // of the content, and what the webhook keeps
	body   []byte

	confirmed bool // by the latest state
}

// message says what is delivered now, or which move is made instead.
func (in *Inbox) message(ctx context.Context, d *Delivery, t target) (*message, *Move) {
	lane, instead := in.turn(ctx, d, t)
	if instead != nil {
		return nil, instead
	}
	msg, instead := in.latest(ctx, d, t, lane, &message{header: d.Event.Header, body: d.Event.Body})
	if instead != nil {
		return nil, instead
	}
	return t.deliver.worded(d, msg)
}

// verified says how far an event can be believed: it was signed, or the provider has
// confirmed it by the latest state, or neither.
func (m *message) verified(e *Event) string {
	switch {
	case e.Verified:
		return "signature"
	case m.confirmed:
		return "latest"
	}
	return "no"
}
