package store_test

import (
	"path/filepath"
	"testing"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/oversight"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

func TestMemoryOversight(t *testing.T) {
	storetest.Oversight(t, func(*testing.T) (inbound.Store, oversight.Store) {
		m := store.NewMemory()
		return m.Inbox(), m.Oversight()
	})
}

func TestSQLiteOversight(t *testing.T) {
	storetest.Oversight(t, func(t *testing.T) (inbound.Store, oversight.Store) {
		s := open(t, filepath.Join(t.TempDir(), "postern.db"))
		return s.Inbox(), s.Oversight()
	})
}

func TestPostgresOversight(t *testing.T) {
	storetest.Oversight(t, func(t *testing.T) (inbound.Store, oversight.Store) {
		p := postgres(t, peers.Database(t), store.Options{Replica: "r1"})
		return p.Inbox(), p.Oversight()
	})
}
