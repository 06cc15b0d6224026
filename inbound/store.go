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
	Surplus              // as many bodies under the same key as are kept are there: this one is not stored
)

// MaxVariants is how many bodies are kept under one key.
const MaxVariants = 8

// Placement is one delivery of an event as it is stored.
type Placement struct {
	Target string
	State  State     // received, quarantined or ignored; "" is received. Of a conflict all but what is ignored are in state conflict, or all
	Origin Origin    // "" is push
	Due    time.Time // zero is now
	Reason string
}

// To places an event with targets, in state received.
func To(targets ...string) []Placement {
	all := make([]Placement, len(targets))
	for i, t := range targets {
		all[i].Target = t
	}
	return all
}

// Arrival is an event on its way into the store, and what came of it.
type Arrival struct {
	Event *Event // its Variant is ignored
	To    []Placement
	// Anew is set for a copy of a stored event: that its key and its body are known
	// is no reason not to store it. It is a duplicate only if its ID is known.
	Anew bool
	// By is who asked for a copy; its trail begins with that.
	By string

	Misfit string        // what of it does not fit its schema, in words; "" if it fits or has none
	Keep   time.Duration // how long the marks of its lanes are kept, at least, if it has a rank
	// Listed is set where a provider's list names the event: whose key is known is a
	// duplicate then, whatever its body.
	Listed bool

	// Backfilled is set for a duplicate of an event that came of a list; its body may
	// be another.
	Backfilled bool

	ID   string // of the stored event, or of the one that Event is a duplicate of
	What Insertion
	Old  int // how many of the deliveries began as ignored, because the mark of their lane is over the event's rank
}

// Store keeps events, their deliveries and the audit trail. What a method
// reports as done is durable when the method returns. Its clock is the one that
// decides what is due and when a lease ends. Package storetest says in detail
// what is promised.
type Store interface {
	// Insert stores events in this order, each with its deliveries, and fills in ID
	// and What. An error means that any of them may or may not be stored: asked
	// again with the same Event.ID it answers as it would have the first time.
	Insert(ctx context.Context, all ...*Arrival) error

	// Claim, Renew and Release are those of a queue; a claim moves to
	// processing and counts an attempt, a release moves back to received, or to
	// retrying if there were attempts before, and uncounts it.
	queue.Source[Delivery]

	// Finish moves a claimed delivery on, or returns [queue.ErrStale] if the
	// lease no longer holds, and an error if the state machine has no such move.
	Finish(ctx context.Context, lease queue.Lease, m Move) error

	// Lane returns what there is to know about the lane of a claimed delivery, or
	// [queue.ErrStale].
	Lane(ctx context.Context, lease queue.Lease) (Lane, error)
	// Sweep ignores, for this reason, what is open in the lane of a claimed delivery up
	// to a place in the order of arrival, but for that delivery and others that are
	// claimed, and returns those moves; or [queue.ErrStale].
	Sweep(ctx context.Context, lease queue.Lease, upTo int64, reason string) ([]Transition, error)

	// Act makes the moves of a on the deliveries of one page of matching events.
	// Deliveries in other states are passed over, and those of an event without its
	// body are never opened.
	Act(ctx context.Context, a Action, f Filter, by string) (Acted, error)

	// List returns one page of events, the newest first. It looks at so many events
	// and no more: a page that is not full may have a next one, even an empty one.
	List(ctx context.Context, f Filter) (Page, error)
	// Count returns how many events match, whatever limit and cursor. It stops after
	// a while and says so.
	Count(ctx context.Context, f Filter) (Counted, error)
	// Feed returns up to about n things that happened after cursor, in order: events
	// that were stored and moves that were made. An empty cursor is now.
	Feed(ctx context.Context, cursor string, n int) (Notices, error)
	// Groups returns the groups of events that match and are in quarantine because
	// they do not fit their schema, the largest first, at most [MaxPage].
	Groups(ctx context.Context, f Filter) ([]Group, error)
	// Show returns one event without its body, or [ErrNotFound].
	Show(ctx context.Context, id string) (*Record, error)
	// Body returns one event with its body, or [ErrNotFound], or [ErrEmptied].
	Body(ctx context.Context, id string) (*Event, error)
	// Stats counts deliveries by webhook and state.
	Stats(ctx context.Context) ([]Stat, error)

	// Prune deletes up to n events of which no delivery is open or has moved
	// since before, and returns how many.
	Prune(ctx context.Context, before time.Time, n int) (int, error)
	// Empty removes the headers and the bodies of up to n events, those that were
	// received first, until so many bytes of bodies are free; 0 is no limit. Every
	// delivery of such an event is applied or ignored, and has not moved since before.
	// It returns of how many events, and how many bytes.
	Empty(ctx context.Context, before time.Time, bytes int64, n int) (int, int64, error)
	// Finished is how many bytes the bodies have that Empty may remove.
	Finished(ctx context.Context) (int64, error)
}

// Group is what events in quarantine have in common that do not fit their schema
// in the same way.
type Group struct {
	Webhook, Type, Misfit string
	Count                 int
	First, Last           time.Time // when the first and the last of them were received
	Example               string    // Event.ID of the newest
	Reason                string    // why that one is in quarantine: the places that do not fit
}

// Stat is how many events of a webhook have a delivery in a state; where it is open,
// to one target.
type Stat struct {
	Webhook string
	Target  string // "" unless the state is open
	State   State
	Count   int
	Oldest  time.Time // when the oldest of them was received; zero unless the state is open
}
