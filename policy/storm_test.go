package policy_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// outage is a provider that is well, then fails every call, then is well again.
type outage struct {
	mu        sync.Mutex
	from, to  time.Time
	takes     time.Duration
	fails     func(x *policy.Exchange) (*http.Response, error)
	sent      int // attempts during the outage
	at, most  int // under way at once, of those later than quiet
	quiet     time.Time
	afterward int // attempts since the outage
}

func (o *outage) RoundTrip(r *http.Request) (*http.Response, error) {
	now, x := time.Now(), policy.From(r.Context())
	down := !now.Before(o.from) && now.Before(o.to)
	o.mu.Lock()
	if down {
		o.sent++
	} else if !now.Before(o.to) {
		o.afterward++
	}
	o.at++
	if !o.quiet.IsZero() && down && now.After(o.quiet) {
		o.most = max(o.most, o.at)
	}
	o.mu.Unlock()
	time.Sleep(o.takes)
	o.mu.Lock()
	o.at--
	o.mu.Unlock()
	if down {
		return o.fails(x)
	}
	x.Now.Connected, x.Now.Written, x.Now.Complete = true, 1, true
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("ok")), ContentLength: 2, Request: r}, nil
}

func failing503(x *policy.Exchange) (*http.Response, error) {
	x.Now.Connected, x.Now.Written, x.Now.Complete = true, 1, true
	return &http.Response{StatusCode: 503, Header: http.Header{}, Body: http.NoBody, Request: x.Request}, nil
}

func unreachable(x *policy.Exchange) (*http.Response, error) {
	earlier, start := x.Now.Earlier, x.Now.Start
	x.Now = policy.Attempt{Earlier: earlier, Start: start}
	return nil, errBroke
}

// TestF22Storm: a minute in which all fails, after one in which all went well, at
// a hundred calls a second. The provider gets at most 1.2 times the load that it
// is offered, whatever the policy; with a breaker it gets next to nothing 5 s
// later, one probe at a time, and is found well again within 10 s.
func TestF22Storm(t *testing.T) {
	const rate, minute = 100, time.Minute
	for _, c := range []struct {
		name    string
		src     string
		methods []string
		fails   func(*policy.Exchange) (*http.Response, error)
		breaker bool
	}{
		{"no breaker, 503", ``, []string{"GET"}, failing503, false},
		{"no breaker, eager, unreachable", `retry {
			attempts = 20
			backoff { first = "0s" }
		}`, []string{"GET", "POST", "PUT"}, unreachable, false},
		{"a breaker, 503", `breaker {}`, []string{"GET", "POST"}, failing503, true},
		{"a breaker, unreachable", `breaker {}`, []string{"PUT"}, unreachable, true},
		{"a breaker, keys", "breaker {}\nidempotency { header = \"Idempotency-Key\" }", []string{"POST"}, failing503, true},
		{"a breaker, eager", `breaker {}
		retry {
			attempts = 20
			backoff { first = "0s" }
		}`, []string{"GET"}, failing503, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				o := &outage{from: start.Add(minute), to: start.Add(2 * minute), takes: 20 * time.Millisecond, fails: c.fails, quiet: start.Add(minute + 6*time.Second)}
				h := compile(t, o.RoundTrip, c.src)
				var mu sync.Mutex
				var opened, well time.Time // the first refusal by the breaker, the first good answer after the outage
				var wg sync.WaitGroup
				for i := range 3 * rate * int(minute/time.Second) {
					time.Sleep(time.Second / rate)
					began := time.Now()
					wg.Go(func() {
						_, resp, err := h.do(call{method: c.methods[i%len(c.methods)], path: "/a"})
						mu.Lock()
						defer mu.Unlock()
						var d *policy.Denial
						switch {
						case err == nil:
							finish(t, resp, err)
							if well.IsZero() && resp.StatusCode == 200 && !began.Before(o.to) {
								well = time.Now()
							}
						case errors.As(err, &d) && d.Code == policy.BreakerOpen && opened.IsZero():
							opened = time.Now()
						}
					})
				}
				wg.Wait()
				offered := rate * int(minute/time.Second)
				if most := offered * 12 / 10; o.sent > most {
					t.Errorf("the provider got %d attempts, and %d calls were made", o.sent, offered)
				}
				t.Logf("%d attempts for %d calls; opened after %v, well again after %v, at most %d at once later on", o.sent, offered, opened.Sub(o.from), well.Sub(o.to), o.most)
				if well.IsZero() || well.Sub(o.to) > 10*time.Second+50*time.Millisecond {
					t.Errorf("well again after %v", well.Sub(o.to))
				}
				if !c.breaker {
					return
				}
				if opened.Before(o.from) || opened.Sub(o.from) > 5*time.Second {
					t.Errorf("opened after %v", opened.Sub(o.from))
				}
				if o.most > 1 {
					t.Errorf("%d probes at once", o.most)
				}
				if o.sent > 6*rate {
					t.Errorf("%d attempts reached the provider", o.sent)
				}
			})
		})
	}
}
