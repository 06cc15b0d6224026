package policy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// A counter is a provider that many call at once.
type counter struct {
	mu              sync.Mutex
	takes           time.Duration
	now, most, sent int
	body            string
}

func (p *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.sent++
	p.now++
	p.most = max(p.most, p.now)
	p.mu.Unlock()
	time.Sleep(p.takes)
	policy.From(r.Context()).Now.Answered = true
	return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: -1, Body: &ending{Reader: strings.NewReader(p.body), p: p}, Request: r}, nil
}

type ending struct {
	io.Reader
	p    *counter
	once sync.Once
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if err != nil {
		e.Close()
	}
	return n, err
}

func (e *ending) Close() error {
	e.once.Do(func() {
		e.p.mu.Lock()
		defer e.p.mu.Unlock()
		e.p.now--
	})
	return nil
}

// A crowd makes calls at once, and takes the time that each of them takes.
type crowd struct {
	h  *house
	wg sync.WaitGroup
	mu sync.Mutex

	took    map[string][]time.Duration // by the body of the call; those that were refused are not in it
	refused map[string][]*policy.Denial
}

func (c *crowd) call(who string, k call) {
	start := time.Now()
	c.wg.Go(func() {
		_, resp, err := c.h.do(k)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.took == nil {
			c.took, c.refused = map[string][]time.Duration{}, map[string][]*policy.Denial{}
		}
		var d *policy.Denial
		switch {
		case err == nil:
			c.took[who] = append(c.took[who], time.Since(start))
		case errors.As(err, &d):
			c.refused[who] = append(c.refused[who], d)
		}
	})
}

// p99 is what 99 of a hundred did not take longer than.
func p99(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[(len(all)*99+99)/100-1]
}

// TestShow7Fairness: an account with 10 000 calls in the queue delays the calls of
// another by twice at most.
func TestShow7Fairness(t *testing.T) {
	const src = oneTry + `timeout { total = "1h" }
	limit "published" {
		rate  = "100/s"
		burst = 1
		wait  = "1h"
		queue = 20000
	}`
	run := func(t *testing.T, loud int) (quiet time.Duration, last time.Duration) {
		var c crowd
		synctest.Test(t, func(t *testing.T) {
			c.h = compile(t, (&counter{takes: 50 * time.Millisecond}).RoundTrip, src)
			for range loud {
				c.call("loud", call{method: "GET", path: "/x", account: "loud"})
			}
			synctest.Wait()
			for i := range 60 { // batches of 1 to 30, one a second
				for range 1 + 7*i%30 {
					c.call("quiet", call{method: "GET", path: "/x", account: "quiet"})
				}
				time.Sleep(time.Second)
			}
			c.wg.Wait()
		})
		if len(c.took["loud"]) != loud || len(c.refused) != 0 {
			t.Errorf("%d of %d calls of the loud account were made, %d refused", len(c.took["loud"]), loud, len(c.refused["loud"])+len(c.refused["quiet"]))
		}
		if loud > 0 {
			last = slices.Max(c.took["loud"])
		}
		return p99(c.took["quiet"]), last
	}
	alone, _ := run(t, 0)
	beside, last := run(t, 10_000)
	t.Logf("p99 alone %v, beside 10 000 calls of another account %v; the last of those after %v", alone, beside, last)
	if beside > 2*alone || beside <= alone {
		t.Errorf("p99 %v beside the loud account, %v alone", beside, alone)
	}
}

// TestShow7Priorities: a batch job of the same account cannot starve the checkout,
// nor the checkout the batch job.
func TestShow7Priorities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := crowd{h: compile(t, (&counter{}).RoundTrip, oneTry+`limit "published" {
			rate     = "100/s"
			burst    = 1
			wait     = "1h"
			priority = request.header["X-Priority"]
		}`)}
		for range 5000 {
			c.call("batch", call{method: "GET", path: "/x", header: http.Header{"X-Priority": {"low"}}})
		}
		synctest.Wait()
		for range 10 { // of 90 a second: as much as the limit lets through beside the tenth of the others
			for range 90 {
				c.call("checkout", call{method: "GET", path: "/x", header: http.Header{"X-Priority": {"high"}}})
				time.Sleep(time.Second / 90)
			}
		}
		synctest.Wait()
		c.mu.Lock()
		batch := len(c.took["batch"])
		c.mu.Unlock()
		c.wg.Wait()
		if got := p99(c.took["checkout"]); len(c.took["checkout"]) != 900 || got > 100*time.Millisecond {
			t.Errorf("%d checkouts were made, p99 %v", len(c.took["checkout"]), got)
		}
		if batch < 90 || batch > 200 {
			t.Errorf("%d calls of the batch job were made within 10 s, want about a tenth of 1000", batch)
		}
		if len(c.took["batch"]) != 5000 {
			t.Errorf("%d calls of the batch job were made in the end", len(c.took["batch"]))
		}
	})
}

// TestShow7NobodyStarves: while there are more urgent calls than the limit lets
// through, a tenth is for the others, and most of it for those who wait longest.
func TestShow7NobodyStarves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := crowd{h: compile(t, (&counter{}).RoundTrip, oneTry+`limit "published" {
			rate     = "100/s"
			burst    = 1
			wait     = "1h"
			priority = request.header["X-Priority"]
		}`)}
		for _, who := range []string{"low", "7"} {
			for range 50 {
				c.call(who, call{method: "GET", path: "/x", header: http.Header{"X-Priority": {who}}})
			}
		}
		for range 1500 {
			c.call("high", call{method: "GET", path: "/x", header: http.Header{"X-Priority": {"high"}}})
			time.Sleep(time.Second / 150)
		}
		c.mu.Lock()
		low, last := len(c.took["low"]), len(c.took["7"])
		c.mu.Unlock()
		if low < 40 || last < 40 || low+last > 105 {
			t.Errorf("%d and %d of the others were made within 10 s of 1000", low, last)
		}
		c.wg.Wait()
	})
}

// TestP28QueueFull: a queue has a length, and whoever fills it keeps nobody else out.
func TestP28QueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := crowd{h: compile(t, (&counter{}).RoundTrip, oneTry+`limit "slow" {
			rate  = "1/s"
			burst = 1
			wait  = "1h"
			queue = 10
		}`)}
		for range 30 {
			c.call("loud", call{method: "GET", path: "/x", account: "loud"})
		}
		synctest.Wait()
		if got := len(c.refused["loud"]); got != 19 { // one went out, and ten wait
			t.Errorf("%d were refused, want 19", got)
		}
		for range 4 {
			c.call("quiet", call{method: "GET", path: "/x", account: "quiet"})
		}
		synctest.Wait()
		if len(c.refused["quiet"]) != 0 || len(c.refused["loud"]) != 23 {
			t.Errorf("%d of the quiet account and %d of the loud one were refused", len(c.refused["quiet"]), len(c.refused["loud"]))
		}
		c.wg.Wait()
		for _, d := range c.refused["loud"] {
			if d.Code != policy.Limited || d.RetryAfter <= 0 || !strings.Contains(d.Detail, "queue of 10 calls is full") {
				t.Errorf("%+v", d)
			}
		}
		if len(c.took["quiet"]) != 4 || slices.Max(c.took["quiet"]) > 9*time.Second {
			t.Errorf("%v: want every second turn", c.took["quiet"])
		}
	})
}

// TestP28NoLostTokens: whoever leaves a queue takes nothing with him: the others
// go out as fast as the limit lets them, to the last one. They go in the order of
// coming.
func TestP28NoLostTokens(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			order := map[int]time.Duration{} // when each call went out
			h := compile(t, (&counter{}).RoundTrip, oneTry+`limit "published" {
				rate  = "100/s"
				burst = 1
				wait  = "1h"
			}`)
			start := time.Now()
			var wg sync.WaitGroup
			for i := range 300 {
				ctx, cancel := context.WithCancel(t.Context())
				if rand.N(3) == 0 {
					time.AfterFunc(time.Duration(rand.N(200))*10*time.Millisecond, cancel) // when a place comes free, too
				}
				wg.Go(func() {
					defer cancel()
					x, resp, err := h.do(call{method: "GET", path: "/x", ctx: ctx})
					if err != nil {
						if x.Attempts != 0 || !errors.Is(err, context.Canceled) {
							t.Errorf("%v after %d attempts", err, x.Attempts)
						}
						return
					}
					finish(t, resp, err)
					mu.Lock()
					defer mu.Unlock()
					order[i] = time.Since(start)
					// a place that is given back at its time is used with the next one
					if late := time.Since(start) - time.Duration(len(order)-1)*10*time.Millisecond; late < 0 || late > 10*time.Millisecond {
						t.Errorf("call %d, number %d to go out, did after %v", i, len(order), time.Since(start))
					}
				})
				synctest.Wait()
			}
			wg.Wait()
			last := time.Duration(0)
			for i := range 300 {
				if at, ok := order[i]; ok && at < last {
					t.Errorf("call %d went out before one that came earlier", i)
				} else if ok {
					last = at
				}
			}
			if got := passes(h, 2, call{method: "GET", path: "/x", total: time.Millisecond}); got > 1 {
				t.Errorf("%d at once from a bucket of one", got)
			}
		})
	}
}

// TestConcurrency: so many at once, until the end of their answers, and the next
// one when one ends.
func TestConcurrency(t *testing.T) {
	const src = oneTry + `limit "at once" {
		concurrency = 3
		wait        = "1h"
	}`
	synctest.Test(t, func(t *testing.T) {
		p := &counter{takes: time.Second, body: "answer"}
		c := crowd{h: compile(t, p.RoundTrip, src)}
		start := time.Now()
		for i := range 12 {
			c.call("all", call{method: "GET", path: "/x", account: fmt.Sprint(i % 2)})
		}
		c.wg.Wait()
		if p.most != 3 || p.sent != 12 || time.Since(start) != 4*time.Second {
			t.Errorf("%d at once, %d in all, in %v", p.most, p.sent, time.Since(start))
		}
	})
	synctest.Test(t, func(t *testing.T) { // it is the end of the answer that counts
		h := compile(t, (&counter{body: "answer"}).RoundTrip, oneTry+`limit "at once" {
			concurrency = 2
			wait        = "1s"
		}`)
		var open []*http.Response
		for range 2 {
			_, resp, err := h.do(call{method: "GET", path: "/x"})
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, resp)
		}
		_, _, err := h.do(call{method: "GET", path: "/x"})
		if d := denied(t, err, policy.Limited); d.RetryAfter != time.Second {
			t.Errorf("%+v", d)
		}
		if _, err := io.ReadAll(open[0].Body); err != nil { // read, and not closed yet
			t.Fatal(err)
		}
		_, resp, err := h.do(call{method: "GET", path: "/x"})
		finish(t, resp, err)
		open[0].Body.Close()
		_, resp, err = h.do(call{method: "GET", path: "/x"})
		if err != nil {
			t.Fatal(err)
		}
		open[1].Body.Close()
		resp.Body.Close()
		if got := passes(h, 5, call{method: "GET", path: "/x"}); got != 5 {
			t.Errorf("%d of 5 passed after all had ended", got)
		}
	})
	synctest.Test(t, func(t *testing.T) { // failures end, too
		s := play(t, step{err: errBroke, now: sent})
		h := compile(t, s.RoundTrip, src)
		for range 10 {
			if _, _, err := h.do(call{method: "GET", path: "/x", total: time.Second}); err == nil {
				t.Fatal("no error")
			} else {
				denied(t, err, policy.CodeUnreachable)
			}
		}
	})
}

// TestLimitObserves: what would have been refused is told from what would have
// waited, and all go out.
func TestLimitObserves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := compile(t, (&counter{}).RoundTrip, `limit "slow" {
			rate  = "1/s"
			burst = 1
			wait  = "3s"
			mode  = "observe"
		}`)
		for i := range 8 {
			x, resp, err := h.do(call{method: "GET", path: "/x"})
			finish(t, resp, err)
			if noted(x, "limit", "would_wait") != (i > 0 && i < 4) || noted(x, "limit", "would_refuse") != (i >= 4) {
				t.Errorf("call %d: %v", i, x.Notes)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := &counter{takes: time.Second}
		c := crowd{h: compile(t, p.RoundTrip, "limit \"at once\" {\nconcurrency = 2\nmode = \"observe\"\n}")}
		for range 5 {
			c.call("all", call{method: "GET", path: "/x"})
		}
		c.wg.Wait()
		if p.most != 5 || len(c.refused) > 0 {
			t.Errorf("%d at once, %v refused", p.most, c.refused)
		}
	})
}
