package peers

import (
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
)

// common is the cluster that the tests of one binary share, because making one takes seconds.
var common struct {
	sync.Mutex
	pg *Postgres
}

// Shared is one PostgreSQL for all tests of the binary. A test must not stop, pause or configure it. The test is skipped
// where there is no PostgreSQL.
func Shared(t testing.TB) *Postgres {
	t.Helper()
	common.Lock()
	defer common.Unlock()
	if common.pg == nil {
		pg, err := StartPostgres("", PostgresOptions{})
		need(t, err)
		common.pg = pg
	}
	return common.pg
}

// StopAll ends what tests share, for a TestMain that wants it gone before the process ends. It is gone after that anyway.
func StopAll() error {
	common.Lock()
	defer common.Unlock()
	if common.pg == nil {
		return nil
	}
	err := common.pg.Close()
	common.pg = nil
	return err
}

// Database is the URL of an empty database in the shared PostgreSQL. It is dropped when the test has ended.
func Database(t testing.TB) string {
	t.Helper()
	pg := Shared(t)
	name := "t" + strings.ToLower(rand.Text())
	if err := pg.CreateDatabase(name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.DropDatabase(name); err != nil {
			t.Log(err)
		}
	})
	return pg.URL(name)
}

// PostgresFor starts a PostgreSQL that is the test's alone, to be stopped, killed and paused, and ends with it.
func PostgresFor(t testing.TB, o PostgresOptions) *Postgres {
	t.Helper()
	p, err := StartPostgres("", o)
	need(t, err)
	closeAfter(t, p)
	return p
}

// StandbyFor makes a standby of p that ends with the test.
func StandbyFor(t testing.TB, p *Postgres, name string, sync bool) *Postgres {
	t.Helper()
	s, err := p.Standby("", name, sync)
	need(t, err)
	closeAfter(t, s)
	return s
}

// PgBouncerFor starts a PgBouncer in front of p that ends with the test.
func PgBouncerFor(t testing.TB, p *Postgres, o PgBouncerOptions) *PgBouncer {
	t.Helper()
	b, err := StartPgBouncer("", p.Addr(), o)
	need(t, err)
	closeAfter(t, b)
	return b
}

// RedisFor starts a Redis that ends with the test.
func RedisFor(t testing.TB, o RedisOptions) *Redis {
	t.Helper()
	r, err := StartRedis("", o)
	need(t, err)
	closeAfter(t, r)
	return r
}

func closeAfter(t testing.TB, peer interface{ Close() error }) {
	t.Cleanup(func() {
		if err := peer.Close(); err != nil {
			t.Error(err)
		}
	})
}

// need fails the test for err; where a program is missing, it skips, unless E2E_STRICT says that everything must be there.
func need(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case !errors.Is(err, ErrMissing):
		t.Fatal(err)
	case os.Getenv("E2E_STRICT") != "":
		t.Fatalf("MISSING: %v; run e2e/setup.sh", err)
	default:
		t.Skipf("SKIPPED, NOT TESTED: %v; run e2e/setup.sh", err)
	}
}
