package shared

import (
	"runtime"
	"testing"

	"golang.org/x/time/rate"

	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/policy/limit"
)

// BenchmarkHotKey takes tokens of one bucket from 64 goroutines: from Redis one
// by one, from leases, and from x/time/rate, which shares nothing.
func BenchmarkHotKey(b *testing.B) {
	rule := limit.Rule{Rate: 10_000_000, Burst: 10_000_000}
	parallel := func(b *testing.B, take func() bool) {
		b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if !take() {
					b.Error("refused")
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	}
	b.Run("each from Redis", func(b *testing.B) {
		r := ready(b, open(b, redisFor(b).URL(), "x", nil))
		args := arguments(rule, 0, 0, 0, []lot{{1, 0}})
		parallel(b, func() bool {
			v, err := r.client.EvalSha(b.Context(), r.sha, []string{"x"}, args...).Result()
			g, bad := read(v, rule, 1)
			return err == nil && bad == nil && g.granted[0] == 1
		})
	})
	b.Run("gathered, not leased", func(b *testing.B) {
		r := ready(b, open(b, redisFor(b).URL(), "x", nil))
		parallel(b, func() bool { return r.Reserve(published, limit.Rule{Rate: 10_000_000, Burst: 1}, 1<<40).OK })
	})
	b.Run("leased", func(b *testing.B) {
		r := ready(b, open(b, redisFor(b).URL(), "x", nil))
		parallel(b, func() bool { return r.Reserve(published, rule, 1<<40).OK })
	})
	b.Run("local", func(b *testing.B) {
		l, err := limit.NewLocal(one)
		if err != nil {
			b.Fatal(err)
		}
		parallel(b, func() bool { return l.Reserve(published, rule, 1<<40).OK })
	})
	b.Run("x-time-rate", func(b *testing.B) {
		l := rate.NewLimiter(rate.Limit(rule.Rate), rule.Burst)
		parallel(b, l.Allow)
	})
}

func redisFor(b *testing.B) *peers.Redis { return peers.RedisFor(b, peers.RedisOptions{}) }
