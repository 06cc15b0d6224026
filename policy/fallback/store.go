package fallback

import (
	"context"
	"errors"
	"time"
)

// A Store keeps answers beyond the life of a process. They are of use, and of no
// need: a store may forget any.
type Store interface {
	// Put keeps rows, each instead of the one of its ID before.
	Put(ctx context.Context, rows []Row) error
	// Get returns the row of an ID, not ok if there is none, or it is of no use any
	// more.
	Get(ctx context.Context, id ID) (row Row, ok bool, err error)
}

// Row is an answer in a store.
type Row struct {
	ID     ID
	Sealed []byte
	Until  time.Time // it is of use until then
}

// Check says what is wrong with a row.
func (r *Row) Check() error {
	if len(r.Sealed) == 0 || r.Until.IsZero() {
		return errors.New("keep an answer: it has to be sealed, and to end")
	}
	return nil
}
