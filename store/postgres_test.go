package store_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/replica"
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

// TestF15PgBouncer: a pooler in transaction mode is between, whose connections
// to the server are fewer than ours.
func TestF15PgBouncer(t *testing.T) {
	bouncer := peers.PgBouncerFor(t, peers.Shared(t), peers.PgBouncerOptions{Settings: map[string]string{"default_pool_size": "4"}})
	storetest.Inbox(t, func(t *testing.T) inbound.Store {
		p := postgres(t, through(t, bouncer, peers.Database(t)), store.Options{Trouble: func(doing string, err error) { t.Errorf("%s: %v", doing, err) }})
		return p.Inbox()
	})
	storetest.Outbox(t, func(t *testing.T) outbox.Store {
		return postgres(t, through(t, bouncer, peers.Database(t)), store.Options{}).Outbox()
	})
	storetest.Leases(t, func(t *testing.T) (a, b replica.Leases) {
		url := through(t, bouncer, peers.Database(t))
		return postgres(t, url, store.Options{}).Leases(), postgres(t, url, store.Options{}).Leases()
	})
}

// through is the URL of the same database by way of a pooler.
func through(t testing.TB, b *peers.PgBouncer, direct string) string {
	t.Helper()
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	return b.URL(strings.TrimPrefix(u.Path, "/"))
}

func TestPostgresMembers(t *testing.T) {
	storetest.Members(t, func(t *testing.T) (a, b replica.Members) {
		url := peers.Database(t)
		return postgres(t, url, store.Options{}).Members(), postgres(t, url, store.Options{}).Members()
	})
}

func TestPostgresLeases(t *testing.T) {
	storetest.Leases(t, func(t *testing.T) (a, b replica.Leases) {
		url := peers.Database(t)
		return postgres(t, url, store.Options{}).Leases(), postgres(t, url, store.Options{}).Leases()
	})
}
