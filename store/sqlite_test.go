package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// TestF9OneProcess: a second opening of the same file is refused with a reason,
// and the file is free again afterwards.
func TestF9OneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.db")
	first, err := store.OpenSQLite(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.OpenSQLite(t.Context(), path, store.Options{})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("another Postern (process %d) uses it", os.Getpid())) {
		t.Errorf("second: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestPrivateFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.db")
	insert(t, open(t, path).Inbox(), 1)
	files, _ := filepath.Glob(path + "*")
	if len(files) < 3 {
		t.Fatalf("only %v", files)
	}
	for _, f := range files {
		if st, err := os.Stat(f); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, st.Mode(), err)
		}
	}
}

func insert(t testing.TB, s inbound.Store, n int) {
	t.Helper()
	for i := range n {
		if _, _, err := storetest.Insert(context.Background(), s, storetest.Event(fmt.Sprintf("id-%d", i), fmt.Sprintf("evt_%d", i), "{}"), "hook"); err != nil {
			t.Fatal(err)
		}
	}
}

// raw opens the file past the store.
func raw(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

func TestF43NewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.db")
	s, err := store.OpenSQLite(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	raw(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
	if _, err := store.OpenSQLite(t.Context(), path, store.Options{}); err == nil || !strings.Contains(err.Error(), "used by a newer Postern") {
		t.Errorf("opened: %v", err)
	}
}

func TestF10DamageIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.db")
	s, err := store.OpenSQLite(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	insert(t, s.Inbox(), 500)
	s.Close()
	raw(t, path, "PRAGMA journal_mode = DELETE") // everything is in the file now
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	st, _ := f.Stat()
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = 0xa5
	}
	for page := int64(2); page < st.Size()/4096; page += 2 {
		if _, err := f.WriteAt(noise, page*4096); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	if _, err := store.OpenSQLite(t.Context(), path, store.Options{}); err == nil || !strings.Contains(err.Error(), "the database is damaged") {
		t.Errorf("opened: %v", err)
	}
	bodies := filepath.Join(t.TempDir(), "bodies.db") // nothing but a check reads those at the start
	if s, err = store.OpenSQLite(t.Context(), bodies, store.Options{}); err != nil {
		t.Fatal(err)
	}
	insert(t, s.Inbox(), 10)
	s.Close()
	raw(t, bodies, "PRAGMA journal_mode = DELETE")
	db, err := sql.Open("sqlite", bodies)
	if err != nil {
		t.Fatal(err)
	}
	var root int64
	if err := errors.Join(db.QueryRow("SELECT rootpage FROM sqlite_master WHERE name = 'bodies'").Scan(&root), db.Close()); err != nil {
		t.Fatal(err)
	}
	if f, err = os.OpenFile(bodies, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(noise, (root-1)*4096); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if s, err := store.OpenSQLite(t.Context(), bodies, store.Options{}); err == nil || !strings.Contains(err.Error(), "the database is damaged") {
		t.Errorf("opened with damaged bodies: %v", err)
		if err == nil {
			s.Close()
		}
	}
	text := filepath.Join(t.TempDir(), "text.db")
	os.WriteFile(text, []byte(strings.Repeat("this is no database\n", 1000)), 0o600)
	if _, err := store.OpenSQLite(t.Context(), text, store.Options{}); err == nil {
		t.Error("a text file was opened")
	}
}

// TestBatchesDoNotShareMistakes: of many changes that are committed together, one
// that cannot be made fails alone.
func TestBatchesDoNotShareMistakes(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "postern.db")).Inbox()
	var wg sync.WaitGroup
	errs := make([]error, 100)
	for i := range errs {
		wg.Go(func() {
			e := storetest.Event(fmt.Sprintf("id-%d", i), fmt.Sprintf("evt_%d", i), "{}")
			if i%10 == 3 {
				e.ID = "taken" // breaks a constraint that dedupe does not handle
			}
			_, _, errs[i] = storetest.Insert(context.Background(), s, e, "hook")
		})
	}
	wg.Wait()
	failed := 0
	for i, err := range errs {
		if err != nil {
			failed++
			if i%10 != 3 {
				t.Errorf("event %d: %v", i, err)
			}
		}
	}
	if n, _ := s.Count(t.Context(), inbound.Filter{}); failed != 9 || n.N != 91 {
		t.Errorf("%d failed, %d stored, want 9 and 91", failed, n.N)
	}
}

func TestCancelledInsert(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "postern.db")).Inbox()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := storetest.Insert(ctx, s, storetest.Event("1", "1", "{}"), "hook"); err == nil {
		t.Error("no error after the caller left")
	}
	insert(t, s, 3)
}

func TestClosedStore(t *testing.T) {
	s, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "postern.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("ready: %v", err)
	}
	s.Close()
	if err := s.Ready(t.Context()); err == nil {
		t.Error("ready although it is closed")
	}
}

// TestF5DiskFull: on a disk that fills up nothing is acknowledged that is not
// stored, and all goes on by itself when there is room again.
func TestF5DiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("SKIPPED, NOT PASSED: a small disk needs the right to mount: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	s, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "postern.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	box := s.Inbox()
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var acked []string
	refused := 0
	for i := 0; i < 1000 && refused < 5; i++ {
		id := fmt.Sprintf("id-%d", i)
		if _, _, err := storetest.Insert(t.Context(), box, storetest.Event(id, id, strings.Repeat("x", 10<<10)), "hook"); err != nil {
			refused++
		} else {
			acked = append(acked, id)
		}
	}
	if refused < 5 || len(acked) == 0 {
		t.Fatalf("%d acknowledged, %d refused: the disk never filled up", len(acked), refused)
	}
	if s.Ready(t.Context()) == nil {
		t.Log("a probe still fits")
	}
	if _, err := box.List(t.Context(), inbound.Filter{}); err != nil {
		t.Errorf("reads stopped: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if _, _, err := storetest.Insert(t.Context(), box, storetest.Event("after", "after", "{}"), "hook"); err != nil {
		t.Errorf("with room again: %v", err)
	}
	for _, id := range append(acked, "after") {
		if e, err := box.Body(t.Context(), id); err != nil || len(e.Body) != e.Size {
			t.Errorf("acknowledged %s: %v", id, err)
		}
	}
}

// TestTallyCounts shows that what is kept in memory about the deliveries is what
// stands in the database, after all that can happen to them.
func TestTallyCounts(t *testing.T) {
	storetest.Inbox(t, func(t *testing.T) inbound.Store {
		s := open(t, filepath.Join(t.TempDir(), "postern.db"))
		t.Cleanup(func() {
			if kept, counted := s.Tally(), s.Recount(t); !maps.Equal(kept, counted) {
				t.Errorf("kept %v, counted %v", kept, counted)
			}
		})
		return s.Inbox()
	})
}
