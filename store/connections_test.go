package store_test

import (
	"path/filepath"
	"testing"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// conform is who opens the stores of the conformance suite.
var conform = store.Options{Replica: storetest.Replica}

func TestMemoryConnections(t *testing.T) {
	storetest.Connections(t, func(*testing.T) (a, b connection.Store) {
		m := store.NewMemory()
		m.Replica = storetest.Replica
		return m.Connections(), m.Connections()
	})
}

func TestSQLiteConnections(t *testing.T) {
	storetest.Connections(t, func(t *testing.T) (a, b connection.Store) {
		s, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "postern.db"), conform)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		return s.Connections(), s.Connections()
	})
}

func TestPostgresConnections(t *testing.T) {
	storetest.Connections(t, func(t *testing.T) (a, b connection.Store) {
		url := peers.Database(t)
		return postgres(t, url, conform).Connections(), postgres(t, url, conform).Connections()
	})
}

// TestF15ConnectionsThroughPgBouncer: one handle goes through a pooler in
// transaction mode, the other does not.
func TestF15ConnectionsThroughPgBouncer(t *testing.T) {
	bouncer := peers.PgBouncerFor(t, peers.Shared(t), peers.PgBouncerOptions{Settings: map[string]string{"default_pool_size": "4"}})
	storetest.Connections(t, func(t *testing.T) (a, b connection.Store) {
		url := peers.Database(t)
		return postgres(t, through(t, bouncer, url), conform).Connections(), postgres(t, url, conform).Connections()
	})
}
