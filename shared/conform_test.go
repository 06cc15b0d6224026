package shared

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/policy/limit"
	"github.com/postern-proxy/postern/policy/limit/limittest"
)

func TestMain(m *testing.M) {
	// A pool that could not connect looks once a second whether it was closed.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// one is a replica of one.
func one() int { return 1 }

// open opens a Redis that ends with the test. change may change its options.
func open(t testing.TB, url, prefix string, change func(*Options)) *Redis {
	t.Helper()
	o := Options{URL: url, Prefix: prefix, Live: one, State: func(bool, error) {}, FellBack: func(Reason) {}}
	if change != nil {
		change(&o)
	}
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// ready waits until Redis is used. On a busy machine it may have looked too slow
// at first.
func ready(t testing.TB, r *Redis) *Redis {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); r.State() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("Redis is not used: %v", r.State())
		}
	}
	return r
}

// patient waits for a Redis that shares a busy machine with it.
func patient(o *Options) { o.patience = time.Second }

func TestMiniredis(t *testing.T) {
	m := miniredis.RunT(t)
	limittest.Run(t, func(t *testing.T) limit.Source { return ready(t, open(t, "redis://"+m.Addr(), t.Name(), patient)) })
}

func TestRedis(t *testing.T) {
	s := peers.RedisFor(t, peers.RedisOptions{})
	limittest.Run(t, func(t *testing.T) limit.Source { return ready(t, open(t, s.URL(), t.Name(), patient)) })
}

// TestFallBackConforms: this process's share behaves like the whole where it is
// the whole.
func TestFallBackConforms(t *testing.T) {
	limittest.Run(t, func(t *testing.T) limit.Source { return open(t, "redis://127.0.0.1:1", "x", nil) })
}
