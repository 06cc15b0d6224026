package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const shopPolicy = `
provider "shop" {
  hosts    = ["shop.example"]
  upstream = %q
  retry {
    attempts = 8
    budget   = 1
    backoff {
      first = "10ms"
      max   = "50ms"
    }
  }
  timeout {
    attempt = "400ms"
    total   = "30s"
  }
  route "POST /rows" {
%s
  }
}
`

const (
	shopReconcile = `
    reconcile {
      get    = "/rows?ref=${request.body.ref}"
      found  = length(response.body.data) == 1
      answer = response.body.data[0]
      status = 201
      tries  = 5
      wait   = "20ms"
    }`
	shopUpsert = `
    upsert {
      lookup = "/rows?ref=${request.body.ref}"
      found  = length(response.body.data) == 1
      tries  = 7
      wait   = "20ms"
      update {
        path = "/rows/${response.body.data[0].id}"
      }
    }`
)

// ambiguous is how many calls are made whose first write is not answered.
func ambiguous() int {
	if os.Getenv("POSTERN_SOAK") != "" {
		return 1000
	}
	return 150
}

// An outcome of one call, as the application sees it.
type shopAnswer struct {
	ref, plan string
	status    int
	source    string
	executed  string
	row       shopRow
	text      string
}

// buy makes one call through a gate.
func buy(client *http.Client, ref, plan string) (a shopAnswer, err error) {
	body := fmt.Sprintf(`{"ref":%q,"plan":%q}`, ref, plan)
	resp, err := client.Post("http://shop.example/rows", "application/json", strings.NewReader(body))
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	a = shopAnswer{ref: ref, plan: plan, status: resp.StatusCode, source: resp.Header.Get("Postern-Source"), executed: resp.Header.Get("Postern-Executed"), text: string(text)}
	_ = json.Unmarshal(text, &a.row)
	return a, err
}

// each calls do for the numbers below n, many at once.
func each(n int, do func(n int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for {
				at := int(next.Add(1)) - 1
				if at >= n {
					return
				}
				do(at)
			}
		})
	}
	wg.Wait()
}

// TestReconcileLeavesOneRow: so many creates whose first sending is lost, cut
// short, answered with an error or not at all, done or not, shown at once or
// later, leave exactly one row each, and the answer to each is its row.
func TestReconcileLeavesOneRow(t *testing.T) {
	t.Parallel()
	s := newLedger(t, 1)
	g, _ := startGate(t, map[string]string{"shop.hcl": fmt.Sprintf(shopPolicy, s.URL, shopReconcile)})
	client := through(t, g)
	answers := make([]shopAnswer, ambiguous())
	start := time.Now()
	each(len(answers), func(n int) {
		var err error
		if answers[n], err = buy(client, fmt.Sprintf("order/%d?&", n), "pro"); err != nil {
			t.Error(err)
		}
	})
	s.settle()
	rows := s.rows()
	sources := map[string]int{}
	for _, a := range answers {
		sources[a.source]++
		if a.status != http.StatusCreated || a.row != rows[a.ref] || a.row.ID == 0 {
			t.Errorf("%s: %d from %s, executed %s: %s; the row is %+v", a.ref, a.status, a.source, a.executed, a.text, rows[a.ref])
		}
	}
	if len(rows) != len(answers) {
		t.Errorf("%d rows of %d calls", len(rows), len(answers))
	}
	if sources["reconciled"] == 0 || sources["provider"] == 0 {
		t.Errorf("answers are from %v: the test cannot see", sources)
	}
	s.report(len(answers), len(rows), sources, start)
}

// TestUpsertLeavesOneRow: the same for upserts, of which every second one finds
// its row; each row is as its call said, and the answer to each is its row.
func TestUpsertLeavesOneRow(t *testing.T) {
	t.Parallel()
	s := newLedger(t, 2)
	g, _ := startGate(t, map[string]string{"shop.hcl": fmt.Sprintf(shopPolicy, s.URL, shopUpsert)})
	client := through(t, g)
	answers := make([]shopAnswer, ambiguous())
	for n := 0; n < len(answers); n += 2 {
		s.row(0, `INSERT INTO rows (ref, plan, shows) VALUES (?, 'free', 0) RETURNING id, ref, plan`, fmt.Sprintf("customer/%d", n))
	}
	start := time.Now()
	each(len(answers), func(n int) {
		var err error
		if answers[n], err = buy(client, fmt.Sprintf("customer/%d", n), fmt.Sprintf("plan-%d", n)); err != nil {
			t.Error(err)
		}
	})
	s.settle()
	rows := s.rows()
	sources := map[string]int{}
	for _, a := range answers {
		sources[a.source]++
		if a.status/100 != 2 || a.row != rows[a.ref] || a.row.ID == 0 || a.row.Plan != a.plan {
			t.Errorf("%s: %d from %s, executed %s: %s; the row is %+v", a.ref, a.status, a.source, a.executed, a.text, rows[a.ref])
		}
	}
	if len(rows) != len(answers) {
		t.Errorf("%d rows of %d calls", len(rows), len(answers))
	}
	s.report(len(answers), len(rows), sources, start)
}

// TestTwoGatesLeaveOneRow: two processes that share nothing but the provider make
// each call at the same time: one row is left of each, whatever the other did.
// What is not answered with the row is the provider's own conflict, or half of it.
func TestTwoGatesLeaveOneRow(t *testing.T) {
	t.Parallel()
	for name, block := range map[string]string{"reconcile": shopReconcile, "upsert": shopUpsert, "both": shopUpsert + shopReconcile} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newLedger(t, 3)
			text := fmt.Sprintf(shopPolicy, s.URL, block)
			one, _ := startGate(t, map[string]string{"shop.hcl": text})
			two, _ := startGate(t, map[string]string{"shop.hcl": text})
			clients := []*http.Client{through(t, one), through(t, two)}
			n := ambiguous() / 2
			answers := make([]shopAnswer, 2*n)
			start := time.Now()
			each(2*n, func(at int) {
				var err error
				if answers[at], err = buy(clients[at%2], fmt.Sprintf("order/%d", at/2), "pro"); err != nil {
					t.Error(err)
				}
			})
			s.settle()
			rows := s.rows()
			sources := map[string]int{}
			for at, a := range answers {
				sources[a.source]++
				refused := name == "reconcile" && answers[at^1].status == http.StatusCreated && (a.status == http.StatusConflict && a.source == "provider" || strings.Contains(a.text, "answered 409, and the answer broke off") && a.executed == "no")
				if !refused && (a.status/100 != 2 || a.row != rows[a.ref] || a.row.ID == 0) {
					t.Errorf("%s: %d from %s, executed %s: %s; the row is %+v", a.ref, a.status, a.source, a.executed, a.text, rows[a.ref])
				}
			}
			if len(rows) != n {
				t.Errorf("%d rows of %d calls", len(rows), n)
			}
			s.report(len(answers), len(rows), sources, start)
		})
	}
}

// settle waits for what the shop does late.
func (s *ledger) settle() {
	for s.late.Load() > 0 { // more may be on their way: no sync.WaitGroup counts those
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *ledger) report(calls, rows int, sources map[string]int, start time.Time) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.t.Logf("%d calls, %d rows, answers from %v, %d writes refused by the constraint, faults %v, in %v", calls, rows, sources, s.conflicts, s.seen, time.Since(start).Round(time.Millisecond))
}

// A forgetful provider makes what it is asked for, and says nothing.
type forgetful struct {
	*httptest.Server
	down  atomic.Bool // of look-ups
	made  sync.Map    // refs
	posts atomic.Int64
}

func newForgetful(t *testing.T) *forgetful {
	f := new(forgetful)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			var in shopRow
			_ = json.NewDecoder(r.Body).Decode(&in)
			f.posts.Add(1)
			f.made.Store(in.Ref, in)
			panic(http.ErrAbortHandler)
		}
		data := []any{}
		if row, ok := f.made.Load(r.URL.Query().Get("ref")); ok {
			data = append(data, row)
		}
		if f.down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		give(w, http.StatusOK, map[string]any{"data": data})
	}))
	t.Cleanup(f.Close)
	return f
}

// kept lists the states of the calls that a gate keeps.
func kept(t *testing.T, g *gate) (states []string) {
	t.Helper()
	resp, err := http.Get("http://" + g.admin.Addr().String() + "/api/v1/outbox/calls")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var page struct {
		Calls []struct {
			Status string `json:"status"`
		} `json:"calls"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	for _, c := range page.Calls {
		states = append(states, c.Status)
	}
	return states
}

// TestDoubtAndWhatIsKept: a call that nobody can look up is kept as one of which
// nobody knows; one that was looked up is not. A repeat under its key is looked up
// before anything is sent, and ends the doubt for good. While it is in doubt it is
// kept once.
func TestDoubtAndWhatIsKept(t *testing.T) {
	t.Parallel()
	f := newForgetful(t)
	const keeps = "\n    idempotency {\n      key  = request.header[\"X-Order-Id\"]\n      keep = \"24h\"\n    }\n    deadletter {}\n"
	text := fmt.Sprintf(shopPolicy, f.URL, keeps+strings.Replace(shopReconcile, "tries  = 5", "tries  = 1", 1))
	text += strings.NewReplacer(`"shop"`, `"blind"`, "shop.example", "blind.example").Replace(fmt.Sprintf(shopPolicy, f.URL, keeps))
	g, _ := startGate(t, map[string]string{"shop.hcl": text})
	client := through(t, g)
	post := func(host, ref string) (status int, source, executed string) {
		t.Helper()
		req, _ := http.NewRequest("POST", "http://"+host+"/rows", strings.NewReader(fmt.Sprintf(`{"ref":%q}`, ref)))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Order-Id", ref)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode, resp.Header.Get("Postern-Source"), resp.Header.Get("Postern-Executed")
	}
	want := func(what string, status int, source, executed string, posts int64, states string) {
		t.Helper()
		host, ref, _ := strings.Cut(what, " ")
		s, from, acted := post(host, ref)
		var got string
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if got = strings.Join(kept(t, g), " "); got == states {
				break
			}
		}
		if s != status || from != source || acted != executed || f.posts.Load() != posts || got != states {
			t.Errorf("%s: %d from %q, executed %q, %d sent, kept %q", what, s, from, acted, f.posts.Load(), got)
		}
	}
	want("shop.example 1", 201, "reconciled", "", 1, "")
	want("shop.example 1", 201, "replay", "", 1, "")
	f.down.Store(true)
	want("shop.example 2", 502, "postern", "maybe", 2, "unknown")
	want("shop.example 2", 502, "postern", "maybe", 2, "unknown")
	f.down.Store(false)
	want("shop.example 2", 201, "reconciled", "", 2, "superseded")
	want("shop.example 2", 201, "replay", "", 2, "superseded")
	want("blind.example 3", 502, "postern", "maybe", 3, "unknown superseded")
	want("blind.example 3", 502, "postern", "maybe", 3, "unknown superseded")
	resp, err := http.Post("http://"+g.admin.Addr().String()+"/api/v1/outbox/discard", "application/json", strings.NewReader(`{"filter":{"providers":["blind"]}}`))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	for end := time.Now().Add(20 * time.Second); g.outbox.Waiting("blind") && time.Now().Before(end); { // as after a crash
		time.Sleep(10 * time.Millisecond)
	}
	want("blind.example 3", 502, "postern", "maybe", 3, "unknown discarded superseded")
}
