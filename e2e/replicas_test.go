package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/e2e/receiver"
	"github.com/postern-proxy/postern/peers"
)

// many is how many events a test sends: POSTERN_EVENTS, or a few.
func many(few int) int {
	if n, err := strconv.Atoi(os.Getenv("POSTERN_EVENTS")); err == nil && n > 0 {
		return n
	}
	if harness.Soak() > 1 {
		return 100_000
	}
	return few
}

// TestF33Replicas sends events to several processes on one PostgreSQL that are started at the same moment on an empty
// database. Each event is claimed once, by whichever, and delivered once.
func TestF33Replicas(t *testing.T) {
	harness.Binary(t)
	for _, tt := range []struct {
		name      string
		processes int
		events    int
		pooled    bool
	}{
		{"two", 2, many(4000), false},
		{"four", 4, many(8000), false},
		{"two by PgBouncer", 2, min(many(2000), 10_000), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pg := peers.Shared(t)
			db := database(t, pg)
			url := pg.URL(db)
			if tt.pooled {
				url = peers.PgBouncerFor(t, pg, peers.PgBouncerOptions{Settings: map[string]string{"default_pool_size": "4"}}).URL(db)
			}
			exactlyOnce(t, pg, db, url, tt.processes, tt.events)
		})
	}
}

// database makes an empty database that ends with the test.
func database(t *testing.T, pg *peers.Postgres) (name string) {
	t.Helper()
	name = fmt.Sprintf("e2e%d", time.Now().UnixNano())
	if err := pg.CreateDatabase(name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.DropDatabase(name); err != nil {
			t.Log(err)
		}
	})
	return name
}

func exactlyOnce(t *testing.T, pg *peers.Postgres, db, url string, processes, events int) {
	app := tallying(t, nil)
	all := startReplicas(t, processes, url, app.URL)
	l := &load{prefix: "once", to: all, acked: map[string]time.Time{}}
	start := time.Now()
	twice := l.sendAll(t, events)
	sent := time.Since(start)
	l.kept(t, app, 5*time.Minute)
	done := time.Since(start)
	settled(t, pg, db, time.Minute)
	wrong := 0
	for event, c := range app.Counts() {
		if c.Arrived != 1 {
			if wrong++; wrong < 5 {
				t.Errorf("%s (%s) arrived %d times", c.ID, event, c.Arrived)
			}
		}
	}
	for query, want := range map[string]string{
		"SELECT count(*) FROM postern_events": fmt.Sprint(events),
		"SELECT n, count(*) FROM (SELECT count(*) AS n FROM postern_trail WHERE to_state = 'processing' GROUP BY delivery) c GROUP BY 1": fmt.Sprintf("1|%d", events),
		"SELECT n, count(*) FROM (SELECT count(*) AS n FROM postern_trail WHERE to_state = 'applied' GROUP BY delivery) c GROUP BY 1":    fmt.Sprintf("1|%d", events),
	} {
		if got := ask(t, pg, db, query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	sum := map[string]int{}
	for _, p := range all {
		for _, result := range []string{"accepted", "duplicate", "conflict", "unavailable"} {
			sum[result] += int(p.Metric("postern_inbox_requests_total", `result="`+result+`"`))
		}
	}
	if failed := len(l.failed()); failed == 0 && (sum["accepted"] != events || sum["duplicate"] != twice) || sum["conflict"] != 0 {
		t.Errorf("%v, want %d accepted and %d duplicates", sum, events, twice)
	}
	by := strings.Fields(ask(t, pg, db, "SELECT split_part(replica, '-', 1), count(*) FROM postern_trail WHERE to_state = 'processing' GROUP BY 1 ORDER BY 1"))
	if len(by) != processes {
		t.Errorf("claimed by %v, want each of %d", by, processes)
	}
	t.Logf("%d events in %d processes, %d of them sent to two at once: acknowledged in %s (%.0f/s), applied after %s (%.0f/s); %v; claimed by %v",
		events, processes, twice, sent.Round(time.Millisecond), float64(events)/sent.Seconds(), done.Round(time.Millisecond), float64(events)/done.Seconds(), sum, by)
}

// sendAll sends n events, one in twenty to two replicas at the same moment, and returns how many those are.
func (l *load) sendAll(t *testing.T, n int) (twice int) {
	t.Helper()
	todo := make(chan int)
	var senders sync.WaitGroup
	for range 48 {
		senders.Go(func() {
			for i := range todo {
				id := fmt.Sprintf("evt_%06d", i)
				first := l.to[i%len(l.to)]
				var both sync.WaitGroup
				if i%20 == 0 {
					both.Go(func() { l.post(l.to[(i+1)%len(l.to)], id) })
				}
				if l.post(first, id).status != http.StatusOK {
					l.insist(id)
				}
				both.Wait()
			}
		})
	}
	for i := range n {
		todo <- i
		if i%20 == 0 {
			twice++
		}
	}
	close(todo)
	senders.Wait()
	for i, r := range l.failed() {
		if i < 5 {
			t.Errorf("%s: %d %v after %v", r.id, r.status, r.err, r.took)
		}
	}
	return twice
}

// TestAnotherReplicaDelivers: what a replica takes that cannot reach the application, another one delivers.
func TestAnotherReplicaDelivers(t *testing.T) {
	harness.Binary(t)
	pg := peers.Shared(t)
	db := database(t, pg)
	app := tallying(t, nil)
	cut := newReplica(t, pg.URL(db), "http://127.0.0.1:1", "cut", nil)
	well := newReplica(t, pg.URL(db), app.URL, "well", nil)
	runAll(t, []*harness.Postern{cut, well})
	l := &load{prefix: "cut", to: []*harness.Postern{cut}, acked: map[string]time.Time{}}
	for range 50 {
		l.insist(l.fresh())
	}
	if repeats := l.kept(t, app, time.Minute); repeats != 0 {
		t.Errorf("%d deliveries were repeated", repeats)
	}
	settled(t, pg, db, time.Minute)
	if got := ask(t, pg, db, "SELECT DISTINCT split_part(replica, '-', 1) FROM postern_trail WHERE to_state = 'applied'"); got != "well" {
		t.Errorf("applied by %q", got)
	}
}

// TestReplicaKilled kills one of four processes under load: the others notice, nothing acknowledged is lost, and in the
// long version what it had is taken over as soon as its lease is over, its work for all too.
func TestReplicaKilled(t *testing.T) {
	harness.Binary(t)
	const lease = 30 * time.Second // 15 s are the lease of what one does for all
	pg := peers.Shared(t)
	db := database(t, pg)
	app := tallying(t, func(receiver.Delivery) int { time.Sleep(20 * time.Millisecond); return http.StatusOK })
	all := startReplicas(t, 4, pg.URL(db), app.URL)
	eventually(t, 10*time.Second, "each replica knows four", func() bool {
		for _, p := range all {
			if len(status(t, p).Replicas) != 4 {
				return false
			}
		}
		return true
	})
	leader := ask(t, pg, db, "SELECT split_part(holder, '-', 1) FROM postern_leases WHERE name = 'maintenance'")
	victim := int(leader[1] - '0')
	survivors := append(append([]*harness.Postern{}, all[:victim]...), all[victim+1:]...)
	l := newLoad("kill", 16, all...)
	time.Sleep(1500 * time.Millisecond)
	killed := time.Now()
	all[victim].Kill()
	l.mu.Lock()
	l.to = survivors
	l.mu.Unlock()
	gone := eventually(t, 11*time.Second, "the others notice", func() bool { return len(status(t, survivors[0]).Replicas) == 3 })
	t.Logf("gone from the roster after %v", gone.Round(100*time.Millisecond))
	l.end(t)
	orphans := "SELECT count(*) FROM postern_deliveries d JOIN postern_trail t ON t.delivery = d.id AND t.fence = d.fence WHERE d.state = 'processing' AND t.replica LIKE '" + leader + "-%'"
	held := ask(t, pg, db, orphans)
	if harness.Soak() == 1 {
		n, _ := strconv.Atoi(held)
		if err := app.Wait(30*time.Second, len(l.acked)-n); err != nil {
			t.Error(err)
		}
		t.Logf("%d acknowledged; %s deliveries wait for the end of the lease of the dead", len(l.acked), held)
		return
	}
	repeats := l.kept(t, app, lease+30*time.Second)
	settled(t, pg, db, time.Minute)
	last := ask(t, pg, db, "SELECT coalesce(round(extract(epoch FROM max(b.at)) * 1000), 0) FROM postern_trail a JOIN postern_trail b ON b.delivery = a.delivery AND b.fence = a.fence + 1 AND b.to_state = 'processing' WHERE a.to_state = 'processing' AND a.replica LIKE '"+leader+"-%'")
	ms, _ := strconv.ParseInt(last, 10, 64)
	took := time.UnixMilli(ms).Sub(killed)
	if held != "0" && took > lease+2*time.Second {
		t.Errorf("taken over %v after the kill, the lease is %v", took, lease)
	}
	now := ask(t, pg, db, "SELECT split_part(holder, '-', 1) FROM postern_leases WHERE name = 'maintenance' AND until > now()")
	if now == leader || now == "" {
		t.Errorf("maintenance is led by %q %v after its leader %q was killed", now, time.Since(killed), leader)
	}
	t.Logf("%d acknowledged, none lost; %s deliveries of the dead, the last taken over after %v; %d repeats; led by %s", len(l.acked), held, took, repeats, now)
}

// TestReplicaStopped stops a process for longer than its lease while the application works for it: the other one
// delivers, and the late result of the first does not count.
func TestReplicaStopped(t *testing.T) {
	if harness.Soak() == 1 {
		t.Skip("takes as long as a lease: with POSTERN_SOAK; the store's tests do it with short ones")
	}
	harness.Binary(t)
	pg := peers.Shared(t)
	db := database(t, pg)
	came, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	app := tallying(t, func(d receiver.Delivery) int {
		if d.Attempt == "1" {
			once.Do(func() { close(came) })
			<-release
		}
		return http.StatusOK
	})
	all := startReplicas(t, 2, pg.URL(db), app.URL)
	l := &load{prefix: "stop", to: all, acked: map[string]time.Time{}}
	l.insist(l.fresh())
	<-came
	who := ask(t, pg, db, "SELECT split_part(replica, '-', 1) FROM postern_trail")
	p := all[int(who[1]-'0')]
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	took := eventually(t, 45*time.Second, "the other one applies it", func() bool {
		return ask(t, pg, db, "SELECT count(*) FROM postern_deliveries WHERE state = 'applied'") == "1"
	})
	close(release)
	if err := p.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "it is well again", func() bool { code, _, err := p.Get("/readyz"); return err == nil && code == 200 })
	time.Sleep(2 * time.Second) // for what must not happen
	trail := strings.Fields(ask(t, pg, db, "SELECT split_part(replica, '-', 1), to_state FROM postern_trail ORDER BY fence"))
	other := map[string]string{"r0": "r1", "r1": "r0"}[who]
	if want := fmt.Sprintf("[%s|processing %s|processing %s|applied]", who, other, other); fmt.Sprint(trail) != want {
		t.Errorf("the trail is %v, want %s", trail, want)
	}
	for _, c := range app.Counts() {
		if c.Arrived != 2 {
			t.Errorf("the application was called %d times, want 2", c.Arrived)
		}
	}
	t.Logf("taken over %v after the stop", took.Round(100*time.Millisecond))
}

// TestNewerSchemaIsRefused: a process does not touch a database that a newer one has changed.
func TestNewerSchemaIsRefused(t *testing.T) {
	harness.Binary(t)
	pg := peers.Shared(t)
	db := database(t, pg)
	p := startReplicas(t, 1, pg.URL(db), "http://127.0.0.1:1")[0]
	if code := p.Stop(); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
	ask(t, pg, db, "INSERT INTO postern_schema (version_id, is_applied) SELECT max(version_id) + 1, true FROM postern_schema")
	before := len(p.Stderr())
	if err := p.TryRun(); err == nil {
		t.Fatal("it runs")
	}
	said := p.Stderr()[before:]
	if !strings.Contains(said, "it was used by a newer Postern") || strings.Contains(said, "panic") {
		t.Errorf("it said %q", said)
	}
	t.Log(strings.TrimSpace(said))
}
