package limittest

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/limit"
)

// silent observes nothing.
type silent struct{}

func (silent) LimitWait(string, string, time.Duration) {}
func (silent) LimitRemaining(string, string, float64)  {}
func (silent) LimitObserved(string)                    {}

// stage compiles a limit of n a second.
func stage(t *testing.T, s limit.Source, n float64, burst int, change func(*limit.Block)) func(context.Context) (*policy.Exchange, error) {
	t.Helper()
	f, err := limit.Feature(silent{}, s, func() int { return 1 })
	if err != nil {
		t.Fatal(err)
	}
	b := f.New().(*limit.Block)
	b.Default()
	b.Rate, b.Burst = block.Rate{N: n, Per: time.Second}, burst
	change(b)
	st, err := b.Stage(policy.Scope{Provider: key.Provider, Label: key.Name})
	if err != nil {
		t.Fatal(err)
	}
	rt := st.Wrap(policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
		policy.From(r.Context()).Began()
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	}))
	return func(ctx context.Context) (*policy.Exchange, error) {
		x := new(policy.Exchange)
		r, err := http.NewRequestWithContext(policy.With(ctx, x), http.MethodGet, "http://api.example.com/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := rt.RoundTrip(r)
		if resp != nil {
			resp.Body.Close()
		}
		return x, err
	}
}

// observe: nobody waits and nobody is refused, it is noted, and nothing is taken
// that others wait for.
func observe(t *testing.T, s limit.Source) {
	do := stage(t, s, 2, 2, func(b *limit.Block) { b.Mode = policy.Observe })
	start := time.Now()
	for i := range 50 {
		x, err := do(t.Context())
		if err != nil || x.Waited != 0 || len(x.Notes) != min(1, max(0, i-1)) && time.Since(start) < 400*time.Millisecond {
			t.Errorf("call %d: waited %v, %v, %v", i, x.Waited, x.Notes, err)
		}
	}
	p := s.Reserve(key, limit.Rule{Rate: 2, Burst: 2}, time.Minute)
	near(t, "the wait after 50 observed calls", p.Wait, 500*time.Millisecond)
}

// cancelled: who leaves the queue gives the place to the next one, and who is
// refused learns when to come again.
func cancelled(t *testing.T, s limit.Source) {
	do := stage(t, s, 1, 1, func(b *limit.Block) { b.Wait.Duration = 1500 * time.Millisecond })
	if _, err := do(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if x, err := do(ctx); !errors.Is(err, context.DeadlineExceeded) || x.Attempts != 0 {
		t.Errorf("%v, sent %d times", err, x.Attempts)
	}
	x, err := do(t.Context())
	if err != nil || time.Since(start) > time.Second+slack {
		t.Errorf("%v after %v: the place of the one who left was not free", err, time.Since(start))
	}
	if x.Waited < 500*time.Millisecond {
		t.Errorf("waited %v, want the rest of a second", x.Waited)
	}
	quick := stage(t, s, 1, 1, func(b *limit.Block) { b.Wait.Duration = 0 })
	_, err = quick(t.Context())
	var d *policy.Denial
	if !errors.As(err, &d) || d.Code != policy.Limited {
		t.Fatalf("%v, want a refusal", err)
	}
	near(t, "RetryAfter", d.RetryAfter, time.Second)
}
