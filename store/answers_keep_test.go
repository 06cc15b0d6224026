package store_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/policy/idempotency"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// places are a new database of each kind, as [store.Open] names it.
var places = map[string]func(*testing.T) string{
	"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "postern.db") },
	"postgres": func(t *testing.T) string { return peers.Database(t) },
}

func opened(t *testing.T, where string, o store.Options) store.Database {
	t.Helper()
	db, err := store.Open(t.Context(), where, o)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// made makes calls that are done, unknown and still running.
func made(t *testing.T, s idempotency.Store, n int) {
	t.Helper()
	for i := range n {
		c := storetest.Claim(fmt.Sprint("key ", i), "p")
		if got, err := s.Begin(t.Context(), c); err != nil || got.Found != idempotency.Begun {
			t.Fatalf("%+v, %v", got, err)
		}
		e := idempotency.Ending{State: idempotency.Done, Keep: time.Duration(i+1) * time.Hour}
		switch i % 3 {
		case 0:
			e.Answer = bytes.Repeat([]byte{byte(i), 0, 0xff}, 100)
		case 1:
			e.State, e.Why = idempotency.Unknown, "ö \x00"
		case 2:
			continue
		}
		if err := s.End(t.Context(), c.Lease, &e); err != nil {
			t.Fatal(err)
		}
	}
}

func found(t *testing.T, s idempotency.Store, i int) idempotency.Standing {
	t.Helper()
	got, err := s.Begin(t.Context(), storetest.Claim(fmt.Sprint("key ", i), "p"))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestCopyAnswers: a repeat is known in the copy, too, and a call that was running
// is nobody's any more.
func TestCopyAnswers(t *testing.T) {
	for from, one := range places {
		for to, other := range places {
			t.Run(from+" to "+to, func(t *testing.T) {
				source, dest := one(t), other(t)
				db := opened(t, source, store.Options{})
				made(t, db.Answers(), 120)
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				sum, err := store.Copy(t.Context(), source, dest, func(store.Progress) {})
				if err != nil || sum.Answers != 120 {
					t.Fatalf("%+v, %v", sum, err)
				}
				db = opened(t, dest, store.Options{})
				defer db.Close()
				for i := range 120 {
					got := found(t, db.Answers(), i)
					want := []idempotency.Finding{idempotency.Replay, idempotency.Open, idempotency.Open}[i%3]
					if got.Found != want || want == idempotency.Replay && !bytes.Equal(got.Answer, bytes.Repeat([]byte{byte(i), 0, 0xff}, 100)) || i%3 == 1 && got.Why != "ö \x00" {
						t.Fatalf("call %d stands as %+v", i, got)
					}
				}
				if _, err := store.Copy(t.Context(), source, dest, func(store.Progress) {}); err == nil {
					t.Error("a database with answers is copied into")
				}
			})
		}
	}
}

// TestMaintainAnswers: what has expired is forgotten, but not while it runs; of too
// much the oldest answers go, and that their calls were made stays known.
func TestMaintainAnswers(t *testing.T) {
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			db := opened(t, place(t), store.Options{Answers: 300 * 10})
			defer db.Close()
			s := db.Answers()
			made(t, s, 60) // 20 answers of 300 bytes
			for i, e := range []idempotency.Ending{{State: idempotency.Unknown, Keep: time.Millisecond}, {State: idempotency.Done, Keep: time.Millisecond}} {
				c := storetest.Claim(fmt.Sprint("short ", i), "p")
				if _, err := s.Begin(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				if err := s.End(t.Context(), c.Lease, &e); err != nil {
					t.Fatal(err)
				}
			}
			running := storetest.Claim("running", "p")
			running.Keep = time.Millisecond
			if _, err := s.Begin(t.Context(), running); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
			if err := db.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, err := s.Begin(t.Context(), storetest.Claim("running", "p")); err != nil || got.Found != idempotency.InFlight {
				t.Errorf("a running call is %+v, %v", got, err)
			}
			for i := 0; i < 60; i += 3 {
				got := found(t, s, i)
				if kept := i >= 30; kept != (got.Found == idempotency.Replay) || !kept && (got.Found != idempotency.Open || !got.Acted || got.Why == "") {
					t.Errorf("answer %d: %+v", i, got)
				}
			}
			if rows := count(t, db); rows != 61 {
				t.Errorf("%d rows are left, want 61", rows)
			}
		})
	}
}

// count is how many calls a database knows: those that are copied.
func count(t *testing.T, db store.Database) (n int64) {
	t.Helper()
	n, err := store.AnswersIn(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestBackupHasAnswers: a backup is a database that knows the same calls.
func TestBackupHasAnswers(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "postern.db"), filepath.Join(t.TempDir(), "backup.db")
	db := opened(t, "sqlite:"+from, store.Options{})
	made(t, db.Answers(), 3)
	if _, err := store.Backup(t.Context(), from, to, false); err != nil {
		t.Fatal(err)
	}
	db.Close()
	db = opened(t, "sqlite:"+to, store.Options{})
	defer db.Close()
	for i, want := range []idempotency.Finding{idempotency.Replay, idempotency.Open, idempotency.Open} {
		if got := found(t, db.Answers(), i); got.Found != want {
			t.Errorf("call %d stands as %+v", i, got)
		}
	}
}
