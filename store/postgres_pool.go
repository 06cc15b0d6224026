package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	connectWithin = 3 * time.Second
	openWithin    = 10 * time.Second // for a server that is starting
	connections   = 10               // unless the URL has pool_max_conns
)

var errURL = errors.New(`its URL cannot be read: it must be like "postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full"`)

// config reads the URL. Its errors never show it: it may hold a password.
func (p *Postgres) config(url string) (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errURL
	}
	if !strings.Contains(url, "pool_max_conns") {
		c.MaxConns = connections
	}
	c.MaxConnIdleTime, c.HealthCheckPeriod, c.PingTimeout = 5*time.Minute, 15*time.Second, time.Second
	cc := c.ConnConfig
	// No prepared statement outlives a transaction, but parameters are binary.
	cc.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	if cc.ConnectTimeout == 0 || cc.ConnectTimeout > connectWithin {
		cc.ConnectTimeout = connectWithin
	}
	if cc.RuntimeParams["application_name"] == "" {
		cc.RuntimeParams["application_name"] = "postern"
	}
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 2 * time.Second, Interval: time.Second, Count: 2}, Control: giveUpOnSilence}
	cc.DialFunc = dialer.DialContext
	// Whatever the URL says: a server that cannot write is of no use. Where it
	// names several, the one that can is found.
	cc.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	cc.OnPgError = func(_ *pgconn.PgConn, e *pgconn.PgError) bool {
		return e.Severity != "FATAL" && e.SeverityUnlocalized != "FATAL" && e.Code != readOnly
	}
	cc.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { p.notified(n) }
	c.AfterConnect = p.meet
	return c, nil
}

// location names what config connects to, without a secret.
func location(c *pgx.ConnConfig) string {
	at := func(host string, port uint16) string {
		if strings.HasPrefix(host, "/") {
			return host
		}
		return net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	hosts := []string{at(c.Host, c.Port)}
	for _, f := range c.Fallbacks {
		if next := at(f.Host, f.Port); next != hosts[len(hosts)-1] {
			hosts = append(hosts, next)
		}
	}
	return "postgres://" + c.User + "@" + strings.Join(hosts, ",") + "/" + c.Database
}

// meet looks at every new connection: at what the server would do by itself, and
// whether it is the server.
func (p *Postgres) meet(ctx context.Context, c *pgx.Conn) error {
	var pid uint32
	var commit string
	if err := c.QueryRow(ctx, "SELECT pg_backend_pid(), current_setting('synchronous_commit')").Scan(&pid, &commit); err != nil {
		return err
	}
	if commit == "off" {
		p.overridden.Store(true)
	}
	if pid != c.PgConn().PID() {
		p.pooled.Store(true)
	}
	return nil
}

// await connects, and waits for a server that is not there yet.
func (p *Postgres) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	for {
		err := p.pool.Ping(ctx)
		if err == nil {
			return nil
		}
		var e *pgconn.PgError
		if errors.As(err, &e) && !passes(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it cannot be reached: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// readOnly is the SQLSTATE of a write to a standby.
const readOnly = "25006"

// passing are the SQLSTATEs of what may go better in a moment, by their
// beginning: connections, transactions that another one was in the way of, a
// server that starts or stops, too many connections.
var passing = []string{"08", "40", "57P0", "53300", "55P03", readOnly}

// passes reports whether the same statement may succeed later: the server or the
// way to it was in trouble, not the statement.
func passes(err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return !errors.Is(err, errClosed)
	}
	for _, code := range passing {
		if strings.HasPrefix(e.Code, code) {
			return true
		}
	}
	return false
}

// blames reports whether the statement itself is what the server did not like:
// then it may be one row of many.
func blames(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && !passes(err) && !strings.HasPrefix(e.Code, "53") && !strings.HasPrefix(e.Code, "58") && !strings.HasPrefix(e.Code, "XX")
}

// saw draws conclusions from an error: after a failover every connection to the
// old primary is given up, not one after the other.
func (p *Postgres) saw(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == readOnly {
		p.pool.Reset()
	}
	return err
}

// send makes one round trip and one transaction of a batch. What reads its
// results are the functions queued with it.
func (p *Postgres) send(ctx context.Context, within time.Duration, b *pgx.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return p.saw(p.pool.SendBatch(ctx, b).Close())
}

// write is send for what must be on disk afterwards.
func (p *Postgres) write(ctx context.Context, within time.Duration, queue func(*pgx.Batch)) error {
	b := &pgx.Batch{}
	if p.overridden.Load() {
		b.Queue("SELECT set_config('synchronous_commit', 'on', true)")
	}
	queue(b)
	return p.send(ctx, within, b)
}

// look is read for a query that goes through an index, whatever the planner thinks. It
// may take it for a long one, though it is not: to compile it would take longer than
// the query itself. And the index of what is open is large for as long as the database
// remembers a storm, though little stands in it: to read the table instead takes 200 ms
// in an inbox of a million.
func (p *Postgres) look(ctx context.Context, scan func(pgx.Rows) error, query string, args ...any) error {
	return p.again(ctx, scan, func(ctx context.Context, scan func(pgx.Rows) error) error {
		b := &pgx.Batch{}
		b.Queue("SELECT set_config('jit', 'off', true), set_config('enable_seqscan', 'off', true)") // for this transaction
		b.Queue(query, args...).Query(func(rows pgx.Rows) error { return each(rows, scan) })
		return p.pool.SendBatch(ctx, b).Close()
	})
}

// read runs a query, again if the connection was lost before a row was read:
// what only reads may be repeated.
func (p *Postgres) read(ctx context.Context, scan func(pgx.Rows) error, query string, args ...any) error {
	return p.again(ctx, scan, func(ctx context.Context, scan func(pgx.Rows) error) error {
		return p.once(ctx, scan, query, args)
	})
}

func (p *Postgres) once(ctx context.Context, scan func(pgx.Rows) error, query string, args []any) error {
	rows, err := p.pool.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	return each(rows, scan)
}

// again does what reads rows until it has not failed for a reason that passes.
func (p *Postgres) again(ctx context.Context, scan func(pgx.Rows) error, do func(context.Context, func(pgx.Rows) error) error) error {
	ctx, cancel := context.WithTimeout(ctx, slow)
	defer cancel()
	began := false
	first := func(r pgx.Rows) error { began = true; return scan(r) }
	for wait := firstPause; ; wait = min(2*wait, lastPause) {
		err := p.saw(do(ctx, first))
		if err == nil || began || !passes(err) || !pause(ctx, wait) {
			return err
		}
	}
}

// each reads all rows.
func each(rows pgx.Rows, scan func(pgx.Rows) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
