package policy_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// limited is a provider that refuses until a time, and counts what it is sent.
type limited struct {
	mu    sync.Mutex
	until time.Time
	steps []step // the refusals, the last one again and again
	takes time.Duration
	now   int
	most  int // at once, since the refusals ended
	sent  []time.Time
}

func (l *limited) RoundTrip(r *http.Request) (*http.Response, error) {
	x := policy.From(r.Context())
	l.mu.Lock()
	l.sent = append(l.sent, time.Now())
	st := step{status: 200}
	if time.Now().Before(l.until) {
		st = l.steps[0]
		if len(l.steps) > 1 {
			l.steps = l.steps[1:]
		}
	} else {
		l.now++
		l.most = max(l.most, l.now)
	}
	l.mu.Unlock()
	time.Sleep(l.takes)
	l.mu.Lock()
	if st.status == 200 && l.now > 0 {
		l.now--
	}
	l.mu.Unlock()
	h := http.Header{}
	for k, v := range st.header {
		h.Set(k, v)
	}
	x.Now.Connected, x.Now.Written, x.Now.Answered = true, 1, true
	return &http.Response{StatusCode: st.status, Header: h, Body: http.NoBody, Request: r}, nil
}

// TestP26Cooldown: whatever way a provider says that its limit is reached, its
// account is called no more until the time that it says; others are.
func TestP26Cooldown(t *testing.T) {
	for _, c := range []struct {
		name, src string
		answer    step
		lasts     time.Duration
	}{
		{"429", "", step{status: 429, header: map[string]string{"Retry-After": "10"}}, 10 * time.Second},
		{"date", "", step{status: 429, header: map[string]string{"Retry-After": "Sat, 01 Jan 2000 00:00:10 GMT", "Date": "Sat, 01 Jan 2000 00:00:00 GMT"}}, 10 * time.Second},
		{"milliseconds", "", step{status: 429, header: map[string]string{"Retry-After-Ms": "10000"}}, 10 * time.Second},
		{"RateLimit", "", step{status: 429, header: map[string]string{"RateLimit": `"burst";r=3;t=1, "day";r=0;t=10`}}, 10 * time.Second},
		{"by what retry names", `retry {
			after = response.header["X-Reset"]
			unit  = "epoch_seconds"
		}`, step{status: 429, header: map[string]string{"X-Reset": "946684810"}}, 10 * time.Second},
		{"secondary limit", `outcome "rate_limited" { when = response.status == 403 }`, step{status: 403, header: map[string]string{"Retry-After": "10"}}, 10 * time.Second},
		{"with 200", `outcome "rate_limited" { when = response.header["X-Error"] == "THROTTLED" }`, step{status: 200, header: map[string]string{"X-Error": "THROTTLED", "Retry-After": "10"}}, 10 * time.Second},
		{"quota", `outcome "quota_exhausted" { when = response.status == 429 }`, step{status: 429, header: map[string]string{"Retry-After": "10"}}, 10 * time.Second},
		{"quota without an end", `outcome "quota_exhausted" { when = response.status == 429 }`, step{status: 429}, 0},
		{"no word", "", step{status: 429}, 500 * time.Millisecond},
		{"malformed", "", step{status: 429, header: map[string]string{"Retry-After": "soon"}}, 500 * time.Millisecond},
		{"capped", `cooldown { max = "10s" }`, step{status: 429, header: map[string]string{"Retry-After": "9999999999999"}}, 10 * time.Second},
		{"503 is no limit", "", step{status: 503, header: map[string]string{"Retry-After": "10"}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &limited{until: time.Now().Add(time.Millisecond), steps: []step{c.answer}}
				src := oneTry + c.src
				if strings.HasPrefix(c.src, "retry") {
					src = strings.Replace(c.src, "retry {", "retry {\nattempts = 1", 1)
				}
				if !strings.Contains(src, "cooldown") {
					src += "\ncooldown { wait = \"0s\" }"
				} else {
					src = strings.Replace(src, "{ max", "{\nwait = \"0s\"\nmax", 1)
					src = strings.Replace(src, `"10s" }`, "\"10s\"\n}", 1)
				}
				h := compile(t, l.RoundTrip, src, "other: "+src)
				_, resp, err := h.do(call{method: "POST", path: "/x", account: "a"})
				finish(t, resp, err)
				sent := len(l.sent)
				time.Sleep(2 * time.Millisecond)
				if got := passes(h, 1, call{method: "POST", path: "/y", account: "a"}); (got == 1) != (c.lasts == 0) || len(l.sent) != sent+got {
					t.Errorf("%d passed, %d were sent", got, len(l.sent)-sent)
				}
				if got := passes(h, 3, call{method: "POST", path: "/x", account: "b"}); got != 3 {
					t.Errorf("%d of 3 of another account passed", got)
				}
				if got := passes(h, 3, call{provider: "other", method: "POST", path: "/x", account: "a"}); got != 3 {
					t.Errorf("%d of 3 to another provider passed", got)
				}
				if c.lasts == 0 {
					return
				}
				_, _, err = h.do(call{method: "POST", path: "/x", account: "a"})
				if d := denied(t, err, policy.Limited); d.Stage != "cooldown" || d.RetryAfter != max(time.Second, c.lasts-2*time.Millisecond) {
					t.Errorf("%+v", d)
				}
				time.Sleep(c.lasts - 3*time.Millisecond)
				if got := passes(h, 1, call{method: "POST", path: "/x", account: "a"}); got != 0 {
					t.Error("one passed before the time")
				}
				h.compile(src, "other: "+src) // survives a reload
				time.Sleep(time.Millisecond)
				if got := passes(h, 1, call{method: "POST", path: "/x", account: "a"}); got != 1 {
					t.Error("none passed after the time")
				}
			})
		})
	}
}

// TestCooldownScope: an endpoint alone, where the policy says so.
func TestCooldownScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &limited{until: time.Now().Add(time.Millisecond), steps: []step{{status: 429, header: map[string]string{"Retry-After": "10"}}}}
		h := compile(t, l.RoundTrip, oneTry+"endpoints = [\"/search\", \"/users\"]\ncooldown {\nscope = \"endpoint\"\nwait = \"0s\"\n}")
		_, resp, err := h.do(call{method: "GET", path: "/search"})
		finish(t, resp, err)
		time.Sleep(2 * time.Millisecond)
		for path, want := range map[string]int{"/search": 0, "/users": 1, "/x": 1} {
			if got := passes(h, 1, call{method: "GET", path: path}); got != want {
				t.Errorf("%s: %d passed, want %d", path, got, want)
			}
		}
	})
}

// TestCooldownRamp: those who waited do not all begin at once, first come first; if
// the provider says no again they wait again.
func TestCooldownRamp(t *testing.T) {
	const src = "retry { attempts = 1 }\ntimeout { total = \"1h\" }\ncooldown { wait = \"10m\" }"
	synctest.Test(t, func(t *testing.T) {
		l := &limited{until: time.Now().Add(10 * time.Second), takes: 100 * time.Millisecond, steps: []step{{status: 429, header: map[string]string{"Retry-After": "10"}}}}
		c := crowd{h: compile(t, l.RoundTrip, src)}
		_, resp, err := c.h.do(call{method: "GET", path: "/x"})
		finish(t, resp, err)
		for range 500 {
			c.call("all", call{method: "GET", path: "/x"})
		}
		c.wg.Wait()
		end := l.sent[0].Add(10*time.Second + 100*time.Millisecond)
		within := func(d time.Duration) (n int) {
			for _, at := range l.sent[1:] {
				if at.Before(end.Add(d)) {
					n++
				}
			}
			return n
		}
		if len(c.took["all"]) != 500 || within(0) != 0 || within(time.Millisecond) != 1 || within(time.Second) != 10 || within(3*time.Second) != 70 || within(10*time.Second) != 500 {
			t.Errorf("%d were made; sent: %d too early, %d at the end, %d within a second, %d within three, %d within ten", len(c.took["all"]), within(0), within(time.Millisecond), within(time.Second), within(3*time.Second), within(10*time.Second))
		}
	})
	synctest.Test(t, func(t *testing.T) { // again
		l := &limited{until: time.Now().Add(25 * time.Second), takes: 100 * time.Millisecond, steps: []step{{status: 429, header: map[string]string{"Retry-After": "10"}}}}
		c := crowd{h: compile(t, l.RoundTrip, src)}
		_, resp, err := c.h.do(call{method: "GET", path: "/x"})
		finish(t, resp, err)
		for range 100 {
			c.call("all", call{method: "GET", path: "/x"})
		}
		c.wg.Wait()
		if n := slices.IndexFunc(l.sent, func(at time.Time) bool { return !at.Before(l.until) }); n != 3 {
			t.Errorf("%d calls went out in vain, want one each time", n)
		}
	})
}

// TestCooldownWithoutWord: where the provider does not say how long, it is longer
// each time, and calls that were under way already do not make it longer.
func TestCooldownWithoutWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &limited{until: time.Now().Add(time.Hour), takes: 10 * time.Millisecond, steps: []step{{status: 429}}}
		c := crowd{h: compile(t, l.RoundTrip, oneTry+`cooldown { wait = "0s" }`)}
		for range 20 {
			c.call("all", call{method: "GET", path: "/x"})
		}
		c.wg.Wait()
		last := time.Now()
		var gaps []time.Duration
		for len(gaps) < 9 {
			if passes(c.h, 1, call{method: "GET", path: "/x"}) == 1 {
				gaps = append(gaps, time.Since(last).Round(500*time.Millisecond))
				last = time.Now()
			}
			time.Sleep(50 * time.Millisecond)
		}
		want := []time.Duration{500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000}
		for i := range want {
			if d := gaps[i] - want[i]*time.Millisecond; d < 0 || d > 500*time.Millisecond {
				t.Errorf("gaps %v, want about %v ms", gaps, want)
				break
			}
		}
	})
}

// TestCooldownAfterLimit: who waits for a limit when the provider says no does not
// go out, and the token is another's.
func TestCooldownAfterLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &limited{until: time.Now().Add(5 * time.Second), takes: 100 * time.Millisecond, steps: []step{{status: 200}, {status: 429, header: map[string]string{"Retry-After": "20"}}}}
		c := crowd{h: compile(t, l.RoundTrip, oneTry+`
			limit "slow" {
				rate  = "1/s"
				burst = 1
				wait  = "1m"
			}
			cooldown { wait = "2s" }`)}
		for range 10 {
			c.call("a", call{method: "GET", path: "/x", account: "a"})
		}
		time.Sleep(1500 * time.Millisecond) // the second was refused
		start := time.Now()
		c.call("b", call{method: "GET", path: "/x", account: "b"})
		c.wg.Wait()
		if len(l.sent) != 3 || len(c.refused["a"]) != 8 {
			t.Errorf("%d were sent, %d refused: %v", len(l.sent), len(c.refused["a"]), c.refused["a"])
		}
		if got := c.took["b"]; len(got) != 1 || got[0] > 2*time.Second {
			t.Errorf("%v: another account waited for those of the limited one, from %v", got, start)
		}
	})
}

// TestCooldownObserves: it says what it would do.
func TestCooldownObserves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &limited{until: time.Now().Add(time.Millisecond), steps: []step{{status: 429, header: map[string]string{"Retry-After": "10"}}}}
		h := compile(t, l.RoundTrip, oneTry+`cooldown { mode = "observe" }`)
		_, resp, err := h.do(call{method: "GET", path: "/x"})
		finish(t, resp, err)
		time.Sleep(2 * time.Millisecond)
		x, resp, err := h.do(call{method: "GET", path: "/x"})
		finish(t, resp, err)
		if !noted(x, "cooldown", "would_wait") || resp.StatusCode != 200 {
			t.Errorf("%d, %v", resp.StatusCode, x.Notes)
		}
	})
}

// TestCooldownRetries: the call that was refused is the first to go out again.
func TestCooldownRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &limited{until: time.Now().Add(7 * time.Second), steps: []step{{status: 429, header: map[string]string{"Retry-After": "7"}}}}
		x, resp, err := compile(t, l.RoundTrip, "").do(call{method: "POST", path: "/x"})
		finish(t, resp, err)
		if resp.StatusCode != 200 || x.Attempts != 2 || x.Waited != 7*time.Second {
			t.Errorf("%d after %d attempts and %v", resp.StatusCode, x.Attempts, x.Waited)
		}
	})
}
