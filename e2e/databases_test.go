package e2e

import (
	"strings"
	"testing"

	"github.com/postern-proxy/postern/peers"
)

// TestPeers starts the databases that tests use and asks each something: what fails here is not Postern's doing.
func TestPeers(t *testing.T) {
	t.Run("PostgreSQL by PgBouncer", func(t *testing.T) {
		pg := peers.Shared(t)
		peers.PgBouncerFor(t, pg, peers.PgBouncerOptions{})
		if got, err := pg.SQL("postgres", "SHOW synchronous_commit"); got != "on" || err != nil {
			t.Errorf("synchronous_commit is %q, %v", got, err)
		}
	})
	t.Run("Redis", func(t *testing.T) {
		redis := peers.RedisFor(t, peers.RedisOptions{})
		if got, err := redis.Do("PING"); got != "PONG" || err != nil || !strings.HasPrefix(redis.URL(), "redis://127.0.0.1:") {
			t.Errorf("PING: %q, %v", got, err)
		}
	})
}
