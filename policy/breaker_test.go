package policy_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

const oneTry = "retry { attempts = 1 }\n"

// trip opens the circuit of a path: 4 calls fail.
func trip(h *house, s *script, c call) {
	s.steps = []step{{status: 500}}
	for range 4 {
		_, resp, err := h.do(c)
		finish(h.t, resp, err)
	}
}

const breakerOf4 = oneTry + `breaker {
	calls  = 4
	window = "30s"
	open   = "15s"
}
endpoints = ["/a", "/b"]
`

// TestP26Breaker: a circuit opens on failures of the provider, is that of one
// account and endpoint, and closes by one good probe.
func TestP26Breaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t)
		h := compile(t, s.RoundTrip, breakerOf4)
		a := call{method: "GET", path: "/a", account: "A"}
		trip(h, s, a)
		_, _, err := h.do(a)
		if d := denied(t, err, policy.BreakerOpen); d.RetryAfter != 15*time.Second || d.Executed != "" {
			t.Errorf("%+v", d)
		}
		s.steps = []step{{status: 200}}
		for _, other := range []call{{method: "GET", path: "/b", account: "A"}, {method: "GET", path: "/a", account: "B"}, {method: "GET", path: "/else", account: "A"}} {
			_, resp, err := h.do(other)
			finish(t, resp, err)
		}
		h.compile(breakerOf4) // a reload does not close it
		_, _, err = h.do(a)
		denied(t, err, policy.BreakerOpen)
		time.Sleep(15 * time.Second)
		s.steps = []step{{status: 500}}
		x, resp, err := h.do(a) // the probe fails: open again
		finish(t, resp, err)
		_, _, err = h.do(a)
		denied(t, err, policy.BreakerOpen)
		time.Sleep(15 * time.Second)
		s.steps = []step{{status: 200}}
		for range 5 {
			x, resp, err = h.do(a)
			finish(t, resp, err)
		}
		_ = x
	})
}

// TestP26NoFailure: what says nothing about the provider does not count.
func TestP26NoFailure(t *testing.T) {
	for _, st := range []step{
		{status: 400},
		{status: 401},
		{status: 404},
		{status: 409},
		{status: 422},
		{status: 429},
		{status: 200},
		{err: context.Canceled},
		{err: policy.ErrRequestBody},
		{err: &policy.Denial{Code: policy.NotAllowed}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, st)
			h := compile(t, s.RoundTrip, breakerOf4)
			for range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				if st.err == context.Canceled {
					cancel()
				}
				_, _, err := h.do(call{method: "GET", path: "/a", ctx: ctx})
				cancel()
				if d := (*policy.Denial)(nil); asDenial(err, &d) && d.Code == policy.BreakerOpen {
					t.Fatalf("%d %v opened the circuit", st.status, st.err)
				}
			}
		})
	}
}

// TestP26Probe: half-open, one attempt at a time goes through, and one that
// told nothing gives its place back.
func TestP26Probe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t)
		release := make(chan struct{})
		var held policy.RoundTripper = s.RoundTrip
		h := compile(t, func(r *http.Request) (*http.Response, error) { return held(r) }, breakerOf4+`limit "one" {
			rate  = "1/h"
			burst = 100
			wait  = "0s"
		}`)
		a := call{method: "GET", path: "/a"}
		trip(h, s, a)
		time.Sleep(15 * time.Second)
		held = func(r *http.Request) (*http.Response, error) {
			<-release
			return s.RoundTrip(r)
		}
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, _, err := h.do(call{method: "GET", path: "/a", ctx: ctx})
			left <- err
		}()
		synctest.Wait()
		_, _, err := h.do(a)
		denied(t, err, policy.BreakerOpen) // one probe is under way
		cancel()
		close(release)
		if err := <-left; err == nil {
			t.Fatal("the probe was not cancelled")
		}
		s.steps = []step{{status: 200}}
		for range 3 { // the place is free again
			_, resp, err := h.do(a)
			finish(t, resp, err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a 429 tells nothing about its health
		s := play(t)
		h := compile(t, s.RoundTrip, breakerOf4)
		a := call{method: "GET", path: "/a"}
		trip(h, s, a)
		time.Sleep(15 * time.Second)
		s.steps = []step{{status: 429}}
		_, resp, err := h.do(a)
		finish(t, resp, err)
		s.steps = []step{{status: 500}}
		_, resp, err = h.do(a) // still half-open: one probe
		finish(t, resp, err)
		_, _, err = h.do(a)
		denied(t, err, policy.BreakerOpen)
	})
	synctest.Test(t, func(t *testing.T) { // refused by a limit beneath: the place is free again
		s := play(t)
		h := compile(t, s.RoundTrip, breakerOf4+`limit "few" {
			rate  = "1/m"
			burst = 4
			wait  = "0s"
		}`)
		a := call{method: "GET", path: "/a"}
		trip(h, s, a)
		time.Sleep(15 * time.Second)
		for range 3 {
			_, _, err := h.do(a)
			denied(t, err, policy.Limited)
		}
		time.Sleep(time.Minute)
		s.steps = []step{{status: 200}}
		_, resp, err := h.do(a)
		finish(t, resp, err)
	})
}
