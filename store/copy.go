package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/inbound"
)

// whole is everything that is kept of one event.
type whole struct {
	seq        int64 // its place in the order of arrival, the same in every database
	event      inbound.Event
	deliveries []wholeDelivery
}

type wholeDelivery struct {
	inbound.DeliveryStatus // Due also if it waits
	waits                  bool
	fence                  int64
	wait                   time.Duration
	trail                  []wholeMove
}

type wholeMove struct {
	inbound.Transition
	fence int64
}

// batch collects what is kept of some events.
type batch struct {
	all []whole
	at  map[int64]int // by seq
}

func (b *batch) event(w whole) {
	if b.at == nil {
		b.at = map[int64]int{}
	}
	b.at[w.seq] = len(b.all)
	b.all = append(b.all, w)
}

func (b *batch) delivery(seq int64, d wholeDelivery) error {
	i, ok := b.at[seq]
	if !ok {
		return fmt.Errorf("event %d has a delivery but no body: the database is damaged", seq)
	}
	b.all[i].deliveries = append(b.all[i].deliveries, d)
	return nil
}

// move adds to the trail of a delivery, by its number among those of the event.
func (b *batch) move(seq, n int64, m wholeMove) error {
	i, ok := b.at[seq]
	if !ok || n >= int64(len(b.all[i].deliveries)) {
		return fmt.Errorf("event %d has a trail but no delivery: the database is damaged", seq)
	}
	d := &b.all[i].deliveries[n]
	d.trail = append(d.trail, m)
	return nil
}

// How much is copied in one transaction.
const (
	copyEvents = 1000
	copyBytes  = 16 << 20
)

// copyable is a database that can be copied, from and to.
type copyable interface {
	Database
	// vacate makes sure that no Postern runs on the database and ends the leases
	// of those that did.
	vacate(ctx context.Context) error
	// events counts events, grants what there is besides.
	events(ctx context.Context) (int64, error)
	grants(ctx context.Context) (grants, error)
	// export returns the events that follow seq after, in their order, about as
	// many as fit into one transaction; none at the end.
	export(ctx context.Context, after int64) ([]whole, error)
	// turns returns the moves of a connection, the newest first, and tickets every
	// ticket that can be taken, or could before it expired, in the order of their ids.
	turns(ctx context.Context, k connection.Key, limit int) ([]turn, error)
	tickets(ctx context.Context) ([]connection.Ticket, error)
	// begin makes the database the destination of a copy, or takes up one from the
	// same source that was interrupted. It returns the seq of the last event that
	// is there, and refuses a database with something of its own. Until the copy is
	// ended the database opens for nothing else.
	begin(ctx context.Context, source string) (after int64, err error)
	// add stores events and makes the seq of the last of them the position, if the
	// position is after; all in one transaction.
	add(ctx context.Context, after int64, all []whole) error
	// addConnections and addTickets store those that are not there yet, all in one
	// transaction.
	addConnections(ctx context.Context, all []wholeConnection) error
	addTickets(ctx context.Context, all []connection.Ticket) error
	// someAnswers returns calls with an idempotency key in the order of their ids,
	// those after one, none at the end; addAnswers stores those that are not there yet.
	someAnswers(ctx context.Context, after []byte) ([]*answer, error)
	addAnswers(ctx context.Context, all []*answer) error
	// someKeys and addKeys are those for the keys of deleted events.
	someKeys(ctx context.Context, after goneKey) ([]goneKey, error)
	addKeys(ctx context.Context, all []goneKey) error
	// someMarks and addMarks are those for the marks of lanes.
	someMarks(ctx context.Context, after []byte) ([]laneMark, error)
	addMarks(ctx context.Context, all []laneMark) error
	// end makes the database one to run on.
	end(ctx context.Context) error
}

// Progress says how far a copy has come.
type Progress struct {
	Doing string // copying, verifying
	Done  int64  // events
	Total int64
}

// ErrCopy says that two databases are not the same after a copy.
var ErrCopy = errors.New("the copy is not the same as the source")

// Copy copies everything from one database to another, each named as in [Open],
// and compares the two in the end. What it has copied when it is cut off, at any
// point, stays: the next call goes on from there. No Postern may run on either
// meanwhile. told is called now and then, from one goroutine.
func Copy(ctx context.Context, from, to string, told func(Progress)) (Summary, error) {
	source, err := openCopyable(ctx, from, false)
	if err != nil {
		return Summary{}, fmt.Errorf("the source: %w", err)
	}
	defer source.Close()
	if err := source.vacate(ctx); err != nil {
		return Summary{}, fmt.Errorf("the source %s: %w", source.Where(), err)
	}
	dest, err := openCopyable(ctx, to, true)
	if err != nil {
		return Summary{}, fmt.Errorf("the destination: %w", err)
	}
	defer dest.Close()
	if err := dest.vacate(ctx); err != nil {
		return Summary{}, fmt.Errorf("the destination %s: %w", dest.Where(), err)
	}
	total, err := source.events(ctx)
	if err != nil {
		return Summary{}, fmt.Errorf("the source %s: %w", source.Where(), err)
	}
	if err := copyAll(ctx, source, dest, total, told); err != nil {
		return Summary{}, err
	}
	for _, part := range copyParts() {
		if err := part.copy(ctx, source, dest); err != nil {
			return Summary{}, err
		}
	}
	sum, err := compare(ctx, source, dest, total, told)
	if err != nil {
		return Summary{}, err
	}
	if err := dest.end(ctx); err != nil {
		return Summary{}, fmt.Errorf("the destination %s: %w", dest.Where(), err)
	}
	return sum, nil
}

// openCopyable opens a database; one that is copied from has to be there.
func openCopyable(ctx context.Context, where string, destination bool) (copyable, error) {
	o := Options{Replica: "postern migrate", copying: destination}
	path, ok := strings.CutPrefix(where, "sqlite:")
	if !ok {
		return OpenPostgres(ctx, where, o)
	}
	if _, err := os.Stat(path); err != nil && !destination {
		return nil, err
	}
	return OpenSQLite(ctx, path, o)
}

func copyAll(ctx context.Context, source, dest copyable, total int64, told func(Progress)) error {
	after, err := dest.begin(ctx, source.Where())
	if err != nil {
		return fmt.Errorf("the destination %s: %w", dest.Where(), err)
	}
	done, err := dest.events(ctx)
	if err != nil {
		return fmt.Errorf("the destination %s: %w", dest.Where(), err)
	}
	for {
		told(Progress{"copying", done, total})
		all, err := source.export(ctx, after)
		if err != nil {
			return fmt.Errorf("the source %s: %w", source.Where(), err)
		}
		if len(all) == 0 {
			return nil
		}
		if err := dest.add(ctx, after, all); err != nil {
			return fmt.Errorf("the destination %s: %w", dest.Where(), err)
		}
		after, done = all[len(all)-1].seq, done+int64(len(all))
	}
}

// errForeign is what a destination says that is none.
func errForeign(n int64, what string) error {
	return fmt.Errorf("it holds %d %s already: name an empty database", n, what)
}

func errOtherSource(source string) error {
	return fmt.Errorf("a copy of %s into it was begun: go on with that one, or empty it", source)
}

var errUnfinished = errors.New("a copy into it was begun and not ended: run postern migrate again as before")
