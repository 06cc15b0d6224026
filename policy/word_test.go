package policy_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// TestP22After: where there is no Retry-After, the wait is what the policy names,
// in its unit, by the provider's own clock, and only of a limit.
func TestP22After(t *testing.T) {
	const jitterless = "backoff {\nfirst = \"500ms\"\njitter = \"none\"\n}\n"
	clock := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) // of the provider
	for _, c := range []struct {
		name, src string
		status    int
		header    map[string]string
		body      string
		waited    time.Duration
	}{
		{"epoch_seconds", `after = response.header["X-Reset"]` + "\nunit = \"epoch_seconds\"", 429, map[string]string{"X-Reset": "1795435230"}, "", 30 * time.Second},
		{"epoch_ms", `after = response.header["X-Reset"]` + "\nunit = \"epoch_ms\"", 429, map[string]string{"X-Reset": "1795435230500"}, "", 30500 * time.Millisecond},
		{"delta_seconds", `after = response.header["X-Reset"]` + "\nunit = \"delta_seconds\"", 429, map[string]string{"X-Reset": "12"}, "", 12 * time.Second},
		{"duration", `after = response.header["X-Reset"]` + "\nunit = \"duration\"", 429, map[string]string{"X-Reset": "1m2s"}, "", 62 * time.Second},
		{"rfc3339", `after = response.header["X-Reset"]` + "\nunit = \"rfc3339\"", 429, map[string]string{"X-Reset": "2026-11-23T12:00:30Z"}, "", 30 * time.Second},
		{"the body", `after = response.body.retry_after` + "\nunit = \"delta_seconds\"", 429, nil, `{"retry_after":0.3}`, 300 * time.Millisecond},
		{"the body, as Retry-After is written", `after = response.body.retry_after`, 429, nil, `{"retry_after":"PT3S"}`, 3 * time.Second},
		{"Retry-After comes before", `after = response.body.retry_after`, 429, map[string]string{"Retry-After": "2"}, `{"retry_after":9}`, 2 * time.Second},
		{"milliseconds come before", `after = response.body.retry_after`, 429, map[string]string{"Retry-After-Ms": "1200", "Retry-After": "2"}, ``, 1200 * time.Millisecond},
		{"malformed: our own", `after = response.body.retry_after`, 429, nil, `{"retry_after":"soon"}`, 500 * time.Millisecond},
		{"another unit: our own", `after = response.header["X-Reset"]` + "\nunit = \"rfc3339\"", 429, map[string]string{"X-Reset": "30"}, "", 500 * time.Millisecond},
		{"absent: our own", `after = response.body.retry_after`, 429, nil, `{}`, 500 * time.Millisecond},
		{"past: at once", `after = response.header["X-Reset"]` + "\nunit = \"epoch_seconds\"", 429, map[string]string{"X-Reset": "1795435100"}, "", 0},
		{"no limit: our own", `after = response.header["X-Reset"]` + "\nunit = \"delta_seconds\"", 503, map[string]string{"X-Reset": "12"}, "", 500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				header := map[string]string{"Date": clock.Format(http.TimeFormat), "Content-Type": "application/json"}
				for k, v := range c.header {
					header[k] = v
				}
				s := play(t, step{status: c.status, header: header, body: c.body}, step{status: 200})
				h := compile(t, s.RoundTrip, "timeout { total = \"10m\" }\nretry {\n"+jitterless+c.src+"\n}")
				x, resp, err := h.do(call{method: "GET", path: "/x"})
				finish(t, resp, err)
				if len(s.sent) != 2 || x.Waited != c.waited {
					t.Errorf("sent %d times, waited %v, want %v", len(s.sent), x.Waited, c.waited)
				}
			})
		})
	}
}

// TestP22TooLong: a wait beyond the cap or the call's own time is not begun. The
// answer is the provider's, at once, and the hint has the time.
func TestP22TooLong(t *testing.T) {
	for _, c := range []struct {
		name, src string
		total     time.Duration
		header    string
		hint      []string
	}{
		{"the call's time", `timeout { total = "60s" }`, 0, "61", []string{"1m1s", "longer than this call may still take", "2000-01-01T00:01:01Z"}},
		{"the application's", ``, 5 * time.Second, "6", []string{"6s", "longer than this call may still take", "2000-01-01T00:00:06Z"}},
		{"the cap", "timeout { total = \"0s\" }\nretry { wait = \"10s\" }", 0, "11", []string{"11s", "longer than retry.wait of 10s", "2000-01-01T00:00:11Z"}},
		{"the default cap", "timeout { total = \"0s\" }", 0, "3601", []string{"1h0m1s", "longer than retry.wait of 1h0m0s"}},
		{"for ever", "timeout { total = \"0s\" }", 0, "99999999999999999999", []string{"more than a hundred years"}},
		{"behind the rule's own", "outcome \"rate_limited\" {\nwhen = response.status == 429\nhint = \"Slow down.\"\n}", 0, "61", []string{"Slow down. The provider asks", "1m1s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := play(t, step{status: 429, header: map[string]string{"Retry-After": c.header}, body: "slow down"}, step{status: 200})
				x, resp, err := compile(t, s.RoundTrip, c.src).do(call{method: "POST", path: "/x", total: c.total})
				text := finish(t, resp, err)
				if len(s.sent) != 1 || x.Waited != 0 || resp.StatusCode != 429 || text != "slow down" || resp.Header.Get("Retry-After") != c.header {
					t.Errorf("sent %d times, waited %v: %d %q %v", len(s.sent), x.Waited, resp.StatusCode, text, resp.Header)
				}
				for _, want := range c.hint {
					if !strings.Contains(x.Hint, want) {
						t.Errorf("the hint lacks %q: %q", want, x.Hint)
					}
				}
				if !noted(x, "retry", "not_again") {
					t.Error("the log does not say why")
				}
			})
		})
	}
}

// TestBudgetOfDeadline: attempts and waits stay within the time that the call may
// take: no wait is begun that would end after it, whoever set it.
func TestBudgetOfDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, step{status: 503, takes: time.Second})
		h := compile(t, s.RoundTrip, "timeout { total = \"20s\" }\nretry {\nattempts = 20\nbudget = 1\nbackoff {\nfirst = \"1s\"\nfactor = 1\njitter = \"none\"\n}\n}")
		for range 40 { // so that the budget of the provider is no matter
			_, resp, err := h.do(call{method: "POST", path: "/x"})
			finish(t, resp, err)
		}
		before, start := len(s.sent), time.Now()
		x, resp, err := h.do(call{method: "GET", path: "/x", total: 5500 * time.Millisecond})
		finish(t, resp, err) // a fourth one would begin after 6 s
		if got := len(s.sent) - before; got != 3 || time.Since(start) != 5*time.Second || !noted(x, "retry", "not_again") {
			t.Errorf("%d attempts in %v, want 3 in 5 s: %v", got, time.Since(start), x.Notes)
		}
	})
}

// TestP21SDKRetries: a retry by the application's SDK goes out, and comes out of
// the same budget as ours.
func TestP21SDKRetries(t *testing.T) {
	const src = "idempotency { header = \"Idempotency-Key\" }\nretry {\nbackoff { first = \"0s\" }\n}"
	header := func(kv ...string) http.Header { return http.Header{http.CanonicalHeaderKey(kv[0]): {kv[1]}} }
	for _, c := range []struct {
		name        string
		first, then http.Header
		account     string
		after       time.Duration
		seen        bool
	}{
		{"Stainless", nil, header("x-stainless-retry-count", "1"), "", 0, true},
		{"Stainless, the first attempt", nil, header("x-stainless-retry-count", "0"), "", 0, false},
		{"Stainless, nonsense", nil, header("x-stainless-retry-count", "many"), "", 0, false},
		{"AWS", nil, header("amz-sdk-request", "ttl=20261129T120000Z; attempt=2; max=3"), "", 0, true},
		{"AWS, the first attempt", nil, header("amz-sdk-request", "attempt=1; max=3"), "", 0, false},
		{"the same key", header("Idempotency-Key", "order-7"), header("Idempotency-Key", "order-7"), "", 0, true},
		{"the same key, a minute later", header("Idempotency-Key", "order-7"), header("Idempotency-Key", "order-7"), "", time.Minute, true},
		{"the same key, long after", header("Idempotency-Key", "order-7"), header("Idempotency-Key", "order-7"), "", 3 * time.Minute, false},
		{"another key", header("Idempotency-Key", "order-7"), header("Idempotency-Key", "order-8"), "", 0, false},
		{"the same key of another account", header("Idempotency-Key", "order-7"), header("Idempotency-Key", "order-7"), "acct_2", 0, false},
		{"our own keys are nobody's", nil, nil, "", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := play(t, step{status: 503})
				h := compile(t, s.RoundTrip, src)
				x, resp, err := h.do(call{method: "POST", path: "/x", header: c.first, account: "acct_1"})
				finish(t, resp, err)
				if x.Repeat || x.Attempts != 3 {
					t.Fatalf("the first call: %d attempts, a retry: %v", x.Attempts, x.Repeat)
				}
				time.Sleep(max(c.after, 11*time.Second)) // a new window of the budget
				account := c.account
				if account == "" {
					account = "acct_1"
				}
				x, resp, err = h.do(call{method: "POST", path: "/x", header: c.then, account: account})
				finish(t, resp, err)
				if x.Repeat != c.seen || noted(x, "retry", "sdk") != c.seen || x.Attempts != 3 {
					t.Errorf("seen as a retry: %v, want %v; %d attempts", x.Repeat, c.seen, x.Attempts)
				}
				left := 1 // of the three that are always allowed
				if c.seen {
					left = 0
				}
				x, resp, err = h.do(call{method: "GET", path: "/x"})
				finish(t, resp, err)
				if x.Attempts != 1+left {
					t.Errorf("a further call makes %d attempts, want %d", x.Attempts, 1+left)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // what succeeded, and is sent again, is no retry
		s := play(t, step{status: 200})
		h := compile(t, s.RoundTrip, src)
		for range 2 {
			x, resp, err := h.do(call{method: "POST", path: "/x", header: header("Idempotency-Key", "order-7")})
			finish(t, resp, err)
			if x.Repeat {
				t.Error("a repeat after a success is taken for an SDK's retry")
			}
		}
	})
	synctest.Test(t, func(t *testing.T) { // what the outbox sends again is no SDK's, and no other call either
		s := play(t, step{status: 503})
		h := compile(t, s.RoundTrip, src)
		again := call{method: "POST", path: "/x", header: header("Idempotency-Key", "order-7"), stored: true}
		_, resp, err := h.do(again)
		finish(t, resp, err)
		time.Sleep(11 * time.Second)
		x, resp, err := h.do(again)
		finish(t, resp, err)
		if x.Repeat || noted(x, "retry", "sdk") {
			t.Errorf("a sending of the outbox is taken for an SDK's retry: %v", x.Notes)
		}
		if x, resp, err = h.do(call{method: "GET", path: "/x"}); x.Attempts != 1 {
			t.Errorf("it is not in the budget: a further call makes %d attempts, want 1", x.Attempts)
		}
		finish(t, resp, err)
	})
	synctest.Test(t, func(t *testing.T) { // an SDK that does not wait any longer leaves, and comes again
		s := play(t, step{status: 503})
		h := compile(t, s.RoundTrip, "idempotency { header = \"Idempotency-Key\" }")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		if _, _, err := h.do(call{method: "POST", path: "/x", ctx: ctx, header: header("Idempotency-Key", "order-9")}); err == nil {
			t.Fatal("the wait was not cut short")
		}
		x, resp, err := h.do(call{method: "POST", path: "/x", header: header("Idempotency-Key", "order-9")})
		finish(t, resp, err)
		if !x.Repeat {
			t.Error("the second try is not seen as one")
		}
	})
}

// TestStop: SDKs are told to make no further attempt where Postern has given up on
// what they would try again, and nowhere else.
func TestStop(t *testing.T) {
	const src = "retry {\nstop = \"x-should-retry\"\nattempts = 2\nbackoff { first = \"0s\" }\n}"
	for _, c := range []struct {
		name  string
		steps []step
		src   string
		told  bool
	}{
		{"a success", []step{{status: 200}}, src, false},
		{"a success at last", []step{{status: 503}, {status: 200}}, src, false},
		{"a redirect", []step{{status: 302}}, src, false},
		{"spent", []step{{status: 503}}, src, true},
		{"a limit, spent", []step{{status: 429}}, src, true},
		{"a lost connection, spent", []step{{err: errBroke, now: unsent}}, src, true},
		{"no class of `on`", []step{{status: 409}}, src, true},
		{"what no SDK sends again", []step{{status: 400}}, src, false},
		{"a refused key", []step{{status: 401}}, src, false},
		{"without the attribute", []step{{status: 503}}, "retry { attempts = 2 }", false},
		{"the next attempt is refused here", []step{{status: 503}}, src + "\nbreaker { calls = 1 }", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, resp, _ := compile(t, play(t, c.steps...).RoundTrip, c.src).do(call{method: "GET", path: "/x"})
				if resp != nil {
					resp.Body.Close()
				}
				if want := map[bool]string{true: "X-Should-Retry"}[c.told]; x.Stop != want {
					t.Errorf("Stop is %q, want %q", x.Stop, want)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // nothing was sent: the SDK may come again
		s := play(t, step{status: 503})
		h := compile(t, s.RoundTrip, src+"\nbreaker { calls = 1 }")
		_, resp, err := h.do(call{method: "GET", path: "/x"})
		finish(t, resp, err)
		x, _, err := h.do(call{method: "GET", path: "/x"})
		denied(t, err, policy.BreakerOpen)
		if x.Stop != "" {
			t.Errorf("Stop is %q for a call of which nothing was sent", x.Stop)
		}
	})
}

// TestRetryWordChecks: what cannot be meant is refused when it is loaded.
func TestRetryWordChecks(t *testing.T) {
	for _, src := range []string{
		`retry { unit = "epoch_seconds" }`,
		"retry {\nafter = response.header[\"X\"]\nunit = \"seconds\"\n}",
		`retry { after = token }`,
		`retry { stop = "x should retry" }`,
		`retry { stop = "Content-Length" }`,
		`retry { on = ["quota_exhausted"] }`,
		`retry { wait = "-1s" }`,
	} {
		if _, diags := open(t, play(t)).try(src); !diags.HasErrors() {
			t.Errorf("accepted: %s", src)
		}
	}
	if _, diags := open(t, play(t)).try(`retry { on = ["conflict"] }`); diags.HasErrors() {
		t.Error(diags)
	}
}
