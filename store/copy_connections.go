package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"slices"

	"github.com/postern-proxy/postern/connection"
)

// wholeConnection is everything that is kept of one connection.
type wholeConnection struct {
	row   connection.Row
	turns []turn // the newest first
}

const (
	copyConnectionsAtOnce = 50 // with up to a thousand moves each
	copyTicketsAtOnce     = 1000
)

// grants counts what a database has besides events.
type grants struct{ connections, tickets, answers int64 }

// foreign is an error if there is any of it where there has to be nothing.
func (g grants) foreign() error {
	switch {
	case g.connections > 0:
		return errForeign(g.connections, "connections")
	case g.tickets > 0:
		return errForeign(g.tickets, "tickets")
	case g.answers > 0:
		return errForeign(g.answers, "answers under idempotency keys")
	}
	return nil
}

// eachConnection reads the connections of a database in its order, some at a
// time.
func eachConnection(ctx context.Context, db copyable, do func([]wholeConnection) error) error {
	for f := (connection.Filter{Limit: copyConnectionsAtOnce}); ; {
		rows, err := db.Connections().List(ctx, f)
		if err != nil || len(rows) == 0 {
			return err
		}
		all := make([]wholeConnection, len(rows))
		for i, r := range rows {
			all[i].row = r
			if all[i].turns, err = db.turns(ctx, r.Key, 0); err != nil {
				return err
			}
		}
		if err := do(all); err != nil {
			return err
		}
		f.After = rows[len(rows)-1].Key
	}
}

// copiedGrants are connections and tickets.
type copiedGrants struct{}

func (copiedGrants) copy(ctx context.Context, source, dest copyable) error {
	var destErr error
	err := eachConnection(ctx, source, func(all []wholeConnection) error {
		destErr = dest.addConnections(ctx, all)
		return destErr
	})
	if err == nil {
		var tickets []connection.Ticket
		tickets, err = source.tickets(ctx)
		for part := range slices.Chunk(tickets, copyTicketsAtOnce) {
			if destErr = dest.addTickets(ctx, part); destErr != nil {
				break
			}
		}
	}
	return ofSide(source, dest, err, destErr)
}

// compare implements [copyPart]. The order in which a database has them does not
// count.
func (copiedGrants) compare(ctx context.Context, source, dest copyable, sum *Summary, everything hash.Hash) error {
	var sums [][32]byte
	err := eachConnection(ctx, source, func(all []wholeConnection) error {
		for i := range all {
			digest, err := all[i].same(ctx, dest)
			if err != nil {
				return err
			}
			sums = append(sums, digest)
			sum.Connections++
			sum.ConnectionMoves += int64(len(all[i].turns))
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(sums, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	for _, s := range sums {
		everything.Write(s[:])
	}
	want, err := source.tickets(ctx)
	if err != nil {
		return fmt.Errorf("the source %s: %w", source.Where(), err)
	}
	got, err := dest.tickets(ctx)
	if err != nil {
		return fmt.Errorf("the destination %s: %w", dest.Where(), err)
	}
	a, b := digestOfTickets(want), digestOfTickets(got)
	there, err := dest.grants(ctx)
	if err != nil {
		return fmt.Errorf("the destination %s: %w", dest.Where(), err)
	}
	if a != b || there.connections != sum.Connections {
		return fmt.Errorf("%w: there are %d connections and %d tickets, not %d and %d, or other tickets: empty the destination and begin anew",
			ErrCopy, there.connections, len(got), sum.Connections, len(want))
	}
	everything.Write(a[:])
	sum.Tickets = int64(len(want))
	return nil
}

// same returns the digest of a connection that is the same in dest.
func (w *wholeConnection) same(ctx context.Context, dest copyable) (digest [32]byte, err error) {
	var there wholeConnection
	if there.row, err = dest.Connections().Load(ctx, w.row.Key); err == nil {
		there.turns, err = dest.turns(ctx, w.row.Key, 0)
	}
	if err != nil && !errors.Is(err, connection.ErrUnknown) {
		return digest, fmt.Errorf("the destination %s: %w", dest.Where(), err)
	}
	digest = w.digest()
	if err != nil || there.digest() != digest {
		return digest, fmt.Errorf("%w: the connection %q of %q differs; if the source was used since the copy began, empty the destination and begin anew", ErrCopy, w.row.Account, w.row.Provider)
	}
	return digest, nil
}

func (w *wholeConnection) digest() (sum [32]byte) {
	f := &fields{Hash: sha256.New()}
	r := &w.row
	f.texts(r.Provider, r.Account, r.Credential, string(r.State), r.BaseURL, r.Failure, r.Holder)
	for _, n := range []int64{r.Fence, r.Generation, int64(r.Tries), int64(r.Failures), r.Created.UnixMicro(), r.Changed.UnixMicro()} {
		f.number(n)
	}
	f.bytes(r.Access)
	f.bytes(r.Refresh)
	f.bytes(r.Extra)
	for _, list := range [][]string{r.Hosts, r.Needs, r.Granted} {
		f.number(int64(len(list)))
		f.texts(list...)
	}
	f.time(r.Obtained)
	f.time(r.Expiry)
	f.time(r.RefreshExpiry)
	f.time(r.RevokeDue)
	f.time(r.Until)
	f.number(int64(len(w.turns)))
	for _, m := range w.turns {
		f.number(m.fence)
		f.time(m.At)
		f.texts(string(m.From), string(m.To), m.Reason, m.By, m.Replica)
		f.number(m.Generation)
	}
	f.Sum(sum[:0])
	return sum
}

func digestOfTickets(all []connection.Ticket) (sum [32]byte) {
	f := &fields{Hash: sha256.New()}
	for _, t := range all {
		f.bytes(t.ID)
		f.bytes(t.Sealed)
		f.time(t.Expires)
	}
	f.Sum(sum[:0])
	return sum
}
