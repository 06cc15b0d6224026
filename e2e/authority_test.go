package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/harness"
)

// One retry authority: the SDKs below retry as their makers ship them, and so does Postern. What the provider gets is what
// Postern's budget allows, not the product of both.

// sdk is one of node/retries.mjs, with what it makes of a call that keeps failing.
type sdk struct {
	name     string
	attempts int  // by the SDK, of one call
	policy   int  // attempts by Postern, of one call, if there were no budget
	stops    bool // it obeys a header that tells it not to retry
	ok       faults.Step
}

var sdks = []sdk{
	{"stripe", 3, 4, true, faults.Answer(200, `{"id":"cus_1","object":"customer"}`, "Content-Type", "application/json")},
	{"openai", 3, 3, true, faults.Answer(200, `{"object":"list","data":[],"model":"m"}`, "Content-Type", "application/json")},
	{"octokit", 4, 4, false, faults.Answer(200, `{"id":1}`, "Content-Type", "application/json")},
	{"slack", 3, 4, false, faults.Answer(200, `{"ok":true}`, "Content-Type", "application/json")},
}

const down = `{"message":"down","error":{"type":"api_error","message":"down"}}`

const sdkPolicy = `
provider "NAME" {
  catalog  = "NAME"
  upstream = "UPSTREAM"
  credential "bearer" { token = env("SDK_KEY") }
  retry {
    backoff {
      first = "10ms"
      max   = "50ms"
    }
    MORE
  }
  breaker { calls = 1000 }
}
`

// authorized starts a provider and a Postern before it, for one SDK.
func authorized(t *testing.T, s sdk, more string) (provider *faults.Server, p *harness.Postern, run func(calls int) sdkReport) {
	t.Helper()
	dir := harness.NeedNode(t, "openai", "@octokit/plugin-retry", "@octokit/plugin-throttling", "@octokit/rest", "@slack/web-api")
	provider = upstream(t, faults.Config{})
	name := map[string]string{"octokit": "github"}[s.name]
	if name == "" {
		name = s.name
	}
	text := strings.NewReplacer("NAME", name, "UPSTREAM", provider.URL(), "MORE", more).Replace(sdkPolicy)
	p = harness.Start(t, harness.Files{"provider.hcl": text}, harness.WithEnv("SDK_KEY", "the-key-of-postern"))
	return provider, p, func(calls int) (rep sdkReport) {
		t.Helper()
		r := p.Exec("node", filepath.Join(dir, "retries.mjs"), s.name, strconv.Itoa(calls))
		if err := json.Unmarshal([]byte(r.Stdout), &rep); err != nil || r.Code != 0 {
			t.Fatalf("%s: %v: %v", s.name, err, r)
		}
		return rep
	}
}

type sdkReport struct {
	OK     int
	Errors []string
	Limits []struct {
		Kind  string
		After int
	}
}

// outbound are the lines of calls in Postern's log, n at least: a line is written after the last byte was out.
func outbound(t *testing.T, p *harness.Postern, n int) (lines []outboundLine) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); len(lines) < n && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		lines = linesOf(p)
	}
	return lines
}

func linesOf(p *harness.Postern) (lines []outboundLine) {
	for text := range strings.Lines(p.Stderr()) {
		var l outboundLine
		if json.Unmarshal([]byte(text), &l) == nil && l.Log == "outbound" {
			lines = append(lines, l)
		}
	}
	return lines
}

type outboundLine struct {
	Log, Outcome, Notes, Hint string
	Status, Attempts          int
}

// TestP21Amplification: of a provider that fails whatever it is asked, with each SDK's retries and Postern's on. A 503 may be
// the answer to something that was done; after a 429 Postern tries every call again.
func TestP21Amplification(t *testing.T) {
	const calls = 10
	for _, s := range sdks {
		for _, status := range []int{503, 429} {
			t.Run(fmt.Sprintf("%s %d", s.name, status), func(t *testing.T) {
				provider, p, run := authorized(t, s, "")
				provider.Plan(func(int) faults.Step {
					return faults.Answer(status, down, "Retry-After", "0", "Content-Type", "application/json")
				})
				rep := run(calls)
				want := map[bool]int{true: calls, false: calls * s.attempts}[s.stops]
				made, sent := len(outbound(t, p, want)), provider.Sends() // what the SDK sent, and what came of it
				most := made + max(3, made/5)
				t.Logf("%d calls, %d requests by the SDK, %d at the provider; the budget allows %d; without one there were %d", calls, made, sent, most, calls*s.attempts*s.policy)
				if len(rep.Errors) != calls || sent > most || sent < calls {
					t.Errorf("%d errors, %d sent: %v", len(rep.Errors), sent, rep.Errors)
				}
				if made != want {
					t.Errorf("the SDK made %d requests, want %d", made, want)
				}
				if status == 429 && sent == made {
					t.Error("Postern made no attempt of its own: nothing was to be seen")
				}
			})
		}
	}
}

// TestP21SDKsSeen: without the header that stops them, the SDKs that say so, or send a key, are seen: their retries come out of
// the budget and do not make it larger.
func TestP21SDKsSeen(t *testing.T) {
	const calls = 10
	for _, s := range sdks[:2] {
		t.Run(s.name, func(t *testing.T) {
			provider, p, run := authorized(t, s, `stop = ""`)
			provider.Plan(func(int) faults.Step { return faults.Answer(503, down) })
			run(calls)
			lines, sent := outbound(t, p, calls*s.attempts), provider.Sends()
			seen, ours := 0, 0
			for _, l := range lines {
				ours += l.Attempts - 1
				if strings.Contains(l.Notes, "retry.sdk=") {
					seen++
				}
			}
			t.Logf("%s: %d calls, %d requests by the SDK, %d of them seen as retries, %d retries by Postern, %d at the provider", s.name, calls, len(lines), seen, ours, sent)
			if len(lines) != calls*s.attempts || seen != calls*(s.attempts-1) || ours > 3 || sent != len(lines)+ours {
				t.Errorf("not within the budget")
			}
			if n := p.Metric("postern_egress_retries_total", "reason", "sdk"); n != float64(seen) {
				t.Errorf("%v are counted", n)
			}
		})
	}
}

// TestSDKLimits: a limit is waited out here, and the SDK sees nothing of it; one that is too long reaches it as it is.
func TestSDKLimits(t *testing.T) {
	for _, s := range sdks {
		limited := faults.Answer(http.StatusTooManyRequests, `{"ok":false,"error":"ratelimited"}`, "Retry-After", "1", "Content-Type", "application/json")
		if s.name == "octokit" {
			limited = faults.Answer(http.StatusForbidden, `{"message":"You have exceeded a secondary rate limit."}`, "Retry-After", "1", "Content-Type", "application/json")
		}
		t.Run(s.name, func(t *testing.T) {
			provider, _, run := authorized(t, s, "")
			provider.Plan(func(n int) faults.Step {
				if n == 0 {
					return limited
				}
				return s.ok
			})
			if rep := run(1); rep.OK != 1 || provider.Sends() != 2 || len(rep.Limits) != 0 {
				t.Errorf("%+v after %d sends, want one that was waited for", rep, provider.Sends())
			}
		})
	}
	t.Run("an hour", func(t *testing.T) {
		provider, p, run := authorized(t, sdks[2], "")
		provider.Plan(func(int) faults.Step {
			return faults.Answer(http.StatusForbidden, `{"message":"You have exceeded a secondary rate limit."}`, "Retry-After", "3600", "Content-Type", "application/json")
		})
		rep := run(1)
		if got := fmt.Sprint(rep.Limits); provider.Sends() != 1 || len(rep.Limits) != 1 || rep.Limits[0].After != 3600 {
			t.Errorf("%d sends, Octokit was told %s: %v", provider.Sends(), got, rep.Errors)
		}
		lines := outbound(t, p, 1)
		if len(lines) != 1 || !strings.Contains(lines[0].Hint, "1h0m0s") || !strings.Contains(lines[0].Hint, "GitHub") {
			t.Errorf("the log says %+v", lines)
		}
	})
}

// TestSDKsSeeFailures: what Postern reports is a failure to every SDK, and says what happened.
func TestSDKsSeeFailures(t *testing.T) {
	for _, s := range sdks {
		t.Run(s.name, func(t *testing.T) {
			provider, _, run := authorized(t, s, "attempts = 1")
			provider.Plan(func(int) faults.Step { return faults.ResetUnread() })
			rep := run(1)
			if rep.OK != 0 || len(rep.Errors) != 1 {
				t.Fatalf("the SDK takes a failure for a success: %+v", rep)
			}
			t.Log(rep.Errors[0])
			if s.stops && !strings.Contains(rep.Errors[0], "the connection to 127.0.0.1") {
				t.Errorf("the SDK says %q", rep.Errors[0])
			}
		})
	}
}
