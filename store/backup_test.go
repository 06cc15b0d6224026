package store_test

import (
	"bufio"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// TestBackupRestore backs up while another process stores and delivers, kills
// that, and restores into a new folder: all that was acknowledged before the
// backup began is there, and known.
func TestBackupRestore(t *testing.T) {
	path, backup := filepath.Join(t.TempDir(), "postern.db"), filepath.Join(t.TempDir(), "backup.db")
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), crashEnv+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	stored := map[string]bool{}
	enough, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			what, id, _ := strings.Cut(lines.Text(), " ")
			if what != "stored" || strings.Count(id, "-") != 2 {
				continue
			}
			mu.Lock()
			if stored[id] = true; len(stored) == 500 {
				close(enough)
			}
			mu.Unlock()
		}
	}()
	select {
	case <-enough:
	case <-ended:
		t.Fatal("the other process ended")
	}
	mu.Lock()
	var before []string
	for id := range stored {
		before = append(before, id)
	}
	mu.Unlock()
	got, err := store.Backup(t.Context(), path, backup, false)
	if err != nil {
		t.Error(err)
	}
	if _, err := store.Backup(t.Context(), path, backup, false); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("over a file that is there: %v", err)
	}
	_ = cmd.Process.Kill()
	<-ended
	_ = cmd.Wait()
	if got.Events < int64(len(before)) || got.Deliveries != got.Events || got.Schema < 3 || got.Size == 0 {
		t.Errorf("%+v with %d acknowledged", got, len(before))
	}
	if st, err := os.Stat(backup); err != nil || st.Mode().Perm() != 0o600 || st.Size() != got.Size {
		t.Errorf("%+v, %v", st, err)
	}
	if all, _ := filepath.Glob(filepath.Join(filepath.Dir(backup), "*")); len(all) != 1 {
		t.Errorf("left beside it: %v", all)
	}

	restored := filepath.Join(t.TempDir(), "postern.db")
	text, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(restored, text, 0o600); err != nil {
		t.Fatal(err)
	}
	box := open(t, restored).Inbox()
	for _, id := range before {
		e, err := box.Body(t.Context(), id)
		if err != nil || len(e.Body) != e.Size {
			t.Fatalf("acknowledged %s: %v", id, err)
		}
		again := *e
		again.ID = "again-" + id
		if known, what, err := storetest.Insert(t.Context(), box, &again, "hook"); known != id || what != inbound.Duplicate || err != nil {
			t.Fatalf("%s again: %s, %v, %v", id, known, what, err)
		}
	}
	if n, _ := box.Count(t.Context(), inbound.Filter{}); int64(n.N) != got.Events {
		t.Errorf("%d events, want %d", n.N, got.Events)
	}
	if _, what, err := storetest.Insert(t.Context(), box, storetest.Event("new", "new", "{}"), "hook"); what != inbound.Stored || err != nil {
		t.Errorf("a new event: %v, %v", what, err)
	}
}

// TestBackupOfAStoppedDatabase also replaces a file, and refuses what is none.
func TestBackupOfAStoppedDatabase(t *testing.T) {
	from, to := strings.TrimPrefix(sqliteAt(t, 100), "sqlite:"), filepath.Join(t.TempDir(), "a 'quoted' ?name#.db")
	for range 2 {
		if got, err := store.Backup(t.Context(), from, to, true); err != nil || got.Events != 100 || got.Connections != 10 {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if n, _ := open(t, to).Inbox().Count(t.Context(), inbound.Filter{}); n.N != 100 {
		t.Errorf("%d events", n.N)
	}
	other := filepath.Join(t.TempDir(), "x.db")
	if _, err := store.Backup(t.Context(), filepath.Join(t.TempDir(), "none.db"), other, false); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("of nothing: %v", err)
	}
	junk := filepath.Join(t.TempDir(), "junk.db")
	if err := os.WriteFile(junk, []byte(strings.Repeat("junk", 5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Backup(t.Context(), junk, other, false); err == nil {
		t.Error("of junk: no error")
	}
	foreign := filepath.Join(t.TempDir(), "foreign.db")
	raw(t, foreign, "CREATE TABLE x (y)")
	if _, err := store.Backup(t.Context(), foreign, other, false); err == nil || !strings.Contains(err.Error(), "not a database of Postern") {
		t.Errorf("of another's: %v", err)
	}
	if _, err := os.Stat(other); err == nil {
		t.Error("a failed backup has left a file")
	}
	if all, _ := filepath.Glob(filepath.Join(filepath.Dir(other), ".*")); len(all) != 0 {
		t.Errorf("left behind: %v", all)
	}
}

// TestBackupGoesOn shows that a backup has every table, as it is, and that whoever
// follows what happens goes on in it where they were.
func TestBackupGoesOn(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "from.db"), filepath.Join(t.TempDir(), "to.db")
	live := open(t, from)
	box := live.Inbox()
	for i := range 5 {
		if _, _, err := storetest.Insert(t.Context(), box, storetest.Event(fmt.Sprintf("id-%d", i), fmt.Sprintf("evt_%d", i), "{}"), "hook"); err != nil {
			t.Fatal(err)
		}
	}
	now, err := box.Feed(t.Context(), "", 10)
	if err != nil {
		t.Fatal(err)
	}
	items, _, err := box.Claim(t.Context(), map[string]int{"hook": 2}, time.Minute)
	if err != nil || len(items) != 2 {
		t.Fatalf("claimed %d, %v", len(items), err)
	}
	if _, err := store.Backup(t.Context(), from, to, false); err != nil {
		t.Fatal(err)
	}
	schema := func(path string) (out []string) {
		db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		rows, err := db.QueryContext(t.Context(), "SELECT name, type FROM sqlite_master ORDER BY name")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var names [][2]string
		for rows.Next() {
			var n [2]string
			if err := rows.Scan(&n[0], &n[1]); err != nil {
				t.Fatal(err)
			}
			names = append(names, n)
		}
		for _, n := range names {
			line := n[0]
			if n[1] == "table" {
				var count int
				if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM "`+n[0]+`"`).Scan(&count); err != nil {
					t.Fatal(err)
				}
				line += fmt.Sprint(" ", count)
			}
			out = append(out, line)
		}
		return out
	}
	if a, b := schema(from), schema(to); !slices.Equal(a, b) || len(a) < 20 {
		t.Errorf("the backup has\n%v\nwant\n%v", b, a)
	}
	restored := open(t, to).Inbox()
	page, err := restored.Feed(t.Context(), now.Next, 10)
	if err != nil || len(page.All) != 2 || page.All[1].Move == nil || page.All[1].Move.To != inbound.Processing {
		t.Errorf("gone on: %+v, %v", page.All, err)
	}
	if again, _, err := restored.Claim(t.Context(), map[string]int{"hook": 10}, time.Minute); err != nil || len(again) != 5 {
		t.Errorf("%d are due in the backup, %v, want all: whoever had them is gone", len(again), err)
	}
}
