package oversight

import (
	"context"
	"errors"
	"time"
)

// Watch names what is kept of one kind of oversight over a webhook, for an account
// that may be "".
type Watch struct{ Kind, Webhook, Account string }

// Row is what is kept for a watch.
type Row struct {
	Watch
	Value []byte // nil for nothing
	Busy  bool   // somebody holds its lease
}

// Key is how a provider names an event.
type Key struct{ Account, EventID string }

// Named is what a store says of an event that a list names.
type Named struct {
	First      bool // no list has named it before, but for this page
	Backfilled bool // it came of a list, and not by a push
}

// Seen is an event that no list has named.
type Seen struct {
	ID, Type, Account string
	At                time.Time // when it happened, or was received if it does not say
	Backfilled        bool
}

// Tally counts the events of a webhook that are kept. Expected is Received and
// Backfilled.
type Tally struct {
	Expected   int `json:"expected"`            // a list named them
	Received   int `json:"received"`            // and they had come by themselves
	Backfilled int `json:"backfilled"`          // and they had not
	Late       int `json:"late"`                // of the backfilled: those that came by themselves after all
	Unknown    int `json:"unknown_to_provider"` // had come, and no list that should have named them did
}

// ErrLease says that a lease is another's by now.
var ErrLease = errors.New("somebody else has taken it over")

// Store keeps what oversight has found out. What a method reports as done is
// durable when it returns. Its clock is the one by which leases end. Package
// storetest says in detail what is promised.
type Store interface {
	// Take gets the lease of w for whoever has token; false if another has it. It
	// returns what is kept for w.
	Take(ctx context.Context, w Watch, token string, lease time.Duration) (value []byte, ok bool, err error)
	// Keep stores value under a lease that was taken, and renews it; 0 gives it back, and
	// if there is no value either, nothing is kept of w any more. It returns [ErrLease] if another has taken it since.
	Keep(ctx context.Context, w Watch, token string, value []byte, lease time.Duration) error
	// Watches lists what is kept of a kind, by webhook and account.
	Watches(ctx context.Context, kind string) ([]Row, error)

	// Known says for each key whether an event of the webhook has it: its id, or "". One
	// that is deleted has it for as long as it has to be known.
	Known(ctx context.Context, webhook string, keys []Key) (ids []string, err error)
	// Name takes note of events, by their ids, that a page of a list names. One that is
	// gone is passed over. page is a number of the page, more than 0: asked again for the
	// same one, by who did not learn or keep the answer, it says the same.
	Name(ctx context.Context, page int64, ids []string) ([]Named, error)
	// Late takes note of a push of a backfilled event, by its id.
	Late(ctx context.Context, id string) error
	// LateSince counts what was noted as late of a webhook, of one account unless that is
	// "", after a time and until grace ago, which it returns. Times are the store's.
	LateSince(ctx context.Context, webhook, account string, after time.Time, grace time.Duration) (n int, until time.Time, err error)
	// Unnamed calls each with the events of a webhook, received at or after since, that
	// no list has named, the newest first; requests that brought several are none.
	Unnamed(ctx context.Context, webhook string, since time.Time, each func(Seen)) error
	// Unknown takes note of events, by their ids, that a list should have named. It
	// returns how many are new to it; one that was named meanwhile is passed over.
	Unknown(ctx context.Context, ids []string) (int, error)
	// Tally counts, by webhook.
	Tally(ctx context.Context) (map[string]Tally, error)
}
