package store

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-proxy/postern/connection"
)

const (
	maxName      = 256  // bytes of each part of a connection's key: it has to fit into an index
	historyKept  = 1000 // moves of each connection; of those that are too old the last one stays
	prunedAtOnce = 1000 // rows in one transaction
)

var errTicket = errors.New("a ticket with this ID is there already")

// checkConnection says what is wrong with a row that is to be saved.
func checkConnection(r *connection.Row) error {
	for _, part := range []string{r.Provider, r.Account, r.Credential} {
		if len(part) > maxName {
			return fmt.Errorf("save a connection: its key has a part of %d bytes, %d are possible", len(part), maxName)
		}
	}
	switch {
	case r.Provider == "":
		return errors.New("save a connection: it has no provider")
	case !r.State.Valid():
		return fmt.Errorf("save a connection: there is no state %q", r.State)
	case r.Fence < 0:
		return fmt.Errorf("save a connection: its fence is %d", r.Fence)
	}
	return nil
}

// checkTicket says what is wrong with a ticket that is to be kept.
func checkTicket(t *connection.Ticket) error {
	switch {
	case len(t.ID) == 0 || len(t.ID) > maxName:
		return fmt.Errorf("keep a ticket: its ID has %d bytes", len(t.ID))
	case moment(t.Expires) == nil:
		return errors.New("keep a ticket: it does not expire")
	}
	return nil
}

// kept is r as every store keeps it, in memory of its own: times to the
// microsecond, none where no calendar has them, and nothing where it is empty.
func kept(r connection.Row) connection.Row {
	for _, t := range []*time.Time{&r.Obtained, &r.Expiry, &r.RefreshExpiry, &r.RevokeDue, &r.Until} {
		*t = instant(*t)
	}
	for _, b := range []*[]byte{&r.Access, &r.Refresh, &r.Extra} {
		*b = append([]byte(nil), *b...)
	}
	for _, list := range []*[]string{&r.Hosts, &r.Needs, &r.Granted} {
		*list = append([]string(nil), *list...)
	}
	return r
}

// instant is t as every store keeps it.
func instant(t time.Time) time.Time {
	if moment(t) == nil {
		return time.Time{}
	}
	return fromMicro(t.UnixMicro())
}

// saved is r after a write that grew its fence at a time.
func saved(r connection.Row, created, changed time.Time) connection.Row {
	r.Fence++
	r.Created, r.Changed, r.Now = created, changed, changed
	return r
}

// eachOf is f of every text of a list.
func eachOf(f func(string) string, list []string) []string {
	out := slices.Clone(list)
	for i, s := range out {
		out[i] = f(s)
	}
	return out
}

// turn is a move of a connection with its place in the history.
type turn struct {
	connection.Move
	fence int64 // of the connection after the move
}

func movesOf(turns []turn) (all []connection.Move) {
	for _, t := range turns {
		all = append(all, t.Move)
	}
	return all
}
