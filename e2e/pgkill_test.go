package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/peers"
)

// soon is how long PostgreSQL may be away without a sender noticing: webhooks wait for two seconds.
const soon = 1500 * time.Millisecond

// TestF12RestartUnderLoad restarts PostgreSQL under load in each of the ways in which it can end: no sender sees an
// error, nothing is lost, nothing is delivered twice.
func TestF12RestartUnderLoad(t *testing.T) {
	harness.Binary(t)
	pg := peers.PostgresFor(t, peers.PostgresOptions{})
	app := tallying(t, nil)
	all := startReplicas(t, 2, pg.URL("postgres"), app.URL)
	var loads []*load
	for range harness.Soak() {
		for _, how := range []struct {
			name string
			end  func() error
		}{{"stopped", pg.Stop}, {"stopped at once", pg.StopImmediate}, {"killed", pg.Kill}} {
			l := newLoad(how.name, 12, all...)
			time.Sleep(500 * time.Millisecond)
			start := time.Now()
			if err := how.end(); err != nil {
				t.Fatal(err)
			}
			if err := pg.Start(); err != nil {
				t.Fatal(err)
			}
			away := time.Since(start)
			eventually(t, 10*time.Second, "an acknowledgement", func() bool { return !l.first(start.Add(away)).IsZero() })
			time.Sleep(500 * time.Millisecond)
			l.end(t)
			failed := l.failed()
			for _, f := range failed[:min(len(failed), 5)] {
				if away < soon || f.status != http.StatusServiceUnavailable {
					t.Errorf("%s, away for %v: %d %v after %v", how.name, away, f.status, f.err, f.took)
				}
			}
			var slowest time.Duration
			for _, r := range l.tries {
				slowest = max(slowest, r.took)
			}
			loads = append(loads, l)
			t.Logf("%s, away for %v: %d acknowledged, %d requests failed, the slowest took %v", how.name, away.Round(time.Millisecond), len(l.acked), len(failed), slowest.Round(time.Millisecond))
		}
	}
	// What was claimed when the answer got lost is claimed again when the lease is over.
	for _, l := range loads {
		l.kept(t, app, 45*time.Second)
	}
	settled(t, pg, "postgres", 45*time.Second)
	once(t, app.Counts())
}

// TestF12BackendsTerminated ends PostgreSQL's sessions one after the other, and now and then all.
func TestF12BackendsTerminated(t *testing.T) {
	harness.Binary(t)
	pg := peers.PostgresFor(t, peers.PostgresOptions{})
	app := tallying(t, nil)
	all := startReplicas(t, 2, pg.URL("postgres"), app.URL)
	l := newLoad("session", 12, all...)
	ended := 0
	for i := range 25 * harness.Soak() {
		limit := "1"
		if i%5 == 4 {
			limit = "100"
		}
		ask(t, pg, "postgres", "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT "+limit+") a")
		ended++
		time.Sleep(60 * time.Millisecond)
	}
	l.end(t)
	failed := l.failed()
	for _, f := range failed[:min(len(failed), 5)] {
		t.Errorf("%d %v after %v", f.status, f.err, f.took)
	}
	l.kept(t, app, 45*time.Second)
	settled(t, pg, "postgres", 45*time.Second)
	once(t, app.Counts())
	t.Logf("sessions ended %d times: %d acknowledged, %d requests failed", ended, len(l.acked), len(failed))
}
