// Package queue is the engine of durable deliveries: items wait in a store, are
// claimed under a lease, attempted, and moved on only while that lease holds.
// It knows neither what an item is nor how it is stored.
//
// Read queue.go for the words, then dispatcher.go for the loop, hold.go for how
// an attempt ends with its lease, target.go for what a target takes, window.go and
// breaker.go for how one that is in trouble is spared, retain.go for how what is
// old goes.
package queue

import (
	"context"
	"errors"
	"time"
)

// ErrStale says that a move came too late: the item is no longer in the state
// it was claimed in, or its lease has passed to another claimant. Whoever gets
// it drops its result: somebody else decides.
var ErrStale = errors.New("the item has moved on")

// ErrDrain is the cause of an attempt's context when a shutdown has waited for
// it long enough.
var ErrDrain = errors.New("interrupted by shutdown")

// A Lease is the right to attempt one item until a time.
type Lease struct {
	Key   int64     // names the item in its store
	Token int64     // the fence: it grows with every claim of the item
	Until time.Time // afterwards anybody may claim the item
}

// An Item is one claimed piece of work.
type Item[T any] struct {
	Lease  Lease
	Target string // whom the work is for: concurrency is counted per target
	Lane   string // "" or what it is in order with, see [Source]
	Work   T

	// What the dispatcher knows when an attempt begins.
	Probe   bool // the target is paused, and this attempt shows whether it is back
	Revived bool // and it could not be reached at all before
}

// A Source holds the items. Its clock decides what is due.
//
// Items of one target with the same lane are in strict order, that of their
// arrival: only the first of them that is open, the head of the lane, is ever
// due, whatever process asks. The lane moves on when its head is closed; a head
// that waits for its next attempt keeps the others waiting. An item that is
// opened again is in its old place, but never ahead of a head that is due or
// leased. Lanes do not wait for each other.
type Source[T any] interface {
	// Claim leases items that are due, at most want[target] for each target and
	// none for others, the longest due first. An item whose lease has run out is
	// due. The claim is durable when Claim returns. next is when the next item
	// of these targets falls due, zero if none waits; items left over because
	// want was smaller do not count.
	Claim(ctx context.Context, want map[string]int, lease time.Duration) (items []Item[T], next time.Time, err error)
	// Renew extends leases to now + lease and returns those that are lost.
	Renew(ctx context.Context, leases []Lease, lease time.Duration) (lost []Lease, err error)
	// Release gives back items that were claimed and not attempted, as if they
	// had not been claimed. Lost leases are passed over.
	Release(ctx context.Context, leases []Lease) error
}

// Health is what an attempt says about its target.
type Health uint8

// What it says.
const (
	Silent  Health = iota // nothing: it was not asked, or was interrupted
	Well                  // it answered sensibly
	Busy                  // it wants fewer
	Trouble               // it is in trouble and should be spared
	Down                  // it cannot be reached at all
)

// Report is what came of an attempt for its target.
type Report struct {
	Health Health
	Took   time.Duration // the target, to answer
	Pause  time.Duration // that it asked to be left alone for, 0 for none
}
