package inbound

import (
	"context"
	"time"

	"github.com/postern-proxy/postern/queue"
)

// Insertion is what came of storing an event.
type Insertion uint8

// The insertions.
const (
	Stored     Insertion = iota
	Duplicate            // the same body under the same key is there already
	Conflicted           // another body under the same key is: stored as a further variant, in state conflict
)

// Store keeps events, their deliveries and the audit trail. What a method
// reports as done is durable when the method returns. Its clock is the one that
// decides what is due and when a lease ends. Package storetest says in detail
// what is promised.
type Store interface {
	// Insert stores e with one delivery for each target, in state received. e.Variant
	// is ignored. It returns the id of the stored event, or of the one that e
	// is a duplicate of. An error means that e may or may not be stored: asked
	// again with the same e.ID it answers as it would have the first time.
	Insert(ctx context.Context, e *Event, targets []string) (id string, what Insertion, err error)

	// Claim, Renew and Release are those of a queue; a claim moves to
	// processing and counts an attempt, a release moves back to received, or to
	// retrying if there were attempts before, and uncounts it.
	queue.Source[Delivery]

	// Finish moves a claimed delivery on, or returns [queue.ErrStale] if the
	// lease no longer holds, and an error if the state machine has no such move.
	Finish(ctx context.Context, lease queue.Lease, m Move) error

	// Act makes the moves of a on the deliveries of one page of matching events.
	// Deliveries in other states are passed over.
	Act(ctx context.Context, a Action, f Filter, by string) (Acted, error)

	// List returns one page of events, the newest first.
	List(ctx context.Context, f Filter) (Page, error)
	// Count returns how many events match, whatever limit and cursor.
	Count(ctx context.Context, f Filter) (int, error)
	// Show returns one event without its body, or [ErrNotFound].
	Show(ctx context.Context, id string) (*Record, error)
	// Body returns one event with its body, or [ErrNotFound].
	Body(ctx context.Context, id string) (*Event, error)
	// Stats counts deliveries by webhook and state.
	Stats(ctx context.Context) ([]Stat, error)

	// Prune deletes up to n events of which no delivery is open or has moved
	// since before, and returns how many.
	Prune(ctx context.Context, before time.Time, n int) (int, error)
}

// Stat is how many events of a webhook have a delivery in a state.
type Stat struct {
	Webhook string
	State   State
	Count   int
	Oldest  time.Time // when the oldest of them was received; zero unless the state is open
}
