package policy_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// quota is a provider that lets so many calls of each account pass in a window.
type quota struct {
	t      *testing.T
	mu     sync.Mutex
	most   int
	window time.Duration
	say    func(h http.Header, left int, reset time.Time)
	after  bool // a refusal says when to come again
	takes  time.Duration

	left    map[string]int
	reset   map[string]time.Time
	refused int
	at      []time.Time
}

func (q *quota) RoundTrip(r *http.Request) (*http.Response, error) {
	x := policy.From(r.Context())
	q.mu.Lock()
	q.at = append(q.at, time.Now())
	q.mu.Unlock()
	time.Sleep(q.takes)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.left == nil {
		q.left, q.reset = map[string]int{}, map[string]time.Time{}
	}
	if !time.Now().Before(q.reset[x.Account]) {
		q.left[x.Account], q.reset[x.Account] = q.most, time.Now().Add(q.window)
	}
	status, h := 200, http.Header{}
	if q.left[x.Account]--; q.left[x.Account] < 0 {
		q.left[x.Account] = 0
		q.refused++
		status = 429
		if q.after {
			h.Set("Retry-After", strconv.Itoa(int(time.Until(q.reset[x.Account]).Seconds())+1))
		}
	}
	if q.say != nil {
		q.say(h, q.left[x.Account], q.reset[x.Account])
	}
	x.Now.Connected, x.Now.Written, x.Now.Answered = true, 1, true
	return &http.Response{StatusCode: status, Header: h, Body: http.NoBody, Request: r}, nil
}

// TestLearned: in every form that providers have, calls wait for the reset when
// nothing is left, are refused if that is too far away, and an account's are not
// another's. No call goes out in vain.
func TestLearned(t *testing.T) {
	set := func(name string, value func(left int, reset time.Time) string) func(http.Header, int, time.Time) {
		return func(h http.Header, left int, reset time.Time) {
			h.Set("X-RateLimit-Remaining", strconv.Itoa(left))
			h.Set(name, value(left, reset))
		}
	}
	reset := func(unit string) string {
		return `limit "learned" {
			remaining = response.header["X-RateLimit-Remaining"]
			reset     = response.header["X-RateLimit-Reset"]
			unit      = "` + unit + `"
			wait      = "20s"
		}`
	}
	const fields = "limit \"learned\" {\nfrom = \"ratelimit\"\nwait = \"20s\"\n}"
	for name, c := range map[string]struct {
		src string
		say func(http.Header, int, time.Time)
	}{
		"epoch_seconds": {reset("epoch_seconds"), set("X-RateLimit-Reset", func(_ int, r time.Time) string { return strconv.FormatInt(r.Unix(), 10) })},
		"epoch_ms":      {reset("epoch_ms"), set("X-RateLimit-Reset", func(_ int, r time.Time) string { return strconv.FormatInt(r.UnixMilli(), 10) })},
		"delta_seconds": {reset("delta_seconds"), set("X-RateLimit-Reset", func(_ int, r time.Time) string { return fmt.Sprint(time.Until(r).Seconds()) })},
		"duration":      {reset("duration"), set("X-RateLimit-Reset", func(_ int, r time.Time) string { return time.Until(r).String() })},
		"rfc3339":       {reset("rfc3339"), set("X-RateLimit-Reset", func(_ int, r time.Time) string { return r.UTC().Format(time.RFC3339Nano) })},
		"RateLimit":     {fields, set("RateLimit", func(n int, r time.Time) string { return fmt.Sprintf(`"a";r=%d;t=%d`, n, int(time.Until(r).Seconds())) })},
		"RateLimit 06": {fields, func(h http.Header, n int, r time.Time) {
			h.Set("RateLimit-Remaining", strconv.Itoa(n))
			h.Set("RateLimit-Reset", strconv.Itoa(int(time.Until(r).Seconds())))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &quota{t: t, most: 5, window: 10 * time.Second, say: c.say}
				h := compile(t, q.RoundTrip, oneTry+"cooldown { mode = \"observe\" }\n"+c.src)
				start := time.Now()
				for i := range 12 {
					x, resp, err := h.do(call{method: "GET", path: "/x", account: "a"})
					finish(t, resp, err)
					if want := time.Duration(i/5) * 10 * time.Second; time.Since(start) != want || (x.Waited > 0) != (i > 0 && i%5 == 0) {
						t.Errorf("call %d after %v, waited %v; want %v", i, time.Since(start), x.Waited, want)
					}
				}
				if got := passes(h, 5, call{method: "GET", path: "/x", account: "b"}); got != 5 {
					t.Errorf("%d of 5 calls of another account passed", got)
				}
				if got := passes(h, 3, call{method: "GET", path: "/x", account: "a"}); got != 3 {
					t.Errorf("%d of the 3 that are left passed", got)
				}
				_, _, err := h.do(call{method: "GET", path: "/x", account: "a", total: time.Second})
				if d := denied(t, err, policy.Limited); d.RetryAfter != 10*time.Second || !strings.Contains(d.Detail, `limit "learned" of p`) {
					t.Errorf("%+v", d)
				}
				if q.refused != 0 {
					t.Errorf("%d calls went out in vain", q.refused)
				}
			})
		})
	}
}

// TestLearnedAtOnce: calls without an answer yet are taken off what the answers of
// others say is left; after a reset calls do not begin all at once.
func TestLearnedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &quota{t: t, most: 50, window: 10 * time.Second, takes: 100 * time.Millisecond, say: func(h http.Header, left int, reset time.Time) {
			h.Set("RateLimit", fmt.Sprintf(`"a";r=%d;t=%d`, left, int(time.Until(reset).Seconds()+0.999)))
		}}
		c := crowd{h: compile(t, q.RoundTrip, oneTry+"timeout { total = \"1h\" }\nlimit \"learned\" {\nfrom = \"ratelimit\"\nwait = \"1h\"\n}")}
		_, resp, err := c.h.do(call{method: "GET", path: "/x"}) // from now on something is known
		finish(t, resp, err)
		start := time.Now()
		for range 200 {
			c.call("all", call{method: "GET", path: "/x"})
		}
		c.wg.Wait()
		if q.refused != 0 || len(c.took["all"]) != 200 {
			t.Errorf("%d of 200 were made, %d in vain", len(c.took["all"]), q.refused)
		}
		if d := time.Since(start); d > 45*time.Second {
			t.Errorf("200 calls of 50 in 10 s took %v", d)
		}
	})
}

// TestP23LearnedWord: values that go down at will are followed, what is malformed is
// ignored, and a redirect does not hold up what follows it.
func TestP23LearnedWord(t *testing.T) {
	const src = oneTry + `limit "learned" {
		remaining = response.header["X-Left"]
		reset     = response.header["X-Reset"]
		unit      = "delta_seconds"
		wait      = "0s"
	}`
	for _, c := range []struct {
		name   string
		status int
		says   []map[string]string // one answer after the other
		passes bool                // another call
	}{
		{"nothing left", 200, []map[string]string{{"X-Left": "0", "X-Reset": "30"}}, false},
		{"down at will", 200, []map[string]string{{"X-Left": "4000", "X-Reset": "30"}, {"X-Left": "0", "X-Reset": "30"}}, false},
		{"up again", 200, []map[string]string{{"X-Left": "1", "X-Reset": "30"}, {"X-Left": "10", "X-Reset": "60"}}, true},
		{"malformed is ignored", 200, []map[string]string{{"X-Left": "none", "X-Reset": "30"}}, true},
		{"malformed changes nothing", 200, []map[string]string{{"X-Left": "1", "X-Reset": "30"}, {"X-Left": "?"}}, false},
		{"unreadable reset", 200, []map[string]string{{"X-Left": "0", "X-Reset": "soon"}}, true},
		{"no reset", 200, []map[string]string{{"X-Left": "0"}}, true},
		{"reset in years", 200, []map[string]string{{"X-Left": "0", "X-Reset": "1795953600"}}, true},
		{"redirect", 307, []map[string]string{{"X-Left": "0", "X-Reset": "30"}}, true},
		{"failure", 500, []map[string]string{{"X-Left": "0", "X-Reset": "30"}}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			var steps []step
			for _, h := range c.says {
				steps = append(steps, step{status: c.status, header: h})
			}
			h := compile(t, play(t, append(steps, step{status: 200})...).RoundTrip, src)
			for range c.says {
				_, resp, err := h.do(call{method: "GET", path: "/x"})
				finish(t, resp, err)
			}
			if got := passes(h, 1, call{method: "GET", path: "/x"}); (got == 1) != c.passes {
				t.Errorf("%s: another call passed: %v", c.name, got == 1)
			}
			time.Sleep(31 * time.Second)
			if got := passes(h, 1, call{method: "GET", path: "/x"}); got != 1 {
				t.Errorf("%s: no call passed after the reset", c.name)
			}
		})
	}
}

// TestLearnedCost: Shopify's buckets: what is left and comes back is in the body,
// and calls cost more or less.
func TestLearnedCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := func(cost, left int) string {
			return fmt.Sprintf(`{"data":{},"extensions":{"cost":{"actualQueryCost":%d,"throttleStatus":{"maximumAvailable":1000,"currentlyAvailable":%d,"restoreRate":50}}}}`, cost, left)
		}
		json := map[string]string{"Content-Type": "application/json"}
		s := play(t, step{status: 200, header: json, body: body(900, 100)}, step{status: 200, header: json, body: body(100, 0)}, step{status: 200, header: json, body: body(10, 40)})
		h := compile(t, s.RoundTrip, oneTry+`limit "points" {
			remaining = response.body.extensions.cost.throttleStatus.currentlyAvailable
			refill    = response.body.extensions.cost.throttleStatus.restoreRate
			cost      = response.body.extensions.cost.actualQueryCost
		}`)
		for i, want := range []time.Duration{0, 0, 20 * time.Millisecond, 0} {
			x, resp, err := h.do(call{method: "POST", path: "/graphql.json"})
			finish(t, resp, err)
			if x.Waited != want {
				t.Errorf("call %d waited %v, want %v", i, x.Waited, want)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) { // used/limit, and a rate at which it leaks
		s := play(t, step{status: 200, header: map[string]string{"X-Shopify-Shop-Api-Call-Limit": "40/40"}})
		h := compile(t, s.RoundTrip, oneTry+`limit "leak" {
			remaining = response.header["X-Shopify-Shop-Api-Call-Limit"]
			refill    = 2
		}`)
		for i, want := range []time.Duration{0, 500 * time.Millisecond, 500 * time.Millisecond} {
			x, resp, err := h.do(call{method: "GET", path: "/x"})
			finish(t, resp, err)
			if x.Waited != want {
				t.Errorf("call %d waited %v, want %v", i, x.Waited, want)
			}
		}
	})
}

// TestLearnedSurvivesReload: what was learned is known after it.
func TestLearnedSurvivesReload(t *testing.T) {
	const src = "limit \"learned\" {\nfrom = \"ratelimit\"\nwait = \"0s\"\n}\nroute \"/own\" {\nlimit \"learned\" { by = request.path }\n}\nroute \"/same\" {\nlimit \"learned\" { wait = \"1s\" }\n}"
	synctest.Test(t, func(t *testing.T) {
		s := play(t, step{status: 200, header: map[string]string{"RateLimit": `"a";r=0;t=30`}})
		h := compile(t, s.RoundTrip, src)
		passes(h, 1, call{method: "GET", path: "/x"})
		h.compile(src)
		for path, want := range map[string]int{"/x": 0, "/same": 0, "/own": 1} {
			if got := passes(h, 2, call{method: "GET", path: path}); got != want {
				t.Errorf("%s: %d passed, want %d", path, got, want)
			}
		}
	})
}
