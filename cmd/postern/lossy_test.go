//go:build unix

package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound/oversight"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/seal"
)

// What a lossy provider does with the webhook of an event.
type fate uint8

const (
	once    fate = iota
	twice        // and again
	dropped      // never
	tardy        // only after somebody else has told the application
	stray        // sent, and on no list
)

const lossySecret = "lossy-signing-secret-0123456789"

// A lossyProvider makes events, sends webhooks of them as its script says, and
// lists all of them, the newest first, not always at the first asking.
type lossyProvider struct {
	*httptest.Server
	t     *testing.T
	fates []fate

	mu     sync.Mutex
	events []lossyEvent
	rnd    *rand.Rand
	lists  atomic.Int64
	to     atomic.Pointer[string] // where webhooks go
}

// A lossyEvent changes one of many objects; of two the one with the higher version
// holds.
type lossyEvent struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Created int64  `json:"created"` // milliseconds
	Object  string `json:"object"`
	Version int    `json:"version"`
}

func newLossy(t *testing.T, n int, seed uint64) *lossyProvider {
	p := &lossyProvider{t: t, rnd: rand.New(rand.NewPCG(seed, 6)), fates: make([]fate, n)}
	for i := range p.fates {
		switch {
		case i < n*3/100:
			p.fates[i] = dropped
		case i < n*8/100:
			p.fates[i] = twice
		case i < n*13/100:
			p.fates[i] = tardy
		case i < n*13/100+7:
			p.fates[i] = stray
		}
	}
	p.rnd.Shuffle(n, func(i, j int) { p.fates[i], p.fates[j] = p.fates[j], p.fates[i] })
	p.Server = httptest.NewServer(http.HandlerFunc(p.list))
	t.Cleanup(func() { p.CloseClientConnections(); p.Close() })
	return p
}

func (p *lossyProvider) count(f fate) (n int) {
	for _, g := range p.fates {
		if g == f {
			n++
		}
	}
	return n
}

// make adds the nth event to the list.
func (p *lossyProvider) make(n int) lossyEvent {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := lossyEvent{fmt.Sprintf("evt_%06d", n), "thing.updated", time.Now().UnixMilli(), fmt.Sprintf("obj_%d", p.rnd.IntN(len(p.fates)/5)), n + 1}
	if p.fates[n] != stray {
		p.events = append(p.events, e)
	}
	return e
}

// list answers a page of GET /events?since=&after=.
func (p *lossyProvider) list(w http.ResponseWriter, r *http.Request) {
	p.lists.Add(1)
	q := r.URL.Query()
	since, _ := strconv.ParseInt(q.Get("since"), 10, 64)
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer list-key-0123456789" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if p.rnd.IntN(20) == 0 {
		w.WriteHeader([]int{500, 503, 429}[p.rnd.IntN(3)])
		return
	}
	at := len(p.events)
	if after := q.Get("after"); after != "" {
		at = slices.IndexFunc(p.events, func(e lossyEvent) bool { return e.ID == after })
	}
	page := []lossyEvent{}
	for at--; at >= 0 && len(page) < 100 && p.events[at].Created >= since; at-- {
		page = append(page, p.events[at])
	}
	text, _ := json.Marshal(map[string]any{"data": page, "has_more": at >= 0 && p.events[at].Created >= since})
	if p.rnd.IntN(50) == 0 { // breaks off
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		text = text[:len(text)/2]
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}

// push sends a webhook until it is acknowledged. Its bytes are not those of the
// list.
func (p *lossyProvider) push(client *http.Client, e lossyEvent) {
	body, _ := json.MarshalIndent(e, "", "  ")
	mac := hmac.New(sha256.New, []byte(lossySecret))
	mac.Write(body)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		req, _ := http.NewRequest(http.MethodPost, "http://"+*p.to.Load()+"/lossy", strings.NewReader(string(body)))
		req.Header.Set("X-Signature", hex.EncodeToString(mac.Sum(nil)))
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
	p.t.Errorf("event %s was never acknowledged", e.ID)
}

// A lossyApp applies events, each once by Postern-Event-Id.
type lossyApp struct {
	*httptest.Server
	mu      sync.Mutex
	applied map[string]bool // by the provider's id
	seen    map[string]bool // by Postern's
	double  int             // one event under two of Postern's ids
	origins map[string]int
	objects map[string]int // version
}

func newLossyApp(t *testing.T) *lossyApp {
	a := &lossyApp{applied: map[string]bool{}, seen: map[string]bool{}, origins: map[string]int{}, objects: map[string]int{}}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e lossyEvent
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if id := r.Header.Get("Postern-Event-Id"); !a.seen[id] {
			a.seen[id] = true
			a.origins[r.Header.Get("Postern-Origin")]++
			if a.applied[e.ID] {
				a.double++
			}
		}
		a.applied[e.ID] = true
		a.objects[e.Object] = max(a.objects[e.Object], e.Version)
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *lossyApp) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.applied)
}

const lossyPolicy = `
provider "lossy" {
  hosts    = ["lossy.example"]
  upstream = %q
  credential "bearer" { token = file("key") }
  retry {
    attempts = 3
    budget   = 1
    backoff {
      first = "10ms"
      max   = "50ms"
    }
  }
  limit "published" {
    rate = "200/s"
    wait = "5s"
  }
}
webhook "lossy" {
  path     = "/lossy"
  provider = "lossy"
  verify "hmac" {
    header  = "X-Signature"
    secrets = [file("signing")]
    message = "${raw_body}"
  }
  event {
    id   = body.id
    type = body.type
    time = body.created
    key  = body.object
    unit = "ms"
  }
  deliver { to = %q }
  reconcile {
    every   = "1s"
    list    = "/events?since=${since}"
    events  = response.body.data
    next    = response.body.has_more ? "/events?since=${since}&after=${last.id}" : null
    unit    = "ms"
    overlap = "2s"
    settle  = %q
    pages   = 20
  }
}
`

// lossyRound has n events made and sent, kills Postern in the middle, and compares
// what the application has and what the report says with the script.
func lossyRound(t *testing.T, n int, settle time.Duration, url string) {
	p, app := newLossy(t, n, 1), newLossyApp(t)
	dir := t.TempDir()
	put(t, filepath.Join(dir, "key"), "list-key-0123456789")
	put(t, filepath.Join(dir, "signing"), lossySecret)
	put(t, filepath.Join(dir, "seal"), seal.Generate())
	put(t, filepath.Join(dir, "postern.hcl"), "proxy { listen = \"127.0.0.1:0\" }\ninbound { listen = \"127.0.0.1:0\" }\nadmin { listen = \"127.0.0.1:0\" }\n"+url)
	put(t, filepath.Join(dir, "lossy.hcl"), fmt.Sprintf(lossyPolicy, p.URL, app.URL, settle))
	l := begin(t, dir, exact, nil, nil)
	p.to.Store(&l.inbound)
	if rest := p.standing(t, l); rest.Total.Expected != 0 {
		t.Fatalf("it begins with %+v", rest)
	}
	eventually(t, "the first run", func() bool { return p.lists.Load() > 0 })

	start := time.Now()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}, Timeout: 10 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	var late []lossyEvent
	var mu sync.Mutex
	var killed sync.Once
	each(n, func(i int) {
		if i == n/2 {
			killed.Do(func() {
				_ = l.Process.Kill()
				<-l.ended
				l = begin(t, dir, exact, nil, nil)
				p.to.Store(&l.inbound)
			})
		}
		switch e := p.make(i); p.fates[i] {
		case tardy:
			mu.Lock()
			late = append(late, e)
			mu.Unlock()
		case twice:
			p.push(client, e)
			p.push(client, e)
		case once, stray:
			p.push(client, e)
		}
	})
	pushed := time.Since(start)
	for end := time.Now().Add(5 * time.Minute); app.count() < n && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
	}
	filled := time.Since(start)
	each(len(late), func(i int) { p.push(client, late[i]) })

	missing := p.count(dropped) + p.count(tardy)
	listed := n - p.count(stray)
	want := oversight.Tally{Expected: listed, Received: listed - missing, Backfilled: missing, Late: p.count(tardy), Unknown: p.count(stray)}
	var got oversight.Standing
	for end := time.Now().Add(time.Minute); got.Total != want && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		got = p.standing(t, l)
	}
	t.Logf("%d events in %.1fs, all applied after %.1fs, %d pages asked for; script %+v; report %+v", n, pushed.Seconds(), filled.Seconds(), p.lists.Load(), want, got.Total)
	if got.Total != want {
		t.Errorf("the report says %+v, the script %+v", got.Total, want)
	}
	p.compare(t, app, missing)
}

// compare holds what the application has against what the provider has.
func (p *lossyProvider) compare(t *testing.T, app *lossyApp, missing int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	app.mu.Lock()
	defer app.mu.Unlock()
	want := map[string]int{}
	for _, e := range p.events {
		want[e.Object] = max(want[e.Object], e.Version)
		if !app.applied[e.ID] {
			t.Errorf("%s was never applied", e.ID)
		}
	}
	for object, version := range want {
		if app.objects[object] < version {
			t.Errorf("%s has version %d, the provider's is %d", object, app.objects[object], version)
		}
	}
	if app.double > 0 {
		t.Errorf("%d events came under two of Postern's ids", app.double)
	}
	if app.origins["backfill"] != missing || len(app.applied) != len(p.fates) {
		t.Errorf("%d events, by origin %v; %d were missing", len(app.applied), app.origins, missing)
	}
}

// standing asks the admin API how reconcile stands.
func (p *lossyProvider) standing(t *testing.T, l *life) (s oversight.Standing) {
	t.Helper()
	resp, err := http.Get("http://" + l.admins + "/api/v1/inbox/reconcile")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Webhooks []struct{ Total oversight.Tally }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || len(answer.Webhooks) != 1 {
		t.Fatalf("%+v, %v", answer, err)
	}
	s.Total = answer.Webhooks[0].Total
	return s
}

// TestReconcileLossyProvider: a provider drops 3 % of its webhooks, sends 5 % twice
// and 5 % late; Postern is killed in the middle. The application ends with the
// provider's state, and the report with the script's numbers.
func TestReconcileLossyProvider(t *testing.T) {
	t.Parallel()
	soak := os.Getenv("POSTERN_SOAK") != ""
	for _, round := range []struct {
		name    string
		n, many int
		url     func() string
	}{
		{"SQLite", 1500, 50_000, func() string { return "" }},
		{"PostgreSQL", 300, 50_000, func() string {
			return fmt.Sprintf("store { url = %q }\nseal { keys = [file(\"seal\")] }\n", peers.Database(t))
		}},
	} {
		t.Run(round.name, func(t *testing.T) {
			n, settle := round.n, 4*time.Second
			if soak {
				n, settle = round.many, 15*time.Second
			}
			lossyRound(t, n, settle, round.url())
		})
	}
}
