package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/harness"
)

// plainPolicy is a provider that honours no idempotency key.
const plainPolicy = `
provider "plain" {
  hosts    = ["api.plain.test"]
  upstream = "UPSTREAM"

  credential "bearer" {
    token = env("PLAIN_KEY")
  }

  retry {
    attempts = 4
    backoff {
      first = "10ms"
      max   = "50ms"
    }
  }
}
`

// transports are the three ways in which a provider is reached.
var transports = []struct {
	name string
	tls  bool
	noH2 bool
}{{"http", false, false}, {"https h1", true, true}, {"https h2", true, false}}

// eachTransport runs f with a fresh provider and a fresh Postern for each of them.
func eachTransport(t *testing.T, backend http.Handler, policy string, f func(t *testing.T, provider *faults.Server, p *harness.Postern)) {
	harness.Binary(t)
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			cfg := faults.Config{Backend: backend, NoH2: tr.noH2}
			opts := []harness.Option{harness.WithEnv("PLAIN_KEY", "plain-key"), harness.WithEnv("STRIPE_KEY", stripeKey())}
			if tr.tls {
				cfg.CA = authority(t)
				opts = append(opts, harness.Trusting(cfg.CA.File))
			}
			provider := upstream(t, cfg)
			p := harness.Start(t, harness.Files{"provider.hcl": strings.ReplaceAll(policy, "UPSTREAM", provider.URL())}, opts...)
			f(t, provider, p)
		})
	}
}

// http2 reports whether the application has to speak HTTP/2 so that the provider is spoken to by it.
func http2(t *testing.T) bool { return strings.Contains(t.Name(), "/https_h2") }

// call makes one call and fails the test when there is no answer at all.
func call(t *testing.T, c *http.Client, method, target, body string, header ...string) harness.Answer {
	t.Helper()
	a, err := harness.Do(c, method, target, body, header...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return a
}

func TestRetrySurvives503(t *testing.T) {
	for name, header := range map[string][]string{"Postern's key": nil, "the app's own key": {"Idempotency-Key", "order-7"}} {
		t.Run(name, func(t *testing.T) {
			eachTransport(t, stripeBackend(t).Backend, stripePolicy, func(t *testing.T, provider *faults.Server, p *harness.Postern) {
				c := p.Client(http2(t))
				call(t, c, http.MethodGet, "https://api.stripe.com/v1/customers", "") // so that the attempts cross kept-alive connections
				provider.Forget()
				provider.Script(faults.Answer(503, `{"error":{"message":"down"}}`), faults.Answer(503, ""))
				a := call(t, c, http.MethodPost, "https://api.stripe.com/v1/customers", "email=a%40example.com", header...)
				if a.Status != 200 || a.Header.Get("Postern-Attempts") != "3" || a.Header.Get("Postern-Outcome") != "ok" {
					t.Errorf("%d %s, headers %v", a.Status, a.Body, a.Header)
				}
				sent := provider.Requests()
				if len(sent) != 3 {
					t.Fatalf("%d sends, want 3", len(sent))
				}
				key := sent[0].Header.Get("Idempotency-Key")
				if key == "" || header != nil && key != "order-7" {
					t.Errorf("Idempotency-Key %q", key)
				}
				for _, r := range sent {
					if got := r.Header.Values("Idempotency-Key"); len(got) != 1 || got[0] != key || string(r.Body) != "email=a%40example.com" {
						t.Errorf("an attempt with key %q and body %q", got, r.Body)
					}
				}
			})
		})
	}
}

// TestStripeNodeSurvives503 is the same with the real SDK, its own retries off.
func TestStripeNodeSurvives503(t *testing.T) {
	harness.Binary(t)
	command := nodeApp("stripe.mjs")(t)
	cfg := stripeBackend(t)
	cfg.CA = authority(t)
	provider := upstream(t, cfg)
	p := stripePostern(t, provider, cfg.CA, stripeKey())
	provider.Script(faults.Answer(503, ""), faults.Answer(503, ""))
	rep := parseReport(t, p.Exec(append(command, "jenny@example.com")...))
	if rep.Created.Status != 200 || rep.Created.Postern["attempts"] != "3" || provider.Sends() != 4 {
		t.Errorf("report %+v, %d sends", rep, provider.Sends())
	}
	keys := map[string]bool{}
	for _, r := range provider.Requests()[:3] {
		keys[r.Header.Get("Idempotency-Key")] = true
	}
	if len(keys) != 1 || keys[""] {
		t.Errorf("keys of the three attempts: %v", keys)
	}
}

// TestSpentRetriesGiveTheLastAnswer: what the provider said passes through byte for byte even then.
func TestSpentRetriesGiveTheLastAnswer(t *testing.T) {
	eachTransport(t, nil, plainPolicy, func(t *testing.T, provider *faults.Server, p *harness.Postern) {
		provider.Plan(func(n int) faults.Step { return faults.Answer(503, "no "+string(rune('0'+n)), "X-Mark", "provider") })
		a := call(t, p.Client(http2(t)), http.MethodGet, "https://api.plain.test/x", "")
		if a.Status != 503 || a.Body != "no 3" || a.Header.Get("X-Mark") != "provider" || a.Header.Get("Postern-Source") != "provider" ||
			a.Header.Get("Postern-Attempts") != "4" || a.Header.Get("Postern-Outcome") != "server_error" {
			t.Errorf("%d %q %v", a.Status, a.Body, a.Header)
		}
		if provider.Sends() != 4 {
			t.Errorf("%d sends, want 4", provider.Sends())
		}
	})
}

// TestResetWithoutIdempotency: a POST whose fate is unknown is never sent again, and the application is told.
func TestResetWithoutIdempotency(t *testing.T) {
	eachTransport(t, nil, plainPolicy, func(t *testing.T, provider *faults.Server, p *harness.Postern) {
		c := p.Client(http2(t))
		for _, step := range []faults.Step{faults.ResetRead(), faults.CloseRead()} {
			for _, warm := range []bool{false, true} {
				if warm {
					call(t, c, http.MethodGet, "https://api.plain.test/warm", "")
				}
				provider.Forget()
				provider.Script(step)
				a := call(t, c, http.MethodPost, "https://api.plain.test/charges", "amount=100")
				if n := provider.Sends(); n != 1 {
					t.Errorf("%v, warm %v: %d sends, want 1", step, warm, n)
				}
				problem, err := a.Problem()
				if err != nil {
					t.Errorf("%v, warm %v: %d %v", step, warm, a.Status, err)
					continue
				}
				if a.Status != 502 || a.Header.Get("Postern-Executed") != "maybe" || a.Header.Get("Postern-Attempts") != "1" ||
					a.Header.Get("Postern-Source") != "postern" || a.Header.Get("Postern-Outcome") != "unreachable" {
					t.Errorf("%v, warm %v: %d %v", step, warm, a.Status, a.Header)
				}
				if problem.Status != 502 || problem.Code != "unreachable" || problem.Type != "urn:postern:problem:unreachable" || problem.Title == "" ||
					problem.Detail == "" || problem.Hint == "" || problem.Outcome != "unreachable" || problem.Provider != "plain" ||
					problem.Executed != "maybe" || problem.Attempts != 1 || problem.ID != a.Header.Get("Postern-Id") {
					t.Errorf("%v, warm %v: problem %+v", step, warm, problem)
				}
			}
		}
	})
}

// TestResetIsRetriedWhereSafe: the same break costs a GET, or a POST under a key the provider honours, nothing.
func TestResetIsRetriedWhereSafe(t *testing.T) {
	backend := stripeBackend(t).Backend
	eachTransport(t, backend, stripePolicy+plainPolicy, func(t *testing.T, provider *faults.Server, p *harness.Postern) {
		c := p.Client(http2(t))
		for _, tt := range []struct{ method, target, body string }{
			{http.MethodGet, "https://api.plain.test/v1/customers", ""},
			{http.MethodPost, "https://api.stripe.com/v1/customers", "email=a%40example.com"},
		} {
			provider.Forget()
			provider.Script(faults.ResetRead(), faults.Answer(200, "{}"))
			a := call(t, c, tt.method, tt.target, tt.body)
			if a.Status != 200 || a.Header.Get("Postern-Attempts") != "2" || provider.Sends() != 2 {
				t.Errorf("%s %s: %d %s %v, %d sends", tt.method, tt.target, a.Status, a.Body, a.Header, provider.Sends())
			}
		}
	})
}

// TestRetryAfterIsHonoured, as seconds and as a date.
func TestRetryAfterIsHonoured(t *testing.T) {
	eachTransport(t, nil, plainPolicy, func(t *testing.T, provider *faults.Server, p *harness.Postern) {
		c := p.Client(http2(t))
		date := time.Now().Add(3 * time.Second).Truncate(time.Second)
		for _, tt := range []struct {
			value string
			until func(start time.Time) time.Time
		}{
			{"1", func(start time.Time) time.Time { return start.Add(time.Second) }},
			{date.UTC().Format(http.TimeFormat), func(time.Time) time.Time { return date }},
		} {
			provider.Forget()
			provider.Script(faults.Answer(429, "", "Retry-After", tt.value))
			start := time.Now()
			a := call(t, c, http.MethodPost, "https://api.plain.test/charges", "amount=100")
			// A 429 says that nothing was done, so even a POST without a key goes again.
			if a.Status != 200 || a.Header.Get("Postern-Attempts") != "2" || provider.Sends() != 2 {
				t.Errorf("Retry-After %s: %d %v, %d sends", tt.value, a.Status, a.Header, provider.Sends())
			}
			if end, want := time.Now(), tt.until(start); end.Before(want) || end.After(want.Add(5*time.Second)) {
				t.Errorf("Retry-After %s: answered %s after the moment it names", tt.value, end.Sub(want))
			}
		}
	})
}

// TestNothingListening: a call that never left is said not to be executed.
func TestNothingListening(t *testing.T) {
	harness.Binary(t)
	gone := upstream(t, faults.Config{})
	p := harness.Start(t, harness.Files{"plain.hcl": strings.ReplaceAll(plainPolicy, "UPSTREAM", gone.URL())}, harness.WithEnv("PLAIN_KEY", "plain-key"))
	gone.Close()
	a := call(t, p.Client(false), http.MethodPost, "https://api.plain.test/charges", "amount=100")
	problem, err := a.Problem()
	if err != nil || a.Status != 502 || problem.Code != "unreachable" || problem.Executed != "no" || a.Header.Get("Postern-Executed") != "no" {
		t.Errorf("%d %v %+v %v", a.Status, a.Header, problem, err)
	}
	var raw map[string]any
	if json.Unmarshal([]byte(a.Body), &raw) == nil {
		t.Logf("attempts of a call that never left: %v", raw["attempts"])
	}
}

// TestBreakInTheBody: the application gets the head, what there was of the body, and then an error. Without the head it
// could take the break for a stale connection and send again by itself, as Go and browsers do.
func TestBreakInTheBody(t *testing.T) {
	long := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(strings.Repeat("0123456789", 100))) })
	eachTransport(t, long, plainPolicy, func(t *testing.T, provider *faults.Server, p *harness.Postern) {
		for _, http2 := range []bool{false, true} {
			c := p.Client(http2)
			call(t, c, http.MethodGet, "https://api.plain.test/warm", "")
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				provider.Forget()
				provider.Script(faults.ResetHalf())
				a, err := harness.Do(c, method, "https://api.plain.test/x", "")
				if err != nil {
					t.Errorf("%s, client h2 %v: no head: %v", method, http2, err)
					continue
				}
				if a.Status != 200 || a.Broken == nil || len(a.Body) > 500 || a.Header.Get("Postern-Attempts") != "1" {
					t.Errorf("%s, client h2 %v: %d, %d bytes, broken by %v, headers %v", method, http2, a.Status, len(a.Body), a.Broken, a.Header)
				}
				if n := provider.Sends(); n != 1 {
					t.Errorf("%s, client h2 %v: %d sends", method, http2, n)
				}
			}
		}
	})
}
