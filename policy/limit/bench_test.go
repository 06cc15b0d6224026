package limit_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/limit"
)

// nobody observes.
type nobody struct{}

func (nobody) LimitWait(string, string, time.Duration) {}
func (nobody) LimitRemaining(string, string, float64)  {}
func (nobody) LimitObserved(string)                    {}

// BenchmarkStage is what a limit costs a call that need not wait.
func BenchmarkStage(b *testing.B) {
	one := func() int { return 1 }
	local, err := limit.NewLocal(one)
	if err != nil {
		b.Fatal(err)
	}
	f, err := limit.Feature(nobody{}, local, one)
	if err != nil {
		b.Fatal(err)
	}
	never, _, err := limit.Cooldown(nobody{})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("cooldown", func(b *testing.B) {
		p := never.New().(*limit.Pause)
		p.Default()
		st, err := p.Stage(policy.Scope{Provider: "p"})
		if err != nil {
			b.Fatal(err)
		}
		rt := st.Wrap(policy.RoundTripper(func(*http.Request) (*http.Response, error) { return nil, nil }))
		r, _ := http.NewRequestWithContext(policy.With(context.Background(), new(policy.Exchange)), http.MethodGet, "http://api.example.com/", nil)
		b.ReportAllocs()
		for b.Loop() {
			_, _ = rt.RoundTrip(r)
		}
	})
	bench := func(name string, set func(*limit.Block)) {
		b.Run(name, func(b *testing.B) {
			l := f.New().(*limit.Block)
			l.Default()
			set(l)
			if err := l.Check(); err != nil {
				b.Fatal(err)
			}
			st, err := l.Stage(policy.Scope{Provider: "p", Label: name})
			if err != nil {
				b.Fatal(err)
			}
			h := http.Header{"X-Ratelimit-Remaining": {"4000"}, "Ratelimit": {`"default";r=50;t=30`}}
			rt := st.Wrap(policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
				x := policy.From(r.Context())
				x.Attempts++
				x.Response = &http.Response{StatusCode: 200, Header: h, Body: http.NoBody}
				return x.Response, nil
			}))
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				x := new(policy.Exchange)
				r, _ := http.NewRequestWithContext(policy.With(context.Background(), x), http.MethodGet, "http://api.example.com/", nil)
				for pb.Next() {
					if _, err := rt.RoundTrip(r); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
	bench("rate", func(l *limit.Block) { l.Rate, l.Burst = block.Rate{N: 1e9, Per: time.Second}, 1e9 })
	bench("concurrency", func(l *limit.Block) { l.Concurrency = 1000 })
	remaining, err := block.ParseExpr(`response.header["X-RateLimit-Remaining"]`, "response")
	if err != nil {
		b.Fatal(err)
	}
	bench("learned", func(l *limit.Block) { l.Remaining = remaining })
	bench("ratelimit", func(l *limit.Block) { l.From = "ratelimit" })
}
