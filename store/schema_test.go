package store_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// TestSchema1IsUpgraded: a database that only the first migration has made keeps
// its events, their states and their trail, and takes moves, lanes and
// connections.
func TestSchema1IsUpgraded(t *testing.T) {
	path, ctx := filepath.Join(t.TempDir(), "postern.db"), t.Context()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(database.DialectSQLite3, db, os.DirFS("migrations/sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(ctx, 1); err != nil {
		t.Fatal(err)
	}
	db.Close()
	for _, statement := range []string{
		`INSERT INTO events (seq, id, webhook, account, event_id, variant, weak, verified, type, key, occurred, received, sha256, size)
		 VALUES (7, 'old', 'hook', 'acct', 'evt_1', 1, 0, 1, 'thing', 'k', 0, 1700000000000000, zeroblob(32), 2)`,
		`INSERT INTO bodies VALUES (7, '{"X-Kind":["a"]}', x'7b7d')`,
		`INSERT INTO deliveries VALUES (1792, 'hook', 'retrying', 1700000001000000, 2, 1, 1000000, 'push', 'because')`,
		`INSERT INTO transitions VALUES (1792, 1, 1700000000000000, 'received', 'processing', 1, 0, 0, '', '', '')`,
		`INSERT INTO transitions VALUES (1792, 2, 1700000000500000, 'processing', 'retrying', 1, 503, 20, 'because', '', '')`,
	} {
		raw(t, path, statement)
	}
	if b, err := store.Backup(ctx, path, filepath.Join(t.TempDir(), "backup.db"), false); err != nil || b.Schema != 1 || b.Events != 1 || b.Connections != 0 {
		t.Errorf("a backup of it: %+v, %v", b, err)
	}
	s, err := store.OpenSQLite(ctx, path, store.Options{Replica: "here-1"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	box := s.Inbox()
	items, _, err := box.Claim(ctx, map[string]int{"hook": 2}, time.Minute)
	if err != nil || len(items) != 1 || string(items[0].Work.Event.Body) != "{}" || items[0].Lane != "" || items[0].Work.Attempt != 2 {
		t.Fatalf("claimed %+v, %v", items, err)
	}
	if err := box.Finish(ctx, items[0].Lease, inbound.Move{To: inbound.Applied, Attempt: 2}); err != nil {
		t.Fatal(err)
	}
	r, err := box.Show(ctx, "old")
	if err != nil || r.Status != inbound.Applied || len(r.Trail) != 4 {
		t.Fatalf("%+v, %v", r, err)
	}
	if r.Trail[1].Replica != "" || r.Trail[2].Replica != "here-1" || r.Trail[3].Replica != "here-1" {
		t.Errorf("moved by %q, %q and %q", r.Trail[1].Replica, r.Trail[2].Replica, r.Trail[3].Replica)
	}
	if _, err := s.Connections().Save(ctx, storetest.Row("p", "a"), connection.Move{}); err != nil {
		t.Error(err)
	}
}
