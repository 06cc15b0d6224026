package store

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	sqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/replica"
)

//go:embed migrations/sqlite/*.sql
var migrations embed.FS

// minSQLite is the first version without the WAL-reset bug, which loses
// committed writes (sqlite.org/wal.html#the_wal_reset_bug).
const minSQLite = "3.51.3"

// SQLite is a database in one file of this machine, used by this process alone.
type SQLite struct {
	path     string
	replica  string
	retain   time.Duration // of the history of connections; 0 is for ever
	answers  int64         // bytes of answers that are kept; 0 is no limit
	copying  bool          // it is the destination of a copy
	driver   string
	batch    int // operations in one transaction
	tally    tally
	bodies   atomic.Bool // their index is there
	lock     *os.File
	write    *sql.DB   // one connection, owned by the writer
	read     *sql.DB   // query only
	firstDue *sql.Stmt // of read, as whole
	whole    *sql.Stmt
	ops      chan *op
	done     chan struct{} // closed when the writer has ended
	stop     chan struct{}
}

// OpenSQLite opens or creates the database at path, brings its schema up to date
// and checks it. It refuses a file that another process has open, one of a newer
// Postern, and one that is damaged.
func OpenSQLite(ctx context.Context, path string, o Options) (*SQLite, error) {
	return openSQLite(ctx, path, o, maxBatch)
}

func openSQLite(ctx context.Context, path string, o Options, batch int) (*SQLite, error) {
	s := &SQLite{path: path, replica: o.Replica, retain: o.Retain, answers: o.Answers, copying: o.copying, driver: cmp.Or(o.driver, "sqlite"), batch: batch, ops: make(chan *op, maxWaiting), done: make(chan struct{}), stop: make(chan struct{})}
	if err := s.start(ctx); err != nil {
		s.closeFiles()
		return nil, fmt.Errorf("open the store %s: %w", path, damaged(err))
	}
	go s.writer()
	return s, nil
}

func (s *SQLite) start(ctx context.Context) (err error) {
	if s.lock, err = lockFile(s.path + ".lock"); err != nil {
		return err
	}
	// Bodies are personal data: nobody else may read them. SQLite gives its own
	// files beside it the same mode.
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	if s.write, err = connect(s.driver, s.path, "busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "journal_size_limit(67108864)"); err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1)
	if err := checkVersion(ctx, s.write); err != nil {
		return err
	}
	if err := checkDurable(ctx, s.write); err != nil {
		return err
	}
	if err := quickCheck(ctx, s.write); err != nil {
		return err
	}
	if err := migrate(ctx, s.write); err != nil {
		return err
	}
	if from, _, err := copyFrom(ctx, s.write); err != nil {
		return err
	} else if from != "" && !s.copying {
		return errUnfinished
	}
	if err := endLeases(ctx, s.write); err != nil {
		return err
	}
	if err := fillOld(s.write); err != nil {
		return err
	}
	if s.read, err = connect(s.driver, s.path, "busy_timeout(5000)", "query_only(1)"); err != nil {
		return err
	}
	s.read.SetMaxOpenConns(4)
	if s.firstDue, err = s.read.PrepareContext(ctx, peekSQL); err != nil {
		return err
	}
	if s.whole, err = s.read.PrepareContext(ctx, loadSQL); err != nil {
		return err
	}
	return s.countAll(ctx)
}

func connect(driver, path string, pragmas ...string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "file", Path: abs, RawQuery: url.Values{"_pragma": pragmas}.Encode()}
	return sql.Open(driver, u.String())
}

func checkVersion(ctx context.Context, db *sql.DB) error {
	var v string
	if err := db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&v); err != nil {
		return err
	}
	if olderThan(v, minSQLite) {
		return fmt.Errorf("SQLite %s may lose committed writes: at least %s is needed", v, minSQLite)
	}
	return nil
}

// olderThan compares versions such as 3.51.3 number by number.
func olderThan(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range y {
		var m, n int
		if i < len(x) {
			m, _ = strconv.Atoi(x[i])
		}
		if n, _ = strconv.Atoi(y[i]); m != n {
			return m < n
		}
	}
	return false
}

// checkDurable reads back what was set: an acknowledged event must survive a
// power cut.
func checkDurable(ctx context.Context, db interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
},
) error {
	var mode string
	var synchronous int
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if err := db.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&synchronous); err != nil {
		return err
	}
	if mode != "wal" || synchronous != 2 {
		return fmt.Errorf("the database came up with journal_mode %s and synchronous %d instead of wal and 2 (FULL)", mode, synchronous)
	}
	return nil
}

const endLeasesSQL = "UPDATE deliveries SET due = ? WHERE target IN (" + everyTarget + ") AND state = ? AND due > ?"

// endLeases makes what was under way when the process before this one ended due
// now. The lock on the file says that whoever held the leases is gone; their
// fencing tokens stay, so that nothing late can be written under them.
func endLeases(ctx context.Context, db *sql.DB) error {
	now := time.Now().UnixMicro()
	_, err := db.ExecContext(ctx, endLeasesSQL, now, string(inbound.Processing), now)
	if err == nil {
		_, err = db.ExecContext(ctx, "UPDATE connections SET until = ? WHERE until > ?", now, now)
	}
	if err == nil {
		_, err = db.ExecContext(ctx, "UPDATE answers SET until = ? WHERE state = 'sent' AND until > ?", now, now)
	}
	if err == nil {
		_, err = db.ExecContext(ctx, "UPDATE postern_outbox SET due = ? WHERE state = 'sending' AND due > ?", now, now)
	}
	if err == nil {
		_, err = db.ExecContext(ctx, "UPDATE postern_watches SET until = 0 WHERE until > 0")
	}
	if err != nil {
		return fmt.Errorf("end the leases of the process before: %w", err)
	}
	return nil
}

func quickCheck(ctx context.Context, db *sql.DB) error {
	var verdict string
	err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict)
	if err == nil && verdict != "ok" {
		err = errDamaged{errors.New(verdict)}
	}
	return err
}

// errDamaged is a file that SQLite can make no sense of.
type errDamaged struct{ error }

func (e errDamaged) Error() string {
	return "the database is damaged; restore a backup, or move the file away to start anew: " + e.error.Error()
}

func (e errDamaged) Unwrap() error { return e.error }

// damaged gives an error a person's name if SQLite found the file malformed, at
// whichever statement that came to light.
func damaged(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return errDamaged{err}
	}
	return err
}

// migrate brings the schema up to date. There is no way back: a database that a
// newer Postern has changed is refused.
func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(database.DialectSQLite3, db, files)
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the schema version: %w", err)
	}
	sources := p.ListSources()
	newest := sources[len(sources)-1].Version
	if have > newest {
		return fmt.Errorf("it has schema version %d and this Postern knows %d: it was used by a newer Postern, run that one", have, newest)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate the schema from version %d to %d: %w", have, newest, err)
	}
	return nil
}

// Where names the file of the database.
func (s *SQLite) Where() string { return s.path }

// Members and Leases are nil: the file is locked by this process.
func (s *SQLite) Members() replica.Members { return nil }

// Leases is nil.
func (s *SQLite) Leases() replica.Leases { return nil }

// Promise says what [checkDurable] made sure of.
func (s *SQLite) Promise() (sentence string, sure bool) {
	return "an acknowledged event survives a crash of this process and of this machine, as long as its disk does", true
}

// Maintain removes what has no more use, and lets SQLite look after its
// statistics.
func (s *SQLite) Maintain(ctx context.Context) error {
	return errors.Join(s.maintainConnections(ctx), s.maintainAnswers(ctx), s.maintainStale(ctx), s.maintainMarks(ctx), s.do(ctx, 0, func(t *tx) error { return t.exec("PRAGMA optimize") }))
}

// Ready reports whether the store can be written now.
func (s *SQLite) Ready(ctx context.Context) error {
	return s.do(ctx, 0, func(t *tx) error {
		return t.exec("INSERT INTO probe (id, at) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at", time.Now().UnixMicro())
	})
}

// Close ends the writer after what it was given, and closes the database. The
// store must not be used any more.
func (s *SQLite) Close() error {
	close(s.stop)
	<-s.done
	return s.closeFiles()
}

func (s *SQLite) closeFiles() error {
	var errs []error
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// primary is SQLite's result code of err without its extension, 0 if err is not
// SQLite's.
func primary(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}
