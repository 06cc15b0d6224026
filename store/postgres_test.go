package store_test

import (
	"testing"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// postgres opens a database that is closed with the test.
func postgres(t testing.TB, url string, o store.Options) *store.Postgres {
	t.Helper()
	p, err := store.OpenPostgres(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

func TestPostgres(t *testing.T) {
	storetest.Inbox(t, func(t *testing.T) inbound.Store {
		return postgres(t, peers.Database(t), store.Options{Replica: "r1"}).Inbox()
	})
}
