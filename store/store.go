// Package store keeps what must outlive a request.
//
// Read store.go for what every database offers, config.go for how one is
// named; then, for SQLite, sqlite.go for how it is opened and what is checked
// first, writer.go for the one goroutine that writes, inbox_write.go,
// inbox_claim.go, inbox_lane.go and inbox_read.go for the inbox, and
// connections.go, connections_write.go and connections_read.go for connections,
// answers.go and answers_sqlite.go for calls with an idempotency key, stale.go for
// answers when a provider is down;
// for PostgreSQL, postgres.go, which says how to go on. memory.go, memory_agenda.go,
// memory_lane.go, memory_read.go, memory_connections.go, memory_answers.go and
// memory_outbox.go are the same without a disk. The outbox of both databases is outbox.go, which says how to go
// on; oversight.go is what reconciliation and its like keep, in both; migrations
// holds the schemas. copy.go, copy_sum.go, copy_connections.go and those of each database,
// with copy in their names, bring everything from one database into another,
// backup.go into a file. Package storetest says what every implementation
// promises.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/oversight"
	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/policy/fallback"
	"github.com/postern-proxy/postern/policy/idempotency"
	"github.com/postern-proxy/postern/replica"
)

// A Database keeps everything. What a method reports as done is durable when it
// returns, as far as [Database.Promise] says.
type Database interface {
	Inbox() inbound.Store
	Connections() connection.Store
	Answers() idempotency.Store
	Stale() fallback.Store
	Outbox() outbox.Store
	Oversight() oversight.Store
	// Members and Leases are nil if no other process can use the database.
	Members() replica.Members
	Leases() replica.Leases

	// Ready reports whether the database can be written now.
	Ready(ctx context.Context) error
	// Maintain does what one process has to do for all every few minutes.
	Maintain(ctx context.Context) error
	// Where names the database, without a secret.
	Where() string
	// Promise says in one sentence what an acknowledged event survives; sure is
	// false if a crash of a machine may lose some.
	Promise() (sentence string, sure bool)
	// Close ends what was begun. The database must not be used any more.
	Close() error
}

// Options are what a database is told. Every one may be left out.
type Options struct {
	Replica string // who makes moves, for the audit trail
	// Retain is how long the history of a connection is kept, but for its last
	// move; 0 is for ever.
	Retain time.Duration
	// Answers is how many bytes of answers under idempotency keys are kept; of more
	// than that the oldest go. 0 is no limit.
	Answers int64
	// Wake is called when another process has stored something that is due.
	Wake func()
	// Trouble is told what failed in the background.
	Trouble func(doing string, err error)

	copying bool   // it is the destination of a copy
	driver  string // of SQLite, "" for the usual one
}

func (o *Options) trouble(doing string, err error) {
	if o.Trouble != nil {
		o.Trouble(doing, err)
	}
}

func (o *Options) wake() {
	if o.Wake != nil {
		o.Wake()
	}
}

// Open opens the database that where names, as [Config.Where] words it, and
// brings its schema up to date.
func Open(ctx context.Context, where string, o Options) (Database, error) {
	if path, ok := strings.CutPrefix(where, "sqlite:"); ok {
		s, err := OpenSQLite(ctx, path, o)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	p, err := OpenPostgres(ctx, where, o)
	if err != nil {
		return nil, err
	}
	return p, nil
}

var errNoBody = errors.New("its body is not in the database")

func errIllegal(from, to inbound.State) error {
	return fmt.Errorf("there is no move from %s to %s", from, to)
}
