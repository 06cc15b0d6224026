package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/e2e/receiver"
	"github.com/postern-proxy/postern/peers"
)

const replicaPolicy = `
webhook "stripe" {
  path = "/stripe"
  verify "stripe" {
    secrets = [env("SECRET")]
  }
  event {
    id   = body.id
    type = body.type
  }
  deliver {
    to      = "RECEIVER"
    timeout = "2m"
  }
  retry {
    attempts = 1000
    backoff {
      first = "20ms"
      max   = "200ms"
    }
  }
}
`

const replicaMain = harness.Main + `
store { url = env("DATABASE_URL") }
`

// newReplica is one Postern on the database at url, not yet started.
func newReplica(t *testing.T, url, app, name string, extra harness.Files) *harness.Postern {
	t.Helper()
	files := harness.Files{"postern.hcl": replicaMain, "hook.hcl": strings.ReplaceAll(replicaPolicy, "RECEIVER", app)}
	for file, text := range extra {
		files[file] = text
	}
	return harness.New(t, files, harness.WithEnv("SECRET", killSecret), harness.WithEnv("DATABASE_URL", url),
		harness.WithEnv("POSTERN_REPLICA", name), harness.WithEnv("KEY", "key-of-the-provider"))
}

// startReplicas starts n processes on one database at the same moment, and returns when all are ready.
func startReplicas(t *testing.T, n int, url, app string) []*harness.Postern {
	t.Helper()
	var all []*harness.Postern
	for i := range n {
		all = append(all, newReplica(t, url, app, fmt.Sprintf("r%d", i), nil))
	}
	runAll(t, all)
	return all
}

func runAll(t *testing.T, all []*harness.Postern) {
	t.Helper()
	errs := make([]error, len(all))
	var starts sync.WaitGroup
	for i, p := range all {
		starts.Go(func() { errs[i] = p.TryRun() })
	}
	starts.Wait()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("replica %d: %v; stderr:\n%s", i, err, all[i].Stderr())
		}
	}
}

// tallying starts a tally that ends with the test.
func tallying(t *testing.T, answer func(receiver.Delivery) int) *receiver.Tally {
	t.Helper()
	app, err := receiver.ListenTally(answer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.Close)
	return app
}

// statusOf is what a replica says of itself and of the others.
type statusOf struct {
	Ready    bool
	Replica  string
	Store    struct{ Promise string }
	Replicas []struct{ ID string }
}

func status(t *testing.T, p *harness.Postern) (s statusOf) {
	t.Helper()
	r := p.Command(nil, "status", "--output", "json")
	if err := json.Unmarshal([]byte(r.Stdout), &s); err != nil {
		t.Fatalf("postern status: %v %v", err, r)
	}
	return s
}

// try is one request of a load.
type try struct {
	id     string
	at     time.Time
	took   time.Duration
	status int // 0 for none
	err    error
}

// load is a provider that sends event after event to replicas, each until it is acknowledged.
type load struct {
	prefix  string
	to      []*harness.Postern
	mu      sync.Mutex
	n       int
	acked   map[string]time.Time // when the request was sent that was acknowledged
	tries   []try
	stop    chan struct{}
	senders sync.WaitGroup
}

// newLoad begins a load that sends until end is called; a sender that was not acknowledged waits a little.
func newLoad(prefix string, senders int, to ...*harness.Postern) *load {
	l := &load{prefix: prefix, to: to, acked: map[string]time.Time{}, stop: make(chan struct{})}
	for range senders {
		l.senders.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				case <-time.After(rand.N(10 * time.Millisecond)):
				}
				l.insist(l.fresh())
			}
		})
	}
	return l
}

func (l *load) fresh() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	return fmt.Sprintf("evt_%s_%06d", l.prefix, l.n)
}

// insist sends an event until it is acknowledged, by one replica or another, for a minute at most.
func (l *load) insist(id string) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if l.post(l.any(), id).status == http.StatusOK {
			return
		}
	}
}

// any is one of those that the load goes to now.
func (l *load) any() *harness.Postern {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to[rand.IntN(len(l.to))]
}

func (l *load) post(p *harness.Postern, id string) try {
	r := try{id: id, at: time.Now()}
	r.status, _, r.err = send(p.Inbound, signStripe("/stripe", killSecret, fmt.Sprintf(`{"id":%q,"type":"thing.updated"}`, id), r.at))
	r.took = time.Since(r.at)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tries = append(l.tries, r)
	if _, known := l.acked[id]; r.status == http.StatusOK && !known {
		l.acked[id] = r.at
	}
	return r
}

// end stops the load when each of its senders has its acknowledgement.
func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.senders.Wait()
	if len(l.acked) != l.n {
		t.Errorf("%d of %d events were never acknowledged", l.n-len(l.acked), l.n)
	}
}

// failed are the tries that were not acknowledged.
func (l *load) failed() []try {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.tries), func(r try) bool { return r.status == http.StatusOK })
}

// first is the first acknowledgement of a request that began after a time.
func (l *load) first(after time.Time) (at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.tries {
		if end := r.at.Add(r.took); r.status == http.StatusOK && !r.at.Before(after) && (at.IsZero() || end.Before(at)) {
			at = end
		}
	}
	return at
}

// kept checks that each acknowledged event was applied as one event, and returns how many requests were repeats.
func (l *load) kept(t *testing.T, app *receiver.Tally, within time.Duration) (repeats int) {
	t.Helper()
	applied := app.Applied()
	for end := time.Now().Add(within); !l.all(applied) && time.Now().Before(end); applied = app.Applied() {
		time.Sleep(50 * time.Millisecond)
	}
	lost, doubled := 0, 0
	for id := range l.acked {
		switch applied[id] {
		case 0:
			if lost++; lost < 5 {
				t.Errorf("%s was acknowledged and never applied", id)
			}
		case 1:
		default:
			doubled++
		}
	}
	if lost+doubled > 0 {
		t.Errorf("of %d acknowledged events %d are lost, %d were applied as several", len(l.acked), lost, doubled)
	}
	for _, c := range app.Counts() {
		repeats += c.Arrived - 1
	}
	return repeats
}

func (l *load) all(applied map[string]int) bool {
	for id := range l.acked {
		if applied[id] == 0 {
			return false
		}
	}
	return true
}

// ask is the answer of PostgreSQL itself.
func ask(t *testing.T, pg *peers.Postgres, db, query string) string {
	t.Helper()
	got, err := pg.SQL(db, query)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// eventually waits until ok, and fails the test when that takes longer than within.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if ok() {
			return time.Since(start)
		}
		if time.Since(start) > within {
			t.Fatalf("%s: not within %v", what, within)
		}
	}
}

// settled waits until nothing is open in the database any more.
func settled(t *testing.T, pg *peers.Postgres, db string, within time.Duration) {
	t.Helper()
	eventually(t, within, "all deliveries are done", func() bool {
		got, err := pg.SQL(db, "SELECT count(*) FROM postern_deliveries WHERE state <> 'applied'")
		return err == nil && got == "0"
	})
}

// ackedSoFar is a copy of what is acknowledged.
func (l *load) ackedSoFar() map[string]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.acked)
}

// once checks that no event arrived twice.
func once(t *testing.T, counts map[string]receiver.Count) {
	t.Helper()
	again := 0
	for event, c := range counts {
		if c.Arrived != 1 {
			if again++; again < 5 {
				t.Errorf("%s (%s) arrived %d times", c.ID, event, c.Arrived)
			}
		}
	}
	if again > 0 {
		t.Errorf("%d of %d events arrived several times", again, len(counts))
	}
}
