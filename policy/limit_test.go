package policy_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

func asDenial(err error, d **policy.Denial) bool { return errors.As(err, d) }

// passes counts how many of n calls get through at once.
func passes(h *house, n int, c call) (passed int) {
	h.t.Helper()
	for range n {
		switch _, resp, err := h.do(c); {
		case err == nil:
			finish(h.t, resp, nil)
			passed++
		default:
			denied(h.t, err, policy.Limited)
		}
	}
	return passed
}

// TestLimit: a bucket is that of a provider, a label and a value of `by`; it
// survives a reload, and a route that inherits it shares it.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, step{status: 200})
		src := `
		limit "all" {
			rate  = "10/s"
			burst = 10
			wait  = "0s"
		}
		route "/inherits" {
			timeout { attempt = "1s" }
		}
		route "/patient" {
			limit "all" { mode = "enforce" }
		}
		route "/own" {
			limit "all" { burst = 3 }
		}`
		h := compile(t, s.RoundTrip, src)
		for path, want := range map[string]int{"/x": 4, "/inherits": 3, "/patient": 2} {
			if got := passes(h, want, call{method: "GET", path: path}); got != want {
				t.Errorf("%s: %d of %d passed", path, got, want)
			}
		}
		h.compile(src)
		for _, path := range []string{"/x", "/inherits", "/patient"} {
			if got := passes(h, 3, call{method: "GET", path: path}); path != "/x" && got != 0 || got > 1 {
				t.Errorf("%s: %d passed, want the rest of one bucket", path, got)
			}
		}
		if got := passes(h, 5, call{method: "GET", path: "/own"}); got != 3 {
			t.Errorf("a route with another burst let %d pass, want 3", got)
		}
		time.Sleep(time.Second)
		if got := passes(h, 20, call{method: "GET", path: "/x"}); got != 10 {
			t.Errorf("after a second %d passed, want 10", got)
		}
		h.compile(`limit "all" {
			rate  = "10/s"
			burst = 5
			wait  = "0s"
		}`)
		time.Sleep(time.Minute)
		if got := passes(h, 20, call{method: "GET", path: "/x"}); got != 5 {
			t.Errorf("after the reload %d passed, want the new burst, 5", got)
		}
	})
}

// TestLimitRefusal: what is refused beneath costs nothing above, so that one
// account that calls too often leaves the others their share.
func TestLimitRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, step{status: 200})
		h := compile(t, s.RoundTrip, `
		limit "all" {
			rate  = "1/h"
			burst = 10
			wait  = "0s"
		}
		limit "account" {
			rate  = "1/h"
			burst = 2
			by    = account
			wait  = "0s"
		}`)
		if got := passes(h, 100, call{method: "GET", path: "/x", account: "loud"}); got != 2 {
			t.Errorf("%d calls of the loud account passed, want 2", got)
		}
		for _, name := range []string{"a", "b", "c", "d"} {
			if got := passes(h, 3, call{method: "GET", path: "/x", account: name}); got != 2 {
				t.Errorf("%d calls of account %s passed, want 2", got, name)
			}
		}
		if got := passes(h, 3, call{method: "GET", path: "/x", account: "e"}); got != 0 {
			t.Errorf("%d calls passed an empty bucket", got)
		}
	})
}

// TestLimitWait: a call queues for as long as `wait` and its own deadline
// allow, and one that leaves gives its place back.
func TestLimitWait(t *testing.T) {
	const src = oneTry + `limit "slow" {
		rate  = "1/s"
		burst = 1
		wait  = "5s"
	}`
	synctest.Test(t, func(t *testing.T) {
		s := play(t, step{status: 200})
		h := compile(t, s.RoundTrip, src)
		start := time.Now()
		for i := range 4 {
			x, resp, err := h.do(call{method: "GET", path: "/x"})
			finish(t, resp, err)
			if i > 0 && x.Waited != time.Second {
				t.Errorf("call %d waited %v", i, x.Waited)
			}
		}
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("4 calls took %v, want 3s", d)
		}
		_, _, err := h.do(call{method: "GET", path: "/x", total: 500 * time.Millisecond})
		if d := denied(t, err, policy.Limited); d.RetryAfter != time.Second || time.Since(start) != 3*time.Second {
			t.Errorf("%+v after %v: a wait beyond the deadline must fail at once", d, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		x, _, err := h.do(call{method: "GET", path: "/x", ctx: ctx})
		if !errors.Is(err, context.DeadlineExceeded) || x.Attempts != 0 {
			t.Errorf("%v, %d attempts", err, x.Attempts)
		}
		before := time.Now()
		_, resp, err := h.do(call{method: "GET", path: "/x"})
		finish(t, resp, err)
		if d := time.Since(before); d != 700*time.Millisecond {
			t.Errorf("the next one waited %v, want 700ms: the place was not given back", d)
		}
	})
	synctest.Test(t, func(t *testing.T) { // observed: nobody waits, and it is noted
		s := play(t, step{status: 200})
		h := compile(t, s.RoundTrip, `limit "slow" {
			rate  = "1/s"
			burst = 1
			mode  = "observe"
		}`)
		start := time.Now()
		for i := range 5 {
			x, resp, err := h.do(call{method: "GET", path: "/x"})
			finish(t, resp, err)
			if noted(x, "limit", "would_wait") != (i > 0) {
				t.Errorf("call %d: notes %v", i, x.Notes)
			}
		}
		if time.Since(start) != 0 {
			t.Error("observing made calls wait")
		}
	})
}

// TestLimitCountsAttempts: what goes out is counted, retries too.
func TestLimitCountsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, step{status: 503})
		h := compile(t, s.RoundTrip, `retry {
				backoff { first = "0s" }
			}
			limit "all" {
				rate  = "1/h"
				burst = 2
				wait  = "0s"
			}`)
		x, resp, err := h.do(call{method: "GET", path: "/x"})
		finish(t, resp, err)
		if len(s.sent) != 2 || resp.StatusCode != 503 || x.Attempts != 2 || s.open != 0 {
			t.Errorf("sent %d times, answered %d, %d bodies open", len(s.sent), resp.StatusCode, s.open)
		}
	})
}
