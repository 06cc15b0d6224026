package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime"
	"time"
)

const (
	maxBatch     = 256     // operations in one transaction
	maxBatchSize = 4 << 20 // and bytes they bring
	maxWaiting   = 4096    // operations that wait; more wait for room
	lettingIn    = 2       // times that others may run before a transaction begins
	workWithin   = 30 * time.Second
)

var errClosed = errors.New("the store is closed")

// op is one change: run, or else events that are stored or a delivery that is moved
// on, which are written together with those of others. Several are committed
// together; each is made again alone if one of them fails, so it must start from
// nothing every time it is made.
type op struct {
	ctx     context.Context
	size    int
	brief   bool // what run does is bounded: nothing has to interrupt it
	run     func(*tx) error
	inserts []arriving
	finish  *finishing
	done    chan error // gets exactly one value, after the commit
}

// do has run make a change, and returns when it is on disk. If ctx ends first
// the change may be made all the same.
func (s *SQLite) do(ctx context.Context, size int, run func(*tx) error) error {
	return s.submit(ctx, &op{size: size, run: run})
}

// submit has the writer make a change, as [SQLite.do] does.
func (s *SQLite) submit(ctx context.Context, o *op) error {
	o.ctx, o.done = ctx, make(chan error, 1)
	select {
	case s.ops <- o:
	case <-ctx.Done():
		return fmt.Errorf("the store is busy: %w", ctx.Err())
	case <-s.done:
		return errClosed
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the store is slow: %w", ctx.Err())
	case <-s.done:
		select {
		case err := <-o.done:
			return err
		default:
			return errClosed
		}
	}
}

// writer is the only goroutine that writes. It takes one change, drains what
// waits, and commits all of it together; it waits for nobody who is not running.
func (s *SQLite) writer() {
	defer close(s.done)
	w := &session{db: s.write, replica: s.replica, tally: &s.tally}
	defer w.close()
	for {
		select {
		case first := <-s.ops:
			s.commit(w, s.drain(first))
		case <-s.stop:
			for len(s.ops) > 0 {
				s.commit(w, s.drain(<-s.ops))
			}
			return
		}
	}
}

// drain returns first and what else is to be committed with it. Who can run is let in
// before: where processors are few, those are the callers that the commit before has
// answered, and their next changes.
func (s *SQLite) drain(first *op) []*op {
	batch, size := []*op{first}, first.size
	for let := 0; len(batch) < s.batch && size < maxBatchSize; {
		select {
		case o := <-s.ops:
			batch, size = append(batch, o), size+o.size
		default:
			if let == lettingIn {
				return batch
			}
			let++
			runtime.Gosched()
		}
	}
	return batch
}

// commit makes the changes of a batch in one transaction. If that fails, each
// is tried in one of its own, so that nobody pays for another's mistake.
func (s *SQLite) commit(w *session, batch []*op) {
	live := batch[:0]
	for _, o := range batch {
		if err := o.ctx.Err(); err != nil { // nobody waits for it any more
			o.done <- err
			continue
		}
		live = append(live, o)
	}
	if len(live) == 0 {
		return
	}
	err := w.transact(live)
	if err == nil || len(live) == 1 {
		for _, o := range live {
			o.done <- err
		}
		return
	}
	for _, o := range live {
		o.done <- w.transact([]*op{o})
	}
}

// session is the writer's connection and its prepared statements.
type session struct {
	db      *sql.DB
	replica string // who makes the moves
	tally   *tally
	conn    *sql.Conn
	stmts   map[string]*sql.Stmt
	texts   map[rowsText]string
	args    []any      // for the next statement on many rows
	block   *openBlock // that is being filled; nil if it has to be read
}

// tx is what a change is made with, inside a transaction.
type tx struct {
	ctx    context.Context // of its statements; one that can end costs each of them a goroutine
	w      *session
	counts map[place]int // what it changes of the tally
}

func (w *session) transact(ops []*op) error {
	err := w.attempt(ops)
	if err != nil {
		w.recover(err)
	}
	return err
}

func (w *session) attempt(ops []*op) error {
	// Not the context of an operation: giving up one must not undo the others.
	t := &tx{ctx: context.Background(), w: w}
	if err := w.ready(t.ctx); err != nil {
		return err
	}
	if err := t.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := t.make(ops); err != nil {
		return err
	}
	if err := t.exec("COMMIT"); err != nil {
		w.tally.doubt()
		return err
	}
	w.tally.add(t.counts)
	return nil
}

// make makes changes; a panic in one is an error. They were asked for at the same
// time, so that their order is free: what is stored comes first and may be claimed
// at once, and events keep the order in which they came.
func (t *tx) make(ops []*op) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	var inserts []*arriving
	var finishes []*finishing
	for _, o := range ops {
		for i := range o.inserts {
			inserts = append(inserts, &o.inserts[i])
		}
		if o.finish != nil {
			finishes = append(finishes, o.finish)
		}
	}
	if err := t.insertAll(inserts); err != nil {
		return err
	}
	if err := t.finishAll(finishes); err != nil {
		return err
	}
	for _, o := range ops {
		if o.run == nil {
			continue
		}
		if err := t.run(o); err != nil {
			return err
		}
	}
	return nil
}

// run makes a change of many statements, or of unknown size, within [workWithin].
func (t *tx) run(o *op) error {
	if o.brief {
		return o.run(t)
	}
	lasting := t.ctx
	ctx, cancel := context.WithTimeout(lasting, workWithin)
	defer func() { t.ctx = lasting; cancel() }()
	t.ctx = ctx
	return o.run(t)
}

// ready opens the connection if there is none, and makes sure that it is one
// whose commits are durable.
func (w *session) ready(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if err := checkDurable(ctx, conn); err != nil {
		conn.Close()
		return err
	}
	w.conn, w.stmts = conn, map[string]*sql.Stmt{}
	return nil
}

// SQLite's result codes after which a connection is not trusted any more:
// READONLY, IOERR, CORRUPT, CANTOPEN, NOTADB.
var untrusted = map[int]bool{8: true, 10: true, 11: true, 14: true, 26: true}

// recover brings the session to a state in which the next transaction can begin.
func (w *session) recover(cause error) {
	w.block = nil
	if w.conn == nil {
		return
	}
	_, err := w.conn.ExecContext(context.Background(), "ROLLBACK")
	// After a failed COMMIT, SQLite may have rolled back by itself.
	if untrusted[primary(cause)] || err != nil && primary(err) != 1 {
		w.forget()                                                   // first: SQLite does not outlive a statement of a connection that is gone
		_ = w.conn.Raw(func(any) error { return driver.ErrBadConn }) // do not use it again
		w.close()
	}
}

// forget ends the prepared statements.
func (w *session) forget() {
	for _, st := range w.stmts {
		st.Close()
	}
	w.stmts = nil
}

func (w *session) close() {
	w.forget()
	if w.conn != nil {
		w.conn.Close()
	}
	w.conn = nil
}

func (t *tx) stmt(query string) (*sql.Stmt, error) {
	if st := t.w.stmts[query]; st != nil {
		return st, nil
	}
	st, err := t.w.conn.PrepareContext(t.ctx, query)
	if err == nil {
		t.w.stmts[query] = st
	}
	return st, err
}

// exec runs a statement whose text is constant.
func (t *tx) exec(query string, args ...any) error {
	_, err := t.change(query, args...)
	return err
}

// change is exec that tells how many rows it changed.
func (t *tx) change(query string, args ...any) (int64, error) {
	st, err := t.stmt(query)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(t.ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// each calls scan for every row of a query whose text is constant.
func (t *tx) each(scan func(*sql.Rows) error, query string, args ...any) error {
	st, err := t.stmt(query)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(t.ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
