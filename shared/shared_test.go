package shared

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/policy/limit"
)

// passes counts how many of n wishes are granted at once.
func passes(s limit.Source, k limit.Key, r limit.Rule, n int) (passed int) {
	for range n {
		if s.Reserve(k, r, 0).OK {
			passed++
		}
	}
	return passed
}

// stat reads a number of INFO.
func stat(t testing.TB, s *peers.Redis, section, name string) int {
	t.Helper()
	info, err := s.Do("INFO", section)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(info, name)
	if !ok {
		return 0
	}
	digits := rest[:strings.IndexFunc(rest, func(c rune) bool { return c < '0' || c > '9' })]
	n, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLeases: most calls ask nobody, and what is leased and not used is there
// for the others soon.
func TestLeases(t *testing.T) {
	s := peers.RedisFor(t, peers.RedisOptions{})
	a, b := ready(t, open(t, s.URL(), "x", nil)), ready(t, open(t, s.URL(), "x", nil))
	r := limit.Rule{Rate: 10_000, Burst: 10_000}
	before := stat(t, s, "commandstats", "cmdstat_evalsha:calls=")
	if got := passes(a, published, r, 9000); got != 9000 {
		t.Errorf("%d of 9000 passed", got)
	}
	asked := stat(t, s, "commandstats", "cmdstat_evalsha:calls=") - before
	if asked > 900 || asked == 0 {
		t.Errorf("Redis was asked %d times for 9000 tokens", asked)
	}
	// From here on nothing fills up.
	still := limit.Rule{Rate: 0.001, Burst: 10_000}
	left := passes(b, published, still, 20_000)
	time.Sleep(keep + 4*sweep)
	left += passes(b, published, still, 20_000)
	if left < 800 || left > 10_000 {
		t.Errorf("the other replica found %d tokens", left)
	}
	if got := passes(a, published, still, 100); got != 0 {
		t.Errorf("%d more passed", got)
	}
}

// TestCloseGivesBack: a replica that ends leaves what it has leased.
func TestCloseGivesBack(t *testing.T) {
	s := peers.RedisFor(t, peers.RedisOptions{})
	r, err := Open(Options{URL: s.URL(), Prefix: "x", Live: one, State: func(bool, error) {}, FellBack: func(Reason) {}})
	if err != nil {
		t.Fatal(err)
	}
	ready(t, r)
	rule := limit.Rule{Rate: 2000, Burst: 1000}
	used := passes(r, published, rule, 500)
	for end := time.Now().Add(5 * time.Second); r.bucket(published).leased() == 0 && time.Now().Before(end); {
		used += passes(r, published, rule, 1)
	}
	held := r.bucket(published).leased()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	value, err := s.Do("GET", "x:limit:example:published")
	if err != nil || held == 0 {
		t.Fatalf("%q, %v, %d held", value, err, held)
	}
	var tat, now int64
	stamp, err := s.Do("TIME")
	if err != nil {
		t.Fatal(err)
	}
	var sec, micro int64
	if _, err := fmt.Sscan(value, &tat); err != nil && value != "" {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(stamp, &sec, &micro); err != nil {
		t.Fatal(err)
	}
	now = sec*1e6 + micro
	if taken := float64(tat-now) / 500; taken > float64(used) {
		t.Errorf("%.0f tokens are missing after %d were used, %d held", taken, used, held)
	}
	if p := r.Reserve(published, rule, 0); !p.OK {
		t.Error("a closed source has to go on alone")
	}
}

// leased is how many tokens are in store.
func (b *bucket) leased() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(time.Now())
	return b.have
}

// TestManyLimitsTogether: limits that are needed at once are asked for at once,
// and leave nothing behind.
func TestManyLimitsTogether(t *testing.T) {
	s := peers.RedisFor(t, peers.RedisOptions{})
	var fell atomic.Int64
	r := open(t, s.URL(), "x", func(o *Options) { o.FellBack = func(Reason) { fell.Add(1) } })
	const callers, each = 64, 20
	for round := 0; ; round++ {
		ready(t, r)
		fell.Store(0)
		before := stat(t, s, "stats", "total_reads_processed:")
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				for n := range each {
					k := limit.Key{Provider: "example", Name: "per account", By: fmt.Sprint(round, "/", i, "/", n)}
					if !r.Reserve(k, limit.Rule{Rate: 1, Burst: 1}, 0).OK {
						t.Error("a full bucket gave nothing")
					}
				}
			})
		}
		wg.Wait()
		if fell.Load() > 0 && round < 20 {
			continue // the machine was too busy
		}
		if trips := stat(t, s, "stats", "total_reads_processed:") - before; trips > callers*each/4 || fell.Load() > 0 {
			t.Errorf("%d round trips for %d limits, %d fell back", trips, callers*each, fell.Load())
		}
		break
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) { // Redis takes its time to remove them
		keys, err := s.Do("DBSIZE")
		if keys == "0" || keys == "1" {
			break
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("%s keys, %v: full buckets have to expire", keys, err)
		}
	}
}

// TestRollout: replicas whose policies differ each have their rule, as long as
// there is something left.
func TestRollout(t *testing.T) {
	s := peers.RedisFor(t, peers.RedisOptions{})
	a, b := ready(t, open(t, s.URL(), "x", nil)), ready(t, open(t, s.URL(), "x", nil))
	was, is := limit.Rule{Rate: 1.0 / 3600, Burst: 1}, limit.Rule{Rate: 1000, Burst: 100}
	start, old, fresh := time.Now(), 0, 0
	for time.Since(start) < time.Second {
		old += passes(a, published, was, 1)
		fresh += passes(b, published, is, 1)
		time.Sleep(500 * time.Microsecond)
	}
	full := 1000*time.Since(start).Seconds() + 100
	if old+fresh > int(full*1.11) || fresh < 300 {
		t.Errorf("%d by the rule of before, %d by the new one; full is %.0f", old, fresh, full)
	}
}

// TestOpenWithoutRedis: a process starts without Redis, tells so once, and uses
// it as soon as it is there.
func TestOpenWithoutRedis(t *testing.T) {
	s := peers.RedisFor(t, peers.RedisOptions{})
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var told []bool
	var fell atomic.Int64
	start := time.Now()
	r := open(t, s.URL(), "x", func(o *Options) {
		o.State = func(up bool, why error) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, up)
			if up != (why == nil) {
				t.Errorf("up %v because of %v", up, why)
			}
		}
		o.FellBack = func(Reason) { fell.Add(1) }
	})
	if d := time.Since(start); d > time.Second || r.State() == nil {
		t.Errorf("opened in %v, %v", d, r.State())
	}
	rule := limit.Rule{Rate: 0.001, Burst: 10}
	if got := passes(r, published, rule, 4); got != 4 || fell.Load() != 4 {
		t.Errorf("%d passed, %d of them alone", got, fell.Load())
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	ready(t, r)
	if got := passes(r, published, rule, 20); got != 6 {
		t.Errorf("%d passed, want what was left", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 2 || told[0] || !told[1] {
		t.Errorf("told %v", told)
	}
}

// TestForeignKey: a key that is somebody else's costs this limit its being
// shared, and no other.
func TestForeignKey(t *testing.T) {
	s := peers.RedisFor(t, peers.RedisOptions{})
	r := ready(t, open(t, s.URL(), "x", nil))
	if _, err := s.Do("LPUSH", "x:limit:example:published", "not ours"); err != nil {
		t.Fatal(err)
	}
	rule := limit.Rule{Rate: 0.001, Burst: 5}
	if got := passes(r, published, rule, 10); got != 5 || r.State() != nil {
		t.Errorf("%d passed, %v", got, r.State())
	}
	if _, err := s.Do("SET", "x:limit:example:other", "no number"); err != nil {
		t.Fatal(err)
	}
	if got := passes(r, limit.Key{Provider: "example", Name: "other"}, rule, 10); got != 5 || r.State() != nil {
		t.Errorf("%d passed, %v", got, r.State())
	}
}

// TestC48NoCrossTalk: a command that was given up never yields the answer to
// another one.
func TestC48NoCrossTalk(t *testing.T) {
	s := peers.RedisFor(t, peers.RedisOptions{})
	c, err := newClient(s.URL(), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	end := time.Now().Add(2 * time.Second)
	var wg sync.WaitGroup
	var right, gone atomic.Int64
	for g := range 200 {
		wg.Go(func() {
			for n := 0; time.Now().Before(end); n++ {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(8000))*time.Microsecond)
				want := fmt.Sprint(g, "-", n)
				var got string
				var err error
				if n%2 == 0 {
					got, err = c.Echo(ctx, want).Result()
				} else {
					pipe := c.Pipeline()
					cmd := pipe.Echo(ctx, want)
					_, err = pipe.Exec(ctx)
					got = cmd.Val()
				}
				cancel()
				switch {
				case err != nil:
					gone.Add(1)
				case got != want:
					t.Errorf("%q for %q", got, want)
				default:
					right.Add(1)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d right, %d given up", right.Load(), gone.Load())
	if right.Load() == 0 || gone.Load() == 0 {
		t.Error("the test has to see both")
	}
}

// TestTamed: with nothing there, one call costs one attempt, and no log.
func TestTamed(t *testing.T) {
	c, err := newClient("redis://127.0.0.1:1/0", patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start := time.Now()
	for range 5 {
		if err := c.Ping(t.Context()).Err(); err == nil || errors.Is(err, redis.Nil) {
			t.Errorf("%v", err)
		}
	}
	if d := time.Since(start); d > 5*dialing {
		t.Errorf("5 calls took %v", d)
	}
}

func TestSecretsStayOut(t *testing.T) {
	for _, url := range []string{"redis://user:hunter2@127.0.0.1:1/0?x=1", "redis://:hunter2@127.0.0.1:99999999/x", "hunter2", "redis://user:hunter2@127.0.0.1:1/0"} {
		r, err := Open(Options{URL: url, Prefix: "x", Live: one, State: func(bool, error) {}, FellBack: func(Reason) {}})
		if err == nil {
			err = r.State()
			r.Close()
		}
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}

// TestTLSIsVerified: who answers for Redis has to prove that it is.
func TestTLSIsVerified(t *testing.T) {
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	m := miniredis.NewMiniRedis()
	if err := m.StartTLS(&tls.Config{Certificates: web.TLS.Certificates}); err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	r := open(t, "rediss://"+m.Addr(), "x", nil)
	err := r.State()
	for end := time.Now().Add(20 * time.Second); err != nil && !strings.Contains(err.Error(), "certificate") && time.Now().Before(end); err = r.State() {
		time.Sleep(10 * time.Millisecond) // it was too slow to be refused
	}
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
	c, err := newClient("rediss://"+m.Addr(), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	c.Options().TLSConfig.RootCAs = roots
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}

// TestExtremes: rules at the edges of what a policy can say.
func TestExtremes(t *testing.T) {
	s := peers.RedisFor(t, peers.RedisOptions{})
	r := ready(t, open(t, s.URL(), "x", nil))
	for i, rule := range []limit.Rule{
		{Rate: 1e12, Burst: 1_000_000_000}, {Rate: 1e9, Burst: 1}, {Rate: 1e-9, Burst: 1_000_000_000}, {Rate: 1.0 / 86_400, Burst: 1}, {Rate: 0.3, Burst: 7},
	} {
		k := limit.Key{Provider: "example", Name: fmt.Sprint(i)}
		p := r.Reserve(k, rule, 0)
		if !p.OK || p.Wait != 0 || r.State() != nil {
			t.Errorf("%+v: %+v, %v", rule, p, r.State())
			continue
		}
		p.Back()
		if got := passes(r, k, rule, min(1000, rule.Burst)); got != min(1000, rule.Burst) {
			t.Errorf("%+v: %d passed", rule, got)
		}
		if p := r.Reserve(k, rule, 0); !p.OK && p.Wait <= 0 {
			t.Errorf("%+v: %+v", rule, p)
		}
	}
}
