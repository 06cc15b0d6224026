package inbound

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// ErrNotFound says that there is no event of this id.
var ErrNotFound = errors.New("no such event")

// ErrEmptied says that the body of an event was removed, see [Store].Empty.
var ErrEmptied = errors.New("its body was removed")

// ErrCursor says that a filter's cursor is none that a page named.
var ErrCursor = errors.New("this cursor is none that a page named")

// MaxPage is how many events one page holds at most; DefaultPage if no limit is
// given.
const (
	MaxPage     = 1000
	DefaultPage = 50
)

// Filter selects events. The zero value selects all. Its fields are all to
// match; a list matches if any of it does.
type Filter struct {
	IDs      []string // Event.ID
	Webhooks []string
	Account  string
	Type     string // one that ends in * is the beginning of types
	EventID  string
	Misfit   string    // Event.Misfit
	State    State     // of any delivery
	Since    time.Time // received at or after
	Until    time.Time // received before
	Batches  bool      // requests that brought several events, too; they are found by their ids without it
	Error    string    // part of the reason of the last move of any delivery
	Limit    int
	Cursor   string // Page.Next of the page before, in the same order
	Oldest   bool   // List begins with the oldest

	// Unmoved is looked at by Act only: a delivery that has moved at or after it is
	// passed over, so that nothing is done twice in what is begun anew.
	Unmoved time.Time
}

// Means reports whether an action on what f selects is about a delivery in this
// state, with this reason of its last move: an event may have others that are not
// meant.
func (f *Filter) Means(s State, reason string) bool {
	return (f.State == "" || f.State == s) && f.OfReason(reason)
}

// OfReason reports whether a reason holds the text that f asks for, in letters of
// either case.
func (f *Filter) OfReason(reason string) bool {
	return f.Error == "" || strings.Contains(strings.ToLower(reason), strings.ToLower(f.Error))
}

// Counted is how many events match.
type Counted struct {
	N    int
	More bool // there are more: counting them all would take too long
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
	Events []Record // without trail
	Next   string   // "" on the last page
}

// Record is what is known of one event, its body left out.
type Record struct {
	Event
	Status     State // see [Status]
	Deliveries []DeliveryStatus
	Trail      []Transition // oldest first; the moves that leave processing are the attempts
}

// DeliveryStatus is where one delivery stands.
type DeliveryStatus struct {
	Target  string
	State   State
	Origin  Origin
	Attempt int
	Due     time.Time // the next attempt, or the end of the lease; otherwise the last move
	Reason  string    // of the last move
	Stand   Standing  // Aside while it is open, Holding if it has failed
}

// Action is what a person may do to events.
type Action string

// The actions.
const (
	ActReplay  Action = "replay"  // deliver again what was applied or has failed
	ActRelease Action = "release" // deliver what is held back
	ActDiscard Action = "discard" // never deliver what is not applied
)

var actions = map[Action]struct {
	from []State
	to   State
}{
	ActReplay:  {[]State{Applied, Failed}, Received},
	ActRelease: {[]State{Quarantined, Conflict, Ignored}, Received},
	ActDiscard: {[]State{Received, Retrying, Failed, Quarantined, Conflict}, Ignored},
}

// Move returns the state that a leads to from another; false where it does not
// apply.
func (a Action) Move(from State) (to State, ok bool) {
	row := actions[a]
	return row.to, slices.Contains(row.from, from)
}

// Known reports whether a is an action.
func (a Action) Known() bool { _, ok := actions[a]; return ok }

// Origin is the origin of deliveries after a, given what it was.
func (a Action) Origin(was Origin) Origin {
	if a == ActReplay {
		return Replay
	}
	return was
}

// Acted is what came of one page of an action.
type Acted struct {
	Events  int // on the page; it may be less than a page, or none, while Next goes on
	Moved   []Transition
	Skipped int    // deliveries in a state that the action does not apply to, or that is not asked for
	Emptied int    // deliveries that would have been made if the body of the event were there
	Next    string // the cursor of the next page, "" when done
}

// List returns one page of events, the newest first.
func (in *Inbox) List(ctx context.Context, f Filter) (Page, error) { return in.opt.Store.List(ctx, f) }

// Count returns how many events match f, whatever its limit and cursor.
func (in *Inbox) Count(ctx context.Context, f Filter) (Counted, error) {
	return in.opt.Store.Count(ctx, f)
}

// Show returns one event, its deliveries and its audit trail, or [ErrNotFound].
func (in *Inbox) Show(ctx context.Context, id string) (*Record, error) {
	return in.opt.Store.Show(ctx, id)
}

// Body returns one event with the bytes as they were received, or [ErrNotFound], or
// [ErrEmptied].
func (in *Inbox) Body(ctx context.Context, id string) (*Event, error) {
	return in.opt.Store.Body(ctx, id)
}

// Stats counts deliveries by webhook and state.
func (in *Inbox) Stats(ctx context.Context) ([]Stat, error) { return in.opt.Store.Stats(ctx) }

// Act does a to one page of the events that match f, the oldest first so that a
// lane keeps its order from page to page, and wakes the deliveries. by names who
// asked and stands in the audit trail. Go on with f.Cursor = Acted.Next: what was
// interrupted can be resumed.
func (in *Inbox) Act(ctx context.Context, a Action, f Filter, by string) (Acted, error) {
	if !a.Known() {
		return Acted{}, errors.New("unknown action: use replay, release or discard")
	}
	f.Oldest = true
	done, err := in.opt.Store.Act(ctx, a, f, by)
	if err != nil {
		return Acted{}, err
	}
	for _, t := range done.Moved {
		in.opt.Observer.moved(t)
	}
	if len(done.Moved) > 0 {
		in.Wake()
	}
	return done, nil
}

// Webhooks lists the webhooks of the policy in force, by name.
func (in *Inbox) Webhooks() []*Webhook { return in.set.Load().hooks }
