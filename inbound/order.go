package inbound

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/postern-proxy/postern/config/block"
)

// Order is an order block: in which order the events of one thing are delivered.
// A thing is an event.key of an account of the webhook; what is in order with it
// is a lane of each target.
type Order struct {
	Mode Mode `hcl:"mode"`
}

// Mode is how much order there is.
type Mode string

// The modes.
const (
	ByArrival Mode = "arrival" // none: each event is delivered as soon as it can be
	InLanes   Mode = "lane"    // the events of a key one after the other, in the order in which they arrived
)

// UnmarshalText accepts the modes.
func (m *Mode) UnmarshalText(text []byte) error {
	switch v := Mode(text); v {
	case ByArrival, InLanes:
		*m = v
		return nil
	}
	return fmt.Errorf("unknown mode %q: use arrival or lane", text)
}

// checkOrder says what is wrong with order, given what the event block says.
func (w *Webhook) checkOrder() error {
	if w.Order == nil || w.Order.Mode == ByArrival {
		return nil
	}
	if w.Event == nil || w.Event.Key == nil {
		return block.At("order", "order is among events of the same key: say by key in the event block what they are about")
	}
	return nil
}

// lane is what e is delivered in order with, "" for nothing: an event without a
// key waits for no other.
func (w *Webhook) lane(e *Event, names *Names) string {
	if w.Order == nil || w.Order.Mode == ByArrival || e.Key == "" {
		return ""
	}
	key := e.Key
	if len(key) == maxName { // it may have been cut: what was cut off counts here
		sum := sha256.Sum256([]byte(text(w.Event.Key, names)))
		key = hex.EncodeToString(sum[:])
	}
	return strconv.Itoa(len(e.Account)) + ":" + e.Account + key // no other account and key look like this
}
