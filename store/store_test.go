package store_test

import (
	"path/filepath"
	"testing"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Inbox(t, func(*testing.T) inbound.Store { return store.NewMemory().Inbox() })
}

func TestSQLite(t *testing.T) {
	storetest.Inbox(t, func(t *testing.T) inbound.Store { return open(t, filepath.Join(t.TempDir(), "postern.db")).Inbox() })
}

// open opens a database that is closed with the test.
func open(t testing.TB, path string) *store.SQLite {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}
