package inbound

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Anew stores a copy of each event on one page of those that match f, the oldest
// first, and delivers it: a new event with an id of its own, whose parent is the
// original, so that an application that has seen the original takes it for another. What is held back
// is passed over, as is an event that is a copy itself made since f.Unmoved. by
// names who asked. Asked again with the same f.Unmoved, it makes no second copy.
func (in *Inbox) Anew(ctx context.Context, f Filter, by string) (Acted, error) {
	f.Oldest = true
	page, err := in.opt.Store.List(ctx, f)
	if err != nil {
		return Acted{}, err
	}
	done := Acted{Events: len(page.Events), Next: page.Next}
	for i := range page.Events {
		a, err := in.copied(ctx, &page.Events[i], &f, by)
		if errors.Is(err, ErrEmptied) {
			done.Emptied++
			continue
		}
		if err != nil {
			return Acted{}, err
		}
		if a == nil {
			done.Skipped++
			continue
		}
		if err := in.opt.Store.Insert(ctx, a); err != nil {
			return Acted{}, fmt.Errorf("store a copy of event %s: %w", page.Events[i].ID, err)
		}
		if a.What == Duplicate {
			done.Skipped++
			continue
		}
		for _, p := range a.To {
			t := Transition{Event: a.ID, Webhook: a.Event.Webhook, Target: p.Target, Received: a.Event.Received, At: a.Event.Received, To: Received, Reason: p.Reason, By: by}
			in.opt.Observer.moved(t)
			done.Moved = append(done.Moved, t)
		}
	}
	if len(done.Moved) > 0 {
		in.Wake()
	}
	return done, nil
}

// copied is the copy of an event on its way into the store, nil if it gets none.
func (in *Inbox) copied(ctx context.Context, r *Record, f *Filter, by string) (*Arrival, error) {
	var to []Placement
	for _, d := range r.Deliveries {
		if _, ok := ActReplay.Move(d.State); ok && f.Means(d.State, d.Reason) {
			to = append(to, Placement{Target: d.Target, State: Received, Origin: Replay, Reason: "replay of " + r.ID + " as a new event"})
		}
	}
	if len(to) == 0 || r.Parent != "" && !f.Unmoved.IsZero() && !r.Received.Before(f.Unmoved) {
		return nil, nil
	}
	e, err := in.opt.Store.Body(ctx, r.ID)
	if err != nil {
		return nil, fmt.Errorf("read event %s: %w", r.ID, err)
	}
	e.Parent, e.Received, e.Rank = e.ID, time.Now(), "" // a person wants it delivered, however old it is
	e.ID = in.copyID(r.ID, f.Unmoved)
	if w := in.set.Load().byName[r.Webhook]; w != nil && w.Order != nil && w.Order.Mode == LatestOnly {
		e.Lane = "" // it is not the newest of its key, and overtakes none
	}
	return &Arrival{Event: e, To: to, Anew: true, By: by}, nil
}

// copyID is the id of the copy that an operation makes of an event: for the same
// operation the same.
func (in *Inbox) copyID(original string, began time.Time) string {
	if began.IsZero() {
		return in.opt.NewID()
	}
	sum := sha256.Sum256([]byte(original + "\n" + began.UTC().Format(time.RFC3339Nano)))
	ms := began.UnixMilli()
	for i := range 6 { // as a UUIDv7: the time first
		sum[i] = byte(ms >> (8 * (5 - i)))
	}
	sum[6], sum[8] = sum[6]&0x0f|0x70, sum[8]&0x3f|0x80
	return uuid.UUID(sum[:16]).String()
}
