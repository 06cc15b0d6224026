package inbound

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Notice is one thing that happened: an event was stored, or one of its
// deliveries moved.
type Notice struct {
	Record             // without header, body and trail; its deliveries are told of a new event only
	Move   *Transition // nil for a new event
}

// At is when it happened.
func (n *Notice) At() time.Time {
	if n.Move != nil {
		return n.Move.At
	}
	return n.Received
}

// Notices is one page of what happened, in order, and the cursor to go on with.
type Notices struct {
	All  []Notice
	Next string
}

// followPause is how often the store is asked for what happened while somebody
// follows: other processes may make moves too.
const followPause = 250 * time.Millisecond

// followPage is how many notices are read at once.
const followPage = 500

// Follow returns what happened after cursor and matches f, at the latest after
// wait. With an empty cursor it returns nothing but the cursor of now. Whoever goes
// on with Next misses nothing, also when the process was started anew in between.
func (in *Inbox) Follow(ctx context.Context, f Filter, cursor string, wait time.Duration) (Notices, error) {
	end := time.NewTimer(wait)
	defer end.Stop()
	for {
		page, err := in.opt.Store.Feed(ctx, cursor, followPage)
		if err != nil {
			return Notices{}, err
		}
		full := len(page.All) > 0 && page.Next != cursor
		page.All = slices.DeleteFunc(page.All, func(n Notice) bool { return !f.concerns(&n) })
		if cursor == "" || len(page.All) > 0 {
			return page, nil
		}
		if cursor = page.Next; full {
			continue // there may be more at once
		}
		select {
		case <-ctx.Done():
			return Notices{}, ctx.Err()
		case <-end.C:
			return page, nil
		case <-time.After(followPause):
		}
	}
}

// concerns reports whether a notice matches f. The state is that which a delivery
// moves to, or in which one begins.
func (f *Filter) concerns(n *Notice) bool {
	at := n.At()
	return (len(f.IDs) == 0 || slices.Contains(f.IDs, n.ID)) &&
		(len(f.Webhooks) == 0 || slices.Contains(f.Webhooks, n.Webhook)) &&
		(f.Account == "" || f.Account == n.Account) && f.OfType(n.Type) &&
		(f.EventID == "" || f.EventID == n.EventID) && (f.Misfit == "" || f.Misfit == n.Misfit) &&
		(f.Since.IsZero() || !at.Before(f.Since)) && (f.Until.IsZero() || at.Before(f.Until)) &&
		(f.State == "" || n.enters(f.State)) &&
		(f.Error == "" || n.Move != nil && f.OfReason(n.Move.Reason))
}

func (n *Notice) enters(s State) bool {
	if n.Move != nil {
		return n.Move.To == s
	}
	return slices.ContainsFunc(n.Deliveries, func(d DeliveryStatus) bool { return d.State == s })
}

// OfType reports whether a type is one that f asks for: a * at the end stands for
// any rest.
func (f *Filter) OfType(t string) bool {
	if prefix, ok := strings.CutSuffix(f.Type, "*"); ok {
		return strings.HasPrefix(t, prefix)
	}
	return f.Type == "" || f.Type == t
}
