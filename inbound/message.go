package inbound

import (
	"context"
	"net/http"
)

// message is what the application is told of an event.
type message struct {
	header http.Header // of the content, and what the webhook keeps
	body   []byte
}

// message says what is delivered now, or which move is made instead.
func (in *Inbox) message(_ context.Context, d *Delivery, t target) (*message, *Move) {
	return t.deliver.worded(d, &message{header: d.Event.Header, body: d.Event.Body})
}
