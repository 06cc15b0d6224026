package main

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver
)

// schema is as wide as an inbox needs: the hot row, the body apart from it, and a delivery per target.
const schema = `
CREATE TABLE events (
	id          INTEGER PRIMARY KEY,
	webhook     TEXT NOT NULL,
	account     TEXT NOT NULL,
	event_id    TEXT NOT NULL,
	variant     INTEGER NOT NULL,
	type        TEXT NOT NULL,
	lane        TEXT NOT NULL,
	occurred_at INTEGER NOT NULL,
	received_at INTEGER NOT NULL,
	digest      BLOB NOT NULL,
	UNIQUE (webhook, account, event_id, variant)
);
CREATE TABLE bodies (
	event  INTEGER PRIMARY KEY REFERENCES events (id),
	header TEXT NOT NULL,
	body   BLOB NOT NULL
);
CREATE TABLE deliveries (
	id       INTEGER PRIMARY KEY,
	event    INTEGER NOT NULL REFERENCES events (id),
	target   TEXT NOT NULL,
	state    TEXT NOT NULL,
	due_at   INTEGER NOT NULL,
	attempts INTEGER NOT NULL DEFAULT 0,
	lease    INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE state IN ('received', 'retrying');
`

// sqliteRole is the inbox most applications write first: one transaction per event, synchronous=FULL, WAL.
func sqliteRole(args []string) error {
	return serveInbox(args, func(dir string) (keep, func() (int, error), error) {
		store, err := openSQLite(filepath.Join(dir, "baseline.db"))
		if err != nil {
			return nil, nil, err
		}
		return store.keep, store.count, nil
	})
}

type sqliteInbox struct {
	db                    *sql.DB
	event, body, delivery *sql.Stmt
}

func openSQLite(file string) (*sqliteInbox, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // SQLite has one writer: more connections would only wait in it
	if _, err := db.Exec(schema); err != nil {
		return nil, fmt.Errorf("making the schema: %w", err)
	}
	s := &sqliteInbox{db: db}
	for statement, query := range map[**sql.Stmt]string{
		&s.event: `INSERT INTO events (webhook, account, event_id, variant, type, lane, occurred_at, received_at, digest)
			VALUES ('bench', ?, ?, 1, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		&s.body:     `INSERT INTO bodies (event, header, body) VALUES (?, ?, ?)`,
		&s.delivery: `INSERT INTO deliveries (event, target, state, due_at) VALUES (?, 'app', 'received', ?)`,
	} {
		if *statement, err = db.Prepare(query); err != nil {
			return nil, fmt.Errorf("preparing: %w", err)
		}
	}
	return s, nil
}

func (s *sqliteInbox) keep(e event) (err error) {
	tx, err := s.db.Begin()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	at := e.received.UnixMicro()
	done, err := tx.Stmt(s.event).Exec(e.Account, e.ID, e.Type, e.Data.Object.ID, e.Created, at, digest(e.body))
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errors.New("duplicate: every event of this load is new"))
	}
	id, err := done.LastInsertId()
	if err != nil {
		return err
	}
	if _, err := tx.Stmt(s.body).Exec(id, e.header, e.body); err != nil {
		return err
	}
	if _, err := tx.Stmt(s.delivery).Exec(id, at); err != nil {
		return err
	}
	return tx.Commit()
}

func (s *sqliteInbox) count() (n int, err error) {
	err = s.db.QueryRow(`SELECT count(*) FROM deliveries`).Scan(&n)
	return n, err
}
