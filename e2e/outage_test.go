package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/peers"
)

const outagePolicy = `
provider "plain" {
  hosts    = ["api.plain.test"]
  upstream = "UPSTREAM"
  credential "bearer" {
    token = env("KEY")
  }
}
`

// TestF14PostgresPaused stops PostgreSQL without its connections being closed. Webhooks are answered 503 in time, calls
// go out as before, readiness says what is missing; and all is well by itself when PostgreSQL goes on.
func TestF14PostgresPaused(t *testing.T) {
	harness.Binary(t)
	pg := peers.PostgresFor(t, peers.PostgresOptions{})
	app := tallying(t, nil)
	provider := upstream(t, faults.Config{})
	p := newReplica(t, pg.URL("postgres"), app.URL, "r0", harness.Files{"plain.hcl": strings.ReplaceAll(outagePolicy, "UPSTREAM", provider.URL())})
	p.Run()
	calls := newCaller(t, p)
	calls.run(200) // the first ones open connections
	before := calls.run(600)

	l := newLoad("paused", 8, p)
	time.Sleep(500 * time.Millisecond)
	if err := pg.Pause(); err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	during := calls.run(600)
	for time.Since(from) < 5*time.Second {
		during = append(during, calls.run(50)...)
		time.Sleep(50 * time.Millisecond)
	}
	checkUnready(t, p)
	if err := pg.Continue(); err != nil {
		t.Fatal(err)
	}
	to := time.Now()
	ready := eventually(t, 10*time.Second, "it is ready again", func() bool { code, _, err := p.Get("/readyz"); return err == nil && code == http.StatusOK })
	var back time.Time
	eventually(t, 10*time.Second, "an acknowledgement", func() bool { back = l.first(to); return !back.IsZero() })
	l.end(t)

	failed := l.failed()
	var slowest time.Duration
	for i, f := range failed {
		slowest = max(slowest, f.took)
		if i < 5 && (f.status != http.StatusServiceUnavailable || f.took > 3*time.Second) {
			t.Errorf("a webhook was answered %d %v after %v", f.status, f.err, f.took)
		}
	}
	if len(failed) == 0 {
		t.Error("no webhook was answered 503: nothing was tested")
	}
	if was, is := quantile(before, 0.5), quantile(during, 0.5); is > 2*was+5*time.Millisecond {
		t.Errorf("calls took %v, and %v during the outage", was, is)
	}
	if worst := quantile(during, 0.99); worst > 500*time.Millisecond {
		t.Errorf("the 99th percentile of calls was %v during the outage", worst)
	}
	l.kept(t, app, 45*time.Second)
	settled(t, pg, "postgres", 45*time.Second)
	t.Logf("%d webhooks acknowledged; %d answered 503, the slowest after %v; calls took %v and %v (median, 99th percentile) before, %v and %v during; ready %v after, acknowledged %v after",
		len(l.acked), len(failed), slowest.Round(time.Millisecond), quantile(before, 0.5), quantile(before, 0.99), quantile(during, 0.5), quantile(during, 0.99),
		ready.Round(time.Millisecond), back.Sub(to).Round(time.Millisecond))
}

// checkUnready checks what the probes say while PostgreSQL does not answer.
func checkUnready(t *testing.T, p *harness.Postern) {
	t.Helper()
	start := time.Now()
	code, text, err := p.Get("/readyz?verbose")
	if err != nil || code != http.StatusServiceUnavailable || !strings.Contains(text, "[-] store") || strings.Count(text, "[-]") != 1 {
		t.Errorf("readiness: %d %q %v", code, text, err)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("readiness took %v", took)
	}
	if code, _, err := p.Get("/livez"); code != http.StatusOK {
		t.Errorf("liveness: %d %v", code, err)
	}
	t.Logf("readiness: %s", strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "))
}

// caller is an application that calls a provider through Postern.
type caller struct {
	t *testing.T
	c *http.Client
}

func newCaller(t *testing.T, p *harness.Postern) *caller { return &caller{t, p.Client(false)} }

// run makes n calls, one after the other, and returns how long each took.
func (c *caller) run(n int) (took []time.Duration) {
	c.t.Helper()
	for i := range n {
		start := time.Now()
		a, err := harness.Do(c.c, http.MethodPost, "https://api.plain.test/x", fmt.Sprintf("n=%d", i))
		took = append(took, time.Since(start))
		if err != nil || a.Status != http.StatusOK {
			c.t.Errorf("a call: %d %v", a.Status, err)
			return took
		}
	}
	return took
}

func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[min(int(q*float64(len(all))), len(all)-1)].Round(10 * time.Microsecond)
}
