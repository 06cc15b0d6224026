package store_test

import (
	"path/filepath"
	"testing"

	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

func TestMemoryOutbox(t *testing.T) {
	storetest.Outbox(t, func(*testing.T) outbox.Store { return store.NewMemory().Outbox() })
}

func TestSQLiteOutbox(t *testing.T) {
	storetest.Outbox(t, func(t *testing.T) outbox.Store { return open(t, filepath.Join(t.TempDir(), "postern.db")).Outbox() })
}

func TestPostgresOutbox(t *testing.T) {
	storetest.Outbox(t, func(t *testing.T) outbox.Store {
		return postgres(t, peers.Database(t), store.Options{Replica: "r1"}).Outbox()
	})
}
