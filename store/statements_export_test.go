package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync/atomic"
	"testing"
)

// OpenCounted opens a database at path, and counts in n the statements that are made
// on it from then on.
func OpenCounted(t testing.TB, path string, n *atomic.Int64) *SQLite {
	t.Helper()
	// The driver is found by its name, and a name is registered once.
	name := "counted " + path
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	sql.Register(name, counting{db.Driver(), n})
	s, err := OpenSQLite(t.Context(), path, Options{driver: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	n.Store(0)
	return s
}

// counting is a driver that counts statements.
type counting struct {
	driver.Driver
	n *atomic.Int64
}

func (d counting) Open(name string) (driver.Conn, error) {
	c, err := d.Driver.Open(name)
	return countedConn{c, d.n}, err
}

type countedConn struct {
	driver.Conn
	n *atomic.Int64
}

func (c countedConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	c.n.Add(2) // and its end
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

func (c countedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.n.Add(1)
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c countedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.n.Add(1)
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c countedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	return countedStmt{s, c.n}, err
}

type countedStmt struct {
	driver.Stmt
	n *atomic.Int64
}

func (s countedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.n.Add(1)
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s countedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.n.Add(1)
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

// Hold keeps the writer from writing until release is called: what is asked for until
// then is committed together.
func (s *SQLite) Hold() (release func()) {
	held, free := make(chan struct{}), make(chan struct{})
	go s.do(context.Background(), 0, func(*tx) error {
		close(held)
		<-free
		return nil
	})
	<-held
	return func() { close(free) }
}

// Fail asks for a change that cannot be made.
func (s *SQLite) Fail() {
	_ = s.do(context.Background(), 0, func(*tx) error { return errors.New("not to be made") })
}

// Asked is how many changes wait for the writer.
func (s *SQLite) Asked() int { return len(s.ops) }
