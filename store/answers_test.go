package store_test

import (
	"path/filepath"
	"testing"

	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/policy/idempotency"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

func TestMemoryAnswers(t *testing.T) {
	storetest.Answers(t, func(*testing.T) (a, b idempotency.Store) {
		m := store.NewMemory()
		return m.Answers(), m.Answers()
	})
}

func TestSQLiteAnswers(t *testing.T) {
	storetest.Answers(t, func(t *testing.T) (a, b idempotency.Store) {
		s := open(t, filepath.Join(t.TempDir(), "postern.db"))
		return s.Answers(), s.Answers()
	})
}

func TestPostgresAnswers(t *testing.T) {
	storetest.Answers(t, func(t *testing.T) (a, b idempotency.Store) {
		url := peers.Database(t)
		return postgres(t, url, conform).Answers(), postgres(t, url, conform).Answers()
	})
}

// TestF15AnswersThroughPgBouncer: one handle goes through a pooler in transaction
// mode, the other does not.
func TestF15AnswersThroughPgBouncer(t *testing.T) {
	bouncer := peers.PgBouncerFor(t, peers.Shared(t), peers.PgBouncerOptions{Settings: map[string]string{"default_pool_size": "4"}})
	storetest.Answers(t, func(t *testing.T) (a, b idempotency.Store) {
		url := peers.Database(t)
		return postgres(t, through(t, bouncer, url), conform).Answers(), postgres(t, url, conform).Answers()
	})
}
