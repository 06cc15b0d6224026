package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/queue"
)

var (
	// ErrNotFound says that there is no call of this id.
	ErrNotFound = errors.New("no such call")
	// ErrCursor says that a filter's cursor is none that a page named.
	ErrCursor = errors.New("this cursor is none that a page named")
)

// Store keeps calls and their audit trail. What a method reports as done is
// durable when it returns. Its clock decides what is due and when a lease ends.
// Package storetest says in detail what is promised.
type Store interface {
	// Add stores c, whose Created, Changed, Due and Attempt are set by the store.
	// Where a call with the same Once is there already, nothing is stored and that
	// one is returned, and c itself otherwise. An error means that c may or may not
	// be stored: asked again with the same ID it answers as it would have the first
	// time.
	Add(ctx context.Context, c *Call) (*Call, error)

	// Claim, Renew and Release are those of a queue: a claim moves to sending and
	// counts an attempt, a release moves back and uncounts it. Work is the call as
	// it was before the claim, with Attempt counted; it has Request, and no Result.
	queue.Source[Call]

	// Finish moves a claimed call on, or returns [queue.ErrStale] if the lease no
	// longer holds, and an error if the state machine has no such move.
	Finish(ctx context.Context, lease queue.Lease, m Move) error

	// Act makes one move of a call that nobody has claimed, if it is in one of the
	// states that a starts from; otherwise the transition is nil. A call that is
	// opened begins with attempt 1, at the end of its lane.
	Act(ctx context.Context, id string, a Action) (*Transition, error)

	// List returns one page of calls without what is sealed, the newest first.
	List(ctx context.Context, f Filter) (Page, error)
	// Count returns how many calls match, whatever limit and cursor.
	Count(ctx context.Context, f Filter) (int, error)
	// Show returns one call with its trail, or [ErrNotFound].
	Show(ctx context.Context, id string) (*Record, error)
	// Stats counts calls by provider, kind and state.
	Stats(ctx context.Context) ([]Stat, error)
	// Marks returns how to know again the dead letters that wait for a person or are
	// sent again, at most limit, the newest first.
	Marks(ctx context.Context, limit int) ([]Mark, error)

	// Heads counts the calls that are to be sent, or wait for a person, by the first
	// [seal.HeadSize] bytes of what is sealed of them.
	Heads(ctx context.Context) (map[string]int, error)

	// Prune deletes up to n calls that are not open and have not moved since
	// before, and returns how many.
	Prune(ctx context.Context, before time.Time, n int) (int, error)
}

// Action is one guarded move that is not the end of an attempt.
type Action struct {
	From   []State
	To     State
	Reason string
	By     string
	Clear  bool           // of the doubt
	Force  bool           // sets Forced until it is claimed
	Due    time.Duration  // from now, if To is open
	Life   time.Duration  // until there is no other attempt, if To is open; 0 leaves it
	Out    policy.Outcome // "" leaves it
}

// Mark is how an open dead letter is known again.
type Mark struct {
	ID       string
	Provider string
	Key      []byte
	Print    []byte
	Created  time.Time
}

// Stat is how many calls of a provider are in a state.
type Stat struct {
	Provider string
	Kind     Kind
	State    State
	Count    int
}

// Record is what is known of one call.
type Record struct {
	Call
	Trail []Transition // oldest first
}

// MaxPage is how many calls one page holds at most; DefaultPage if no limit is
// given.
const (
	MaxPage     = 1000
	DefaultPage = 50
)

// Filter selects calls. The zero value selects all. Its fields are all to match;
// a list matches if any of it does.
type Filter struct {
	IDs       []string
	Kind      Kind
	Of        string // callbacks about this call
	Providers []string
	Account   string
	Client    string
	State     State
	Outcome   policy.Outcome
	Since     time.Time // created at or after
	Until     time.Time // created before
	Error     string    // part of the reason of the last move
	Limit     int
	Cursor    string // Page.Next of the page before
}

// PageSize is the limit that holds.
func (f *Filter) PageSize() int {
	if f.Limit <= 0 {
		return DefaultPage
	}
	return min(f.Limit, MaxPage)
}

// Page is one page of a list.
type Page struct {
	Calls []Call
	Next  string // "" on the last page
}
