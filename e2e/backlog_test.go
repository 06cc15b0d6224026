package e2e

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/peers"
)

const backlogHook = `
webhook "NAME" {
  path = "/NAME"
  verify "none" {}
  event {
    id  = body.id
    key = body.key
  }
  ORDER
  deliver {
    to          = "http://APP/"
    concurrency = 32
  }
}
`

// The application has so many workers, each of which takes so long.
const (
	appWorkers = 8
	appServes  = 10 * time.Millisecond
)

// worked is an application with a queue before its workers. It can be gone, so that nobody listens at its address.
type worked struct {
	t       *testing.T
	addr    string
	srv     *http.Server
	workers chan struct{}
	mu      sync.Mutex
	applied map[string]time.Time // by the provider's id
	again   int
	took    []time.Duration
}

func newWorked(t *testing.T) *worked {
	w := &worked{t: t, addr: "127.0.0.1:0", workers: make(chan struct{}, appWorkers), applied: map[string]time.Time{}}
	w.up()
	t.Cleanup(w.down)
	return w
}

func (w *worked) up() {
	l, err := net.Listen("tcp4", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.addr, w.srv = l.Addr().String(), &http.Server{Handler: w}
	go w.srv.Serve(l)
}

func (w *worked) down() { w.srv.Close() }

func (w *worked) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	start := time.Now()
	w.workers <- struct{}{}
	time.Sleep(appServes)
	<-w.workers
	w.mu.Lock()
	defer w.mu.Unlock()
	id := r.Header.Get("Postern-Provider-Event-Id")
	if _, there := w.applied[id]; there {
		w.again++
	}
	w.applied[id], w.took = time.Now(), append(w.took, time.Since(start))
}

func (w *worked) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.applied)
}

// answers are how long they took since the last time they were asked for.
func (w *worked) answers() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	took := w.took
	w.took = nil
	return took
}

// provider posts to an inbox, and remembers when each event was acknowledged.
type provider struct {
	*testing.T
	to    string
	mu    sync.Mutex
	acked map[string]time.Time
	took  []time.Duration // of the metered
}

// post sends the n-th event of this kind. "new" ones go to the ordered webhook, each in a lane of its own.
func (p *provider) post(kind, lane string, n int, metered bool) {
	id, hook := fmt.Sprintf("%s-%d", kind, n), kind
	switch kind {
	case "new":
		hook, lane = "ordered", id
	case "big", "lane":
		hook = "ordered"
	}
	start := time.Now()
	status, _, err := send(p.to, post{Path: "/" + hook, Body: fmt.Sprintf(`{"id":%q,"key":%q,"pad":"%0300d"}`, id, lane, n)})
	if status != http.StatusOK || err != nil {
		p.Errorf("event %s: %d, %v after %v", id, status, err, time.Since(start))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acked[id] = time.Now()
	if metered {
		p.took = append(p.took, time.Since(start))
	}
}

// pile posts a backlog by many at once: half of it to one webhook, a twentieth to another, and the rest to one with
// lanes, of which one has a fiftieth of the backlog and the others have about 130 each.
func (p *provider) pile(n int) {
	var next atomic.Int64
	var senders sync.WaitGroup
	for range 16 {
		senders.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !p.Failed(); i = int(next.Add(1)) - 1 {
				switch r := i % 100; {
				case r < 50:
					p.post("large", "", i, false)
				case r < 55:
					p.post("small", "", i, false)
				case r < 57:
					p.post("big", "big", i, false)
				default:
					p.post("lane", fmt.Sprint(i%max(n/300, 1)), i, false)
				}
			}
		})
	}
	senders.Wait()
}

// meter posts a new event of every kind again and again until stop, and returns how long acknowledgements took.
func (p *provider) meter(from *int, stop func() bool) []time.Duration {
	for !stop() {
		for _, kind := range []string{"quiet", "new"} {
			*from++
			p.post(kind, "", *from, true)
			time.Sleep(20 * time.Millisecond)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	took := p.took
	p.took = nil
	return took
}

// after is a condition that is true when so long is over.
func after(d time.Duration) func() bool {
	end := time.Now().Add(d)
	return func() bool { return time.Now().After(end) }
}

// TestF28Backlog: an application is away while a backlog gathers, in a real process. Acknowledgements are as quick as
// ever, while it is away and while it is caught up with; a new event of another webhook or lane does not wait for the
// backlog. With POSTERN_SOAK the backlog is 100,000, and times are compared.
func TestF28Backlog(t *testing.T) {
	harness.Binary(t)
	t.Run("SQLite", func(t *testing.T) { backlogged(t, harness.Main) })
	t.Run("PostgreSQL", func(t *testing.T) {
		backlogged(t, harness.Main+fmt.Sprintf("store { url = %q }\n", peers.Database(t)))
	})
}

func backlogged(t *testing.T, main string) {
	backlog, calm, soak := 2000, time.Second, harness.Soak() > 1
	if soak {
		backlog, calm = 100_000, 5*time.Second
	}
	app := newWorked(t)
	files := harness.Files{"postern.hcl": main}
	for name, order := range map[string]string{"large": "", "small": "", "quiet": "", "ordered": `order { mode = "lane" }`} {
		files[name+".hcl"] = strings.NewReplacer("NAME", name, "ORDER", order, "APP", app.addr).Replace(backlogHook)
	}
	p := &provider{T: t, to: harness.Start(t, files).Inbound, acked: map[string]time.Time{}}
	fresh := 0
	p.meter(&fresh, after(calm)) // warm
	app.answers()
	before := p.meter(&fresh, after(calm))
	usual := quantile(app.answers(), 0.99)

	app.down()
	start := time.Now()
	p.pile(backlog)
	piled := time.Since(start)
	away := p.meter(&fresh, after(calm))
	late := fresh
	back := time.Now()
	app.up()
	draining := p.meter(&fresh, func() bool { return t.Failed() || app.count() >= backlog || time.Since(back) > 10*time.Minute })
	drained := time.Since(back)
	drain := quantile(app.answers(), 0.99)
	eventually(t, time.Minute, "all is applied", func() bool { return app.count() == len(p.acked) })

	if app.again > 0 {
		t.Errorf("%d events were applied again", app.again)
	}
	t.Logf("a backlog of %d, stored in %v, applied in %v; the application's p99 was %v, usually %v", backlog, piled.Round(time.Millisecond), drained.Round(time.Millisecond), drain, usual)
	for _, phase := range []struct {
		name string
		took []time.Duration
	}{{"before", before}, {"while it is away", away}, {"while it catches up", draining}} {
		t.Logf("acknowledgements %s: p50 %v, p99 %v, at most %v of %d", phase.name, quantile(phase.took, 0.5), quantile(phase.took, 0.99), quantile(phase.took, 1), len(phase.took))
	}
	if soak && (quantile(away, 0.5) > 3*quantile(before, 0.5) || quantile(draining, 0.99) > 500*time.Millisecond) {
		t.Error("senders noticed the outage")
	}
	if soak && drain > 2*max(usual, appServes*3/2) { // what is usual was measured for a few seconds
		t.Error("the application was run over")
	}
	p.checkWaits(app, back, drained, late)
}

// checkWaits demands that new events and those of the small webhook came long before the whole backlog.
func (p *provider) checkWaits(app *worked, back time.Time, drained time.Duration, late int) {
	waits, done := map[string][]time.Duration{}, map[string]time.Duration{}
	for id, at := range app.applied {
		kind, n, _ := strings.Cut(id, "-")
		if (kind == "quiet" || kind == "new") && number(n) > late {
			waits[kind] = append(waits[kind], at.Sub(p.acked[id]))
		}
		done[kind] = max(done[kind], at.Sub(back))
	}
	for _, kind := range slices.Sorted(maps.Keys(waits)) {
		w := waits[kind]
		p.Logf("new events of %s waited: p50 %v, p99 %v, at most %v of %d", kind, quantile(w, 0.5), quantile(w, 0.99), quantile(w, 1), len(w))
		if quantile(w, 0.5) > drained/4 {
			p.Errorf("new events of %s waited for the backlog of others", kind)
		}
	}
	p.Logf("small was done after %v, large after %v, the lanes after %v", done["small"].Round(time.Millisecond), done["large"].Round(time.Millisecond), done["lane"].Round(time.Millisecond))
	if done["small"] > done["large"]*3/4 {
		p.Error("the small webhook waited for the large one")
	}
}

func number(text string) (n int) {
	_, _ = fmt.Sscan(text, &n)
	return n
}
