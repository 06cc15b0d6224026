package store_test

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/policy/fallback"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

func TestMemoryStale(t *testing.T) {
	storetest.Stale(t, func(*testing.T) (a, b fallback.Store) {
		m := store.NewMemory()
		return m.Stale(), m.Stale()
	})
}

func TestSQLiteStale(t *testing.T) {
	storetest.Stale(t, func(t *testing.T) (a, b fallback.Store) {
		s := open(t, filepath.Join(t.TempDir(), "postern.db"))
		return s.Stale(), s.Stale()
	})
}

func TestPostgresStale(t *testing.T) {
	storetest.Stale(t, func(t *testing.T) (a, b fallback.Store) {
		url := peers.Database(t)
		return postgres(t, url, conform).Stale(), postgres(t, url, conform).Stale()
	})
}

// TestStaleMaintained: what is of no use any more goes, and of too many the ones
// that end first.
func TestStaleMaintained(t *testing.T) {
	for name, open := range map[string]func(*testing.T) store.Database{
		"sqlite":   func(t *testing.T) store.Database { return open(t, filepath.Join(t.TempDir(), "postern.db")) },
		"postgres": func(t *testing.T) store.Database { return postgres(t, peers.Database(t), conform) },
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			s, now := db.Stale(), time.Now()
			row := func(i int) fallback.Row {
				return fallback.Row{ID: sha256.Sum256([]byte(fmt.Sprint(i))), Sealed: []byte("x"), Until: now.Add(time.Hour + time.Duration(i)*time.Second)}
			}
			const most = 20_000
			for at := 0; at < most+30; at += 1000 {
				var rows []fallback.Row
				for i := at; i < min(at+1000, most+30); i++ {
					rows = append(rows, row(i))
				}
				if err := s.Put(t.Context(), rows); err != nil {
					t.Fatal(err)
				}
			}
			if err := db.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i, want := range map[int]bool{0: false, 29: false, 30: true, most + 29: true} {
				if _, ok, err := s.Get(t.Context(), row(i).ID); ok != want || err != nil {
					t.Errorf("row %d is there: %v, %v", i, ok, err)
				}
			}
		})
	}
}
