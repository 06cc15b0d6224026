package limit

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// TestCooldownBeforeTheNext: a call of the ramp-up that is limited again gives its
// place to nobody before the next cool-down has begun.
func TestCooldownBeforeTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _, err := Cooldown(deaf{})
		if err != nil {
			t.Fatal(err)
		}
		b := f.New().(*Pause)
		b.Default()
		b.Wait.Duration = time.Hour
		st, err := b.Stage(policy.Scope{Provider: "p"})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var sent []time.Time
		next := st.Wrap(policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
			x := policy.From(r.Context())
			x.Attempts++
			mu.Lock()
			defer mu.Unlock()
			sent = append(sent, time.Now())
			if x.Outcome = policy.OK; len(sent) < 3 {
				x.Outcome = policy.RateLimited
			}
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		}))
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				x := &policy.Exchange{Asked: func(*policy.Exchange, *http.Response) (time.Duration, bool) {
					time.Sleep(time.Millisecond) // as an expression over a long answer
					return 10 * time.Second, true
				}}
				r, _ := http.NewRequestWithContext(policy.With(t.Context(), x), http.MethodGet, "http://p.example/", nil)
				if _, err := next.RoundTrip(r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if gap := sent[2].Sub(sent[1]); gap < 10*time.Second {
			t.Errorf("sent at %v, %v after the second refusal", sent[2].Sub(start), gap)
		}
	})
}
