package policy_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// TestP26ProbeIsRepeatable: a half-open circuit lets one probe through, and that
// is a call that may be repeated: by its method, or by a key that the provider
// honours. Only what gets no such call is tried with another, one at a time.
func TestP26ProbeIsRepeatable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t)
		h := compile(t, s.RoundTrip, breakerOf4)
		trip(h, s, call{method: "GET", path: "/a"})
		s.steps = []step{{status: 200}}
		time.Sleep(15 * time.Second)
		for range 14 { // half-open, and nobody comes who may probe
			_, _, err := h.do(call{method: "POST", path: "/a", body: "amount=1"})
			if d := denied(t, err, policy.BreakerOpen); d.RetryAfter <= 0 || d.RetryAfter > 15*time.Second {
				t.Errorf("try again after %v", d.RetryAfter)
			}
			time.Sleep(time.Second)
		}
		if len(s.sent) != 4 {
			t.Fatalf("a call that may not be repeated was the probe")
		}
		_, resp, err := h.do(call{method: "GET", path: "/a"})
		finish(t, resp, err)
		_, resp, err = h.do(call{method: "POST", path: "/a"}) // closed
		finish(t, resp, err)
	})
	synctest.Test(t, func(t *testing.T) { // a key makes a POST one
		s := play(t)
		h := compile(t, s.RoundTrip, breakerOf4+`idempotency { header = "Idempotency-Key" }`)
		trip(h, s, call{method: "POST", path: "/a"})
		s.steps = []step{{status: 200}}
		time.Sleep(15 * time.Second)
		_, resp, err := h.do(call{method: "POST", path: "/a"})
		finish(t, resp, err)
	})
	synctest.Test(t, func(t *testing.T) { // an endpoint that gets no other calls is not closed for ever
		s := play(t)
		h := compile(t, s.RoundTrip, breakerOf4)
		post := call{method: "POST", path: "/a"}
		trip(h, s, post)
		time.Sleep(30 * time.Second)
		for range 3 {
			_, resp, err := h.do(post) // fails, and opens it again
			finish(t, resp, err)
			_, _, err = h.do(post)
			denied(t, err, policy.BreakerOpen)
			time.Sleep(30 * time.Second)
		}
		if len(s.sent) != 4+3 {
			t.Errorf("%d calls were sent, want one in each half minute", len(s.sent)-4)
		}
		s.steps = []step{{status: 200}}
		for range 5 {
			_, resp, err := h.do(post)
			finish(t, resp, err)
		}
	})
}

// TestP26OneProbe: of a hundred calls at once exactly one goes through a
// half-open circuit, over and over.
func TestP26OneProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t)
		var held policy.RoundTripper = s.RoundTrip
		h := compile(t, func(r *http.Request) (*http.Response, error) { return held(r) }, breakerOf4)
		trip(h, s, call{method: "GET", path: "/a"})
		var through int
		held = func(r *http.Request) (*http.Response, error) {
			through++
			time.Sleep(time.Second)
			return &http.Response{StatusCode: 503, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		}
		for round := range 5 {
			time.Sleep(15 * time.Second)
			results := make(chan error)
			for range 100 {
				go func() {
					_, _, err := h.do(call{method: "GET", path: "/a"})
					results <- err
				}()
			}
			refused := 0
			for range 100 {
				if err := <-results; err != nil {
					denied(t, err, policy.BreakerOpen)
					refused++
				}
			}
			if refused != 99 || through != round+1 {
				t.Fatalf("round %d: %d refused, %d went through", round, refused, through)
			}
		}
	})
}

// TestP26RateLimitsAndCancels: whatever their share, rate limits and clients that
// left neither open a circuit nor count for one that failures open.
func TestP26RateLimitsAndCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t)
		h := compile(t, s.RoundTrip, breakerOf4+`outcome "rate_limited" { when = response.header["X-Limited"] == "yes" }`)
		get := call{method: "GET", path: "/a"}
		for _, st := range []step{{status: 429}, {status: 503, header: map[string]string{"X-Limited": "yes"}}, {status: 408}} {
			s.steps = []step{st}
			for range 50 {
				time.Sleep(time.Second)
				_, resp, err := h.do(get)
				if err == nil {
					finish(t, resp, err)
				} else {
					denied(t, err, policy.Limited) // the cool-down of a rate limit, which is no breaker
				}
			}
		}
		time.Sleep(time.Hour) // no cool-down is that long
		for range 50 {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			get := get
			get.ctx = ctx
			if _, _, err := h.do(get); err != context.Canceled {
				t.Fatal(err)
			}
		}
		s.steps = []step{{status: 500}}
		for i := range 4 { // of the four that count, four failed
			_, resp, err := h.do(get)
			if finish(t, resp, err); i < 3 {
				continue
			}
			_, _, err = h.do(get)
			denied(t, err, policy.BreakerOpen)
		}
	})
}

// TestF19TruncatedCounts: answers that break off are failures of the provider,
// but not where the application left, or Postern gave an answer up.
func TestF19TruncatedCounts(t *testing.T) {
	for _, c := range []struct {
		name string
		body func(ctx context.Context) io.Reader
		left bool // by the application
		open bool
	}{
		{"whole", func(context.Context) io.Reader { return strings.NewReader("whole") }, false, false},
		{"broken off", func(context.Context) io.Reader { return io.MultiReader(strings.NewReader("half"), failing{}) }, false, true},
		{"broken off by the application", func(context.Context) io.Reader { return io.MultiReader(strings.NewReader("half"), failing{}) }, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				h := compile(t, func(r *http.Request) (*http.Response, error) {
					n++
					return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(c.body(r.Context())), Request: r}, nil
				}, breakerOf4)
				for range 20 {
					ctx, cancel := context.WithCancel(t.Context())
					_, resp, err := h.do(call{method: "GET", path: "/a", ctx: ctx})
					if err != nil {
						denied(t, err, policy.BreakerOpen)
						cancel()
						continue
					}
					if c.left {
						cancel()
					}
					io.ReadAll(resp.Body)
					resp.Body.Close()
					cancel()
				}
				if (n < 20) != c.open || c.open && n != 4 {
					t.Errorf("%d of 20 calls went through", n)
				}
			})
		})
	}
}
