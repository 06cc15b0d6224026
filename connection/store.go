package connection

import (
	"context"
	"time"
)

// A Store keeps connections. What a method reports as done is on disk when it
// returns. It may be shared by several processes; its clock decides about time,
// and Now is set in every row that it returns.
type Store interface {
	// Load returns a row, or [ErrUnknown].
	Load(ctx context.Context, k Key) (Row, error)
	// Save writes r if the stored row still has the fence of r; a fence of 0 means
	// that there must be none. It adds m to the history in the same transaction and
	// returns the row as it is stored then, its fence grown. Otherwise it returns
	// [ErrStale] and nothing is changed.
	Save(ctx context.Context, r Row, m Move) (Row, error)
	// List returns the rows that match, in the order of their keys.
	List(ctx context.Context, f Filter) ([]Row, error)
	// Stats counts the connections by provider and state, in the order of both.
	Stats(ctx context.Context) ([]Stat, error)
	// Changed returns the rows that were written at or after since, in any order,
	// and the time now, both by the clock of the store. A write that was under way
	// may show up a little later with an earlier time: callers ask with an overlap.
	Changed(ctx context.Context, since time.Time) (rows []Row, now time.Time, err error)
	// History returns the last moves of a connection, the newest first.
	History(ctx context.Context, k Key, limit int) ([]Move, error)

	// Keep stores a ticket; one with this ID must not be there.
	Keep(ctx context.Context, t Ticket) error
	// Look returns a ticket that has not expired, or [ErrUnknown].
	Look(ctx context.Context, id []byte) (Ticket, error)
	// Take removes and returns a ticket that has not expired, or [ErrUnknown]: of
	// several who take the same one, one gets it.
	Take(ctx context.Context, id []byte) (Ticket, error)
}
