package peers

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// TestPgBouncerShares has more clients than sessions: they only get through if a session is shared.
func TestPgBouncerShares(t *testing.T) {
	pg := Shared(t)
	b := PgBouncerFor(t, pg, PgBouncerOptions{Settings: map[string]string{"default_pool_size": "1"}})
	through := &Postgres{server: server{addr: b.addr, folder: pg.folder}, bin: pg.bin}
	var wg sync.WaitGroup
	pids := make([]string, 4)
	for i := range pids {
		wg.Go(func() {
			var err error
			if pids[i], err = through.SQL("postgres", "SELECT 1; SELECT pg_backend_pid()"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, got := range pids {
		if !strings.HasPrefix(got, "1\n") || got != pids[0] {
			t.Errorf("the clients got %q: not one session", pids)
		}
	}
	got, err := through.SQL("pgbouncer", "SHOW CONFIG")
	if err != nil || !strings.Contains(got, "pool_mode|transaction|") {
		t.Errorf("SHOW CONFIG: %v\n%s", err, got)
	}
}

func TestRedis(t *testing.T) {
	r := RedisFor(t, RedisOptions{Settings: map[string]string{"maxmemory": "3mb", "maxmemory-policy": "allkeys-lru"}})
	do := func(want string, args ...string) {
		t.Helper()
		if got, err := r.Do(args...); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", args, got, err, want)
		}
	}
	do("OK", "SET", "a", "two\r\nlines")
	do("two\r\nlines", "GET", "a")
	do("", "GET", "b")
	do("two\r\nlines\n\n1", "EVAL", "return {redis.call('GET', 'a'), '', 1}", "0")
	do("maxmemory-policy\nallkeys-lru", "CONFIG", "GET", "maxmemory-policy")
	if _, err := r.Do("NOSUCH"); err == nil {
		t.Error("an error is not reported")
	}

	if err := r.Pause(); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := r.Do("PING")
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Errorf("answered while paused: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := r.Continue(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("after the pause: %v", err)
	}

	for _, end := range []func() error{r.Flush, r.Kill, r.Stop} {
		do("OK", "SET", "a", "1")
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if r.Pid() == 0 {
			if err := r.Start(); err != nil {
				t.Fatal(err)
			}
		}
		do("", "GET", "a")
	}
}
