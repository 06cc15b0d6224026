package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
	"github.com/postern-proxy/postern/replica"
)

// Postgres is a PostgreSQL database that several replicas may use at once. It
// keeps no state in a session, so a pooler in transaction mode may be between.
//
// Read postgres.go for what it is made of, postgres_pool.go for connections,
// postgres_flush.go for how changes of many callers become one statement; then
// postgres_insert.go, postgres_claim.go, postgres_finish.go, postgres_lane.go,
// postgres_act.go and postgres_read.go for the inbox,
// postgres_connections.go, postgres_connections_read.go and postgres_tickets.go
// for connections, postgres_answers.go and postgres_answers_end.go for calls with
// an idempotency key, postgres_maintain.go for partitions, postgres_wake.go for how
// replicas wake each other.
type Postgres struct {
	pool    *pgxpool.Pool
	where   string
	replica string
	opt     Options
	promise promise

	inserts  *flusher[*insertion]
	finishes *flusher[*finish]
	begins   *flusher[*beginning]
	ends     *flusher[*conclusion]

	lost lostClaims

	overridden atomic.Bool // the server would not wait for the disk by itself
	pooled     atomic.Bool // a pooler is between
	alone      atomic.Bool // no other replica lives
	news       chan struct{}
	stop       context.CancelFunc
	running    sync.WaitGroup
	stats      statsCache
}

// OpenPostgres connects to the database at url, waits a while for one that is
// starting, brings its schema up to date and looks at how durable it is. It
// refuses a server that is too old and a schema of a newer Postern.
func OpenPostgres(ctx context.Context, url string, o Options) (*Postgres, error) {
	if err := CheckURL(url); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	p := &Postgres{replica: escaped(o.Replica), opt: o, news: make(chan struct{}, 1)}
	config, err := p.config(url)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	p.where = location(config.ConnConfig)
	if err := p.start(ctx, config); err != nil {
		if p.pool != nil {
			p.pool.Close()
		}
		return nil, fmt.Errorf("open the store %s: %w", p.where, err)
	}
	return p, nil
}

func (p *Postgres) start(ctx context.Context, config *pgxpool.Config) (err error) {
	// The pool lives longer than ctx.
	if p.pool, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), config); err != nil {
		return err
	}
	if err := p.await(ctx); err != nil {
		return err
	}
	if p.promise, err = p.inspect(ctx); err != nil {
		return err
	}
	if err := p.migrate(ctx, config.ConnConfig); err != nil {
		return err
	}
	p.inserts = newFlusher(flushers, p.insertAll)
	p.finishes = newFlusher(flushers, p.finishAll)
	p.begins = newFlusher(flushers, p.beginAll)
	p.ends = newFlusher(flushers, p.endAll)
	background, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.running.Go(func() { p.notify(background) })
	if !p.pooled.Load() {
		p.running.Go(func() { p.listen(background, config.ConnConfig.Copy()) })
	}
	return nil
}

// Inbox returns p as the store of an inbox.
func (p *Postgres) Inbox() inbound.Store { return postgresInbox{p} }

type postgresInbox struct{ *Postgres }

var _ queue.Source[inbound.Delivery] = postgresInbox{}

// Members returns p as a place in which replicas leave word of themselves.
func (p *Postgres) Members() replica.Members { return postgresReplicas{p} }

// Leases returns p as the place of named leases.
func (p *Postgres) Leases() replica.Leases { return postgresReplicas{p} }

// Where names server and database, without password and parameters.
func (p *Postgres) Where() string { return p.where }

// Promise says what was found when the database was opened.
func (p *Postgres) Promise() (sentence string, sure bool) { return p.promise.sentence, p.promise.sure }

// Ready reports whether the database can be written now.
func (p *Postgres) Ready(ctx context.Context) error {
	return p.write(ctx, quick, func(b *pgx.Batch) {
		b.Queue("INSERT INTO postern_notes (name, at) VALUES ('probe', now()) ON CONFLICT (name) DO UPDATE SET at = excluded.at")
	})
}

// Close writes what waits and closes the connections. The store must not be used
// any more.
func (p *Postgres) Close() error {
	p.inserts.close()
	p.finishes.close()
	p.begins.close()
	p.ends.close()
	p.stop()
	p.running.Wait()
	p.pool.Close()
	return nil
}

// How long a statement may take, waiting for a connection included.
const (
	quick   = 5 * time.Second  // one row or one batch
	slow    = 30 * time.Second // a search, and an event whose caller has no deadline
	patient = 2 * time.Minute  // the housekeeping
)
