package inbound

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
)

// Order is an order block: in which order the events of one thing are delivered.
// A thing is an event.key of an account of the webhook; what is in order with it
// is a lane of each target.
type Order struct {
	Mode     Mode           `hcl:"mode"`
	Blocked  Blocked        `hcl:"blocked,optional"`    // what a lane does while its first waits for another attempt
	Skip     int            `hcl:"skip_after,optional"` // after so many attempts the first steps aside
	Failed   AfterFailed    `hcl:"failed,optional"`     // what a lane does when its first has failed
	Sequence *block.Expr    `hcl:"sequence,optional" scope:"event"`
	Deleted  *block.Expr    `hcl:"deleted,optional" scope:"event" type:"bool"`
	Horizon  block.Duration `hcl:"horizon,optional"` // how long what is newest is remembered
}

// Mode is how much order there is.
type Mode string

// The modes.
const (
	ByArrival  Mode = "arrival"    // none: each event is delivered as soon as it can be
	InLanes    Mode = "lane"       // the events of a key one after the other, in the order in which they arrived
	DropStale  Mode = "stale_drop" // one after the other, and none that is older than one before it
	LatestOnly Mode = "latest"     // one after the other, and of those that wait the newest alone
)

// UnmarshalText accepts the modes.
func (m *Mode) UnmarshalText(text []byte) error {
	switch v := Mode(text); v {
	case ByArrival, InLanes, DropStale, LatestOnly:
		*m = v
		return nil
	}
	return fmt.Errorf("unknown mode %q: use arrival, lane, stale_drop or latest", text)
}

// Blocked is what a lane does while its first waits for another attempt.
type Blocked string

// UnmarshalText accepts wait and skip.
func (b *Blocked) UnmarshalText(text []byte) error {
	if *b = Blocked(text); *b != "wait" && *b != "skip" {
		return fmt.Errorf("%q is no way to deal with a blocked lane: use wait or skip", text)
	}
	return nil
}

// AfterFailed is what a lane does when its first has failed.
type AfterFailed string

// UnmarshalText accepts next and hold.
func (a *AfterFailed) UnmarshalText(text []byte) error {
	if *a = AfterFailed(text); *a != "next" && *a != "hold" {
		return fmt.Errorf("%q is no way to go on after a failure: use next or hold", text)
	}
	return nil
}

// Default sets what happens after a failure, and the horizon.
func (o *Order) Default() { o.Failed, o.Horizon.Duration = "next", 90*24*time.Hour }

// Check implements [block.Checker].
func (o *Order) Check() error {
	var errs []error
	wrong := func(attr, format string, args ...any) { errs = append(errs, block.At(attr, format, args...)) }
	if o.Skip < 0 || o.Skip > 1000 {
		wrong("skip_after", "skip_after must be between 1 and 1000 attempts")
	}
	if o.Blocked == "wait" && o.Skip > 0 {
		wrong("skip_after", "a lane that waits skips nothing: leave out blocked, or skip_after")
	}
	if o.Mode == ByArrival && (o.Blocked != "" || o.Skip > 0 || o.Failed == "hold") {
		wrong("mode", "there are no lanes that could be blocked in this mode")
	}
	if o.Mode == LatestOnly && o.Failed == "hold" {
		wrong("failed", "a newer event takes the place of one that has failed: it cannot hold the lane")
	}
	if o.Mode != DropStale && o.Sequence != nil {
		wrong("sequence", "sequence is for mode %q", DropStale)
	}
	if o.Mode != DropStale && o.Deleted != nil {
		wrong("deleted", "deleted is for mode %q", DropStale)
	}
	if o.Horizon.Duration <= 0 {
		wrong("horizon", "horizon must be more than nothing")
	}
	return errors.Join(errs...)
}

// skip is after how many attempts the first of a lane steps aside, 0 for never.
// Where what is older is dropped anyway, a newer event never waits for it.
func (o *Order) skip() int {
	switch {
	case o.Skip > 0:
		return o.Skip
	case o.Blocked == "wait":
		return 0
	case o.Blocked == "skip", o.Mode == DropStale, o.Mode == LatestOnly:
		return 1
	}
	return 0
}

// checkOrder says what is wrong with order, given what the event block says.
func (w *Webhook) checkOrder() error {
	if w.Order == nil || w.Order.Mode == ByArrival {
		return nil
	}
	if w.Event == nil || w.Event.Key == nil {
		return block.At("order", "order is among events of the same key: say by key in the event block what they are about")
	}
	if w.Order.Mode == DropStale && w.Order.Sequence == nil && w.Event.Time == nil {
		return block.At("order", "what is stale shows by a time or a sequence: say it by time in the event block, or by sequence here")
	}
	return nil
}

// forgeable refuses to drop what is stale by what nobody has signed: whoever replays
// one request could have all that comes after it dropped.
func (w *Webhook) forgeable() hcl.Diagnostics {
	if w.Order == nil || w.Order.Mode != DropStale || w.check == nil || !w.check.BodyOnly {
		return nil
	}
	at := w.Event.Time
	if w.Order.Sequence != nil {
		at = w.Order.Sequence
	}
	for _, x := range []*block.Expr{at, w.Event.Key, w.Order.Deleted} {
		if w.unsigned(x) {
			where := x.Range()
			return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Invalid order", Subject: &where, Detail: "The signature covers the body only: whoever replays a request could choose what is stale. Take it from the body."}}
		}
	}
	return nil
}

// lane is what e is delivered in order with, "" for nothing: an event without a
// key waits for no other, unless it is a sign that an account has something new.
func (w *Webhook) lane(e *Event, names *Names) string {
	switch {
	case w.Order != nil && w.Order.Mode != ByArrival && e.Key != "":
	case w.Latest == nil || !w.Latest.about(about(e, e.Header, e.Body)):
		return ""
	}
	key := e.Key
	if len(key) == maxName { // it may have been cut: what was cut off counts here
		sum := sha256.Sum256([]byte(text(w.Event.Key, names)))
		key = hex.EncodeToString(sum[:])
	}
	return strconv.Itoa(len(e.Account)) + ":" + e.Account + key // no other account and key look like this
}

// future is how far ahead of us the time of an event may be to be believed.
const future = 24 * time.Hour

// rank is where e stands among those of its key, if what is stale is dropped. names
// has the event. What is gone is gone by now if its event has no time.
func (w *Webhook) rank(e *Event, names *Names) Rank {
	if w.Order == nil || w.Order.Mode != DropStale || e.Lane == "" {
		return ""
	}
	gone := w.Order.Deleted != nil && w.Order.Deleted.True(names)
	if w.Order.Sequence != nil {
		return SequenceRank(text(w.Order.Sequence, names), gone)
	}
	at := e.Occurred
	if at.IsZero() && gone || at.After(e.Received.Add(future)) && gone {
		at = e.Received
	}
	if at.After(e.Received.Add(future)) {
		return ""
	}
	return TimeRank(at, gone)
}

// horizon is how long the marks of lanes are kept.
func (w *Webhook) horizon() time.Duration {
	if w.Order == nil {
		o := &Order{}
		o.Default()
		return o.Horizon.Duration
	}
	return w.Order.Horizon.Duration
}

// ordered completes the move that follows an attempt by what it means for the lane.
func (w *Webhook) ordered(d *Delivery, m Move) Move {
	if d.Event.Lane == "" {
		return m
	}
	o := w.Order
	if o == nil {
		o = &Order{Failed: "next"}
	}
	switch {
	case m.To == Retrying && o.skip() > 0 && m.Attempt >= o.skip():
		m.Stand = Aside
		m.Reason += "; others of its key go before it"
	case m.To == Failed && o.Failed == "hold":
		m.Stand = Holding
		m.Reason += "; its key waits for a replay or discard"
	case m.To == Applied && (d.reached != nil || d.Event.Rank != ""):
		m.Reached = d.reached
		if m.Reached == nil {
			m.Reached = &Reached{Rank: d.Event.Rank}
		}
		m.Reached.Keep = w.horizon()
	}
	return m
}

// What begins the reasons of what is not delivered because of others of its key.
const (
	overtaken = "overtaken: "
	unchanged = "unchanged: "

	unconfirmed = "unconfirmed: "
)

// turn says which move is made instead of a delivery because of what else there is,
// or was, of its key; nil if it is to be delivered. It looks at the store once more
// than the insert did: what has been applied since is in nobody's memory.
func (in *Inbox) turn(ctx context.Context, d *Delivery, t target) (Lane, *Move) {
	var lane Lane
	mode := ByArrival
	if t.hook.Order != nil {
		mode = t.hook.Order.Mode
	}
	if d.Event.Lane == "" || mode != LatestOnly && t.hook.Latest == nil && (mode != DropStale || d.Event.Rank == "") {
		return lane, nil
	}
	lane, err := in.opt.Store.Lane(ctx, d.lease)
	if err != nil {
		return lane, d.postponed("its place among the events of its key cannot be read: " + err.Error())
	}
	switch mode {
	case DropStale:
		if lane.Applied.Over(d.Event.Rank) {
			return lane, d.ignored(StaleReason(lane.AppliedEvent))
		}
		// One that was attempted before had stepped aside: the newer one may have had its
		// effect by now, although nobody has said so.
		if d.Attempt > 1 && lane.Seen.Over(d.Event.Rank) {
			return lane, d.ignored(StaleReason(lane.SeenEvent))
		}
	case LatestOnly:
		place := PlaceRank(lane.Place)
		if lane.Applied.Over(place) {
			return lane, d.ignored(overtaken + "by " + lane.AppliedEvent + ", which is applied")
		}
		d.reached = &Reached{Rank: place}
		if lane.Newest > lane.Place && t.hook.Latest == nil {
			why := overtaken + "by " + lane.NewestEvent
			if err := in.sweep(ctx, d, lane.Newest-1, why); err != nil {
				return lane, d.postponed("what is overtaken cannot be ignored: " + err.Error())
			}
			return lane, d.ignored(why)
		}
	}
	return lane, nil
}

// sweep ignores what waits in the lane of d up to a place.
func (in *Inbox) sweep(ctx context.Context, d *Delivery, upTo int64, why string) error {
	moved, err := in.opt.Store.Sweep(context.WithoutCancel(ctx), d.lease, upTo, why)
	for _, t := range moved {
		in.opt.Observer.moved(t)
	}
	return err
}

// ignored is the move of a delivery that the application does not get; it is no
// attempt.
func (d *Delivery) ignored(why string) *Move {
	return &Move{To: Ignored, Attempt: d.Attempt - 1, Reason: why}
}

// postponed is the move of a delivery that could not be prepared by our own fault;
// it is no attempt.
func (d *Delivery) postponed(why string) *Move {
	return &Move{To: Retrying, Due: time.Now().Add(time.Second), Attempt: d.Attempt - 1, Wait: d.Wait, Reason: why}
}

// Why is the class of a reason for which a delivery is ignored: stale, overtaken,
// unchanged, unconfirmed, or other.
func Why(reason string) string {
	for _, class := range [...]string{staleReason, overtaken, unchanged, unconfirmed} {
		if word, _, _ := strings.Cut(class, ":"); strings.HasPrefix(reason, word+": ") {
			return word
		}
	}
	return "other"
}

// tellOld tells of deliveries that began as ignored, because they are stale.
func (in *Inbox) tellOld(a *Arrival) {
	for range a.Old {
		in.opt.Observer.moved(Transition{Event: a.ID, Webhook: a.Event.Webhook, Received: a.Event.Received, At: time.Now(), To: Ignored, Reason: StaleReason("one of its key that was accepted before")})
	}
}
