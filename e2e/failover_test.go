package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/e2e/receiver"
	"github.com/postern-proxy/postern/peers"
)

// backWithin is how soon after a promotion webhooks have to be acknowledged again.
const backWithin = 5 * time.Second

// pair is a primary and its standby, and replicas that know both.
type pair struct {
	primary, standby *peers.Postgres
	app              *receiver.Tally
	replicas         []*harness.Postern
}

func newPair(t *testing.T, sync bool) *pair {
	t.Helper()
	p := &pair{primary: peers.PostgresFor(t, peers.PostgresOptions{}), app: tallying(t, nil)}
	p.standby = peers.StandbyFor(t, p.primary, "standby", sync)
	url := fmt.Sprintf("postgres://postgres@%s,%s/postgres?sslmode=disable&target_session_attrs=read-write", p.primary.Addr(), p.standby.Addr())
	p.replicas = startReplicas(t, 2, url, p.app.URL)
	return p
}

// says checks what each replica said of its store when it started.
func (p *pair) says(t *testing.T, want string) {
	t.Helper()
	for _, r := range p.replicas {
		if !strings.Contains(r.Stdout(), want) {
			t.Errorf("it does not say %q:\n%s", want, r.Stdout())
		}
	}
}

// failover kills the primary and promotes the standby, and returns when it was dead and how long after
// the promotion was asked for the first new event was acknowledged.
func (p *pair) failover(t *testing.T, l *load) (dead time.Time, back time.Duration) {
	t.Helper()
	if err := p.primary.Kill(); err != nil {
		t.Fatal(err)
	}
	dead = time.Now()
	if err := p.standby.Continue(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := p.standby.Promote(); err != nil {
		t.Fatal(err)
	}
	var first time.Time
	eventually(t, 30*time.Second, "an acknowledgement after the failover", func() bool { first = l.first(begin); return !first.IsZero() })
	if back = first.Sub(begin).Round(time.Millisecond); back > backWithin {
		t.Errorf("the first acknowledgement came %v after the promotion", back)
	}
	return dead, back
}

func alive(t *testing.T, all []*harness.Postern) {
	t.Helper()
	for i, p := range all {
		if !p.Alive() {
			t.Errorf("replica %d ended", i)
		}
	}
}

// TestF13FailoverSynchronous kills the primary under load, again and again: the standby has all that was acknowledged,
// and the processes find it by themselves.
func TestF13FailoverSynchronous(t *testing.T) {
	harness.Binary(t)
	for round := range min(harness.Soak(), 5) {
		p := newPair(t, true)
		p.says(t, "the loss of the primary with a failover to a synchronous standby")
		l := newLoad(fmt.Sprintf("sync%d", round), 12, p.replicas...)
		time.Sleep(1500 * time.Millisecond)
		before := len(l.ackedSoFar())
		_, back := p.failover(t, l)
		time.Sleep(time.Second)
		l.end(t)
		alive(t, p.replicas)
		repeats := l.kept(t, p.app, time.Minute)
		stored := ask(t, p.standby, "postgres", "SELECT count(*) FROM postern_events")
		if stored != fmt.Sprint(len(l.acked)) {
			t.Errorf("the standby has %s events, %d were sent and acknowledged", stored, len(l.acked))
		}
		t.Logf("round %d: %d acknowledged before the kill, %d in all, none lost; back %v after the promotion was asked for; %d requests failed, %d deliveries repeated",
			round, before, len(l.acked), back, len(l.failed()), repeats)
		p.end(t)
	}
}

// end frees what a round held.
func (p *pair) end(t *testing.T) {
	t.Helper()
	for _, r := range p.replicas {
		r.Kill()
	}
	if err := p.standby.Close(); err != nil {
		t.Error(err)
	}
	if err := p.primary.Close(); err != nil {
		t.Error(err)
	}
}

// TestF13FailoverAsynchronous does the same with a standby that nobody waits for and that lags: acknowledged events are
// lost, as each process said when it started; whatever is sent afterwards is not.
func TestF13FailoverAsynchronous(t *testing.T) {
	harness.Binary(t)
	p := newPair(t, false)
	p.says(t, "a failover to a standby may lose the last ones, because nothing waits for standbys")
	for _, r := range p.replicas {
		eventually(t, 5*time.Second, "it warns", func() bool { return strings.Contains(r.Stderr(), "may lose the last ones") })
	}
	l := newLoad("async", 12, p.replicas...)
	time.Sleep(time.Second)
	if err := p.standby.Pause(); err != nil {
		t.Fatal(err)
	}
	// What is already on its way to the standby it has: fill the buffers between.
	ask(t, p.primary, "postgres", "SELECT pg_logical_emit_message(false, 'filler', repeat('x', 60000000))")
	time.Sleep(time.Second)
	before := l.ackedSoFar()
	dead, back := p.failover(t, l)
	time.Sleep(time.Second)
	l.end(t)
	alive(t, p.replicas)
	stored := map[string]bool{}
	for _, id := range strings.Fields(ask(t, p.standby, "postgres", "SELECT event_id FROM postern_events")) {
		stored[id] = true
	}
	lost, after := 0, 0
	for id, at := range l.acked {
		switch {
		case stored[id]:
		case at.Before(dead):
			lost++
		default:
			after++
		}
	}
	if lost == 0 {
		t.Error("nothing was lost: the standby did not lag, and nothing was tested")
	}
	if after > 0 {
		t.Errorf("%d events that were acknowledged after the kill are lost", after)
	}
	settled(t, p.standby, "postgres", time.Minute)
	t.Logf("%d acknowledged before the kill, %d of them lost as announced (%d all in all); back %v after the promotion was asked for; %d requests failed",
		len(before), lost, len(l.acked), back, len(l.failed()))
}
