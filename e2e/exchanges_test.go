package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/harness"
)

// faultyPolicy is two providers at one upstream: one honours idempotency keys, one does not. Retries are as eager as
// they can be, so that what holds them back is evidence alone.
const faultyPolicy = `
provider "NAME-plain" {
  hosts    = ["NAME-plain.test"]
  upstream = "UPSTREAM"
  retry {
    attempts = 4
    budget   = 1
    buffer   = "8MiB"
    backoff {
      first = "1ms"
      max   = "5ms"
    }
  }
  cooldown { mode = "observe" } # each call meets its own faults
  timeout {
    connect = "2s"
    attempt = "250ms"
    total   = "5s"
  }
}

provider "NAME-keyed" {
  hosts    = ["NAME-keyed.test"]
  upstream = "UPSTREAM"
  idempotency {
    header  = "Idempotency-Key"
    methods = ["POST", "PATCH"]
  }
  retry {
    attempts = 4
    budget   = 1
    buffer   = "8MiB"
    backoff {
      first = "1ms"
      max   = "5ms"
    }
  }
  cooldown { mode = "observe" } # each call meets its own faults
  timeout {
    connect = "2s"
    attempt = "250ms"
    total   = "5s"
  }
}
`

// deeds counts what the provider really did, for each call. One that honours keys does what a key asks for once.
type deeds struct {
	mu   sync.Mutex
	done map[string]int // by call
	keys map[string]bool
}

func (l *deeds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	l.mu.Lock()
	key := r.Header.Get("Idempotency-Key")
	if key == "" || !l.keys[key] {
		l.done[r.Header.Get("X-Call")]++
	}
	if key != "" {
		l.keys[key] = true
	}
	l.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"done": true, "pad": %q}`, strings.Repeat("x", 512))
}

func (l *deeds) count(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done[id]
}

// exchange is one call of the storm and what the application was told.
type exchange struct {
	id, provider, method string
	steps                []string
	answer               harness.Answer
	err                  error
}

func (e *exchange) String() string {
	return fmt.Sprintf("%s: %s to %s, %v: %d %v, %v %v", e.id, e.method, e.provider, e.steps, e.answer.Status, e.answer.Header, e.answer.Broken, e.err)
}

// repeatable reports whether a second execution of the call is no harm.
func (e *exchange) repeatable() bool {
	return e.method != http.MethodPost && e.method != http.MethodPatch
}

// randomStep is a fault, one in two of them after the provider has acted.
func randomStep(r *rand.Rand) faults.Step {
	steps := []faults.Step{
		faults.Pass(), faults.ResetUnread(), faults.CloseUnread(), faults.RefuseStream(), faults.GoAway(),
		faults.ResetPart(), faults.ResetRead(), faults.CloseRead(), faults.ResetStream(), faults.GoAwayAfter(),
		faults.ResetHead(), faults.Garbage(), faults.ResetHalf(), faults.CloseHalf(),
		faults.Answer(500, "no"), faults.Answer(502, ""), faults.Answer(503, "no"), faults.Answer(504, ""), faults.Answer(408, ""),
	}
	if r.IntN(25) == 0 {
		steps = []faults.Step{faults.Hang(), faults.Pass().After(400 * time.Millisecond), faults.Answer(503, "").After(400 * time.Millisecond)}
	}
	step := steps[r.IntN(len(steps))]
	if r.IntN(2) == 0 {
		step = step.Acting()
	}
	if r.IntN(6) == 0 { // these say that nothing was done, and that is true
		honest := []faults.Step{faults.Answer(429, ""), faults.Answer(421, ""), faults.Answer(425, ""), faults.Answer(409, "{}"), faults.Answer(422, "{}")}
		step = honest[r.IntN(len(honest))]
	}
	return step
}

// storm makes n calls, one after another, each against a few faults in a row.
func storm(t *testing.T, n int, seed uint64, name string, s *faults.Server, c *http.Client) []*exchange {
	r := rand.New(rand.NewPCG(seed, uint64(name[0])))
	all := make([]*exchange, n)
	for i := range all {
		e := &exchange{
			id:       fmt.Sprintf("%s-%d", name, i),
			provider: []string{name + "-plain", name + "-keyed"}[r.IntN(2)],
			method:   []string{"GET", "PUT", "DELETE", "POST", "POST", "POST", "PATCH"}[r.IntN(7)],
		}
		all[i] = e
		var script []faults.Step
		for range r.IntN(6) {
			step := randomStep(r)
			script, e.steps = append(script, step), append(e.steps, step.String())
		}
		s.Forget()
		s.Script(script...)
		switch r.IntN(12) {
		case 0:
			s.CloseIdle() // they may be found dead, or not yet
		case 1:
			s.TurnAway(1 + r.IntN(5))
			s.CloseIdle()
		}
		e.send(r, c)
	}
	return all
}

// send makes the call with a body of some size, announced or not.
func (e *exchange) send(r *rand.Rand, c *http.Client) {
	size := []int{0, 1, 200, 5_000, 40_000, 300_000}[r.IntN(6)]
	if r.IntN(15) == 0 {
		size = 4 << 20 // beyond memory, and beyond what the network holds
	}
	var body io.Reader
	if size > 0 && e.method != http.MethodGet {
		body = bytes.NewReader(bytes.Repeat([]byte("x"), size))
		if r.IntN(3) == 0 {
			body = io.MultiReader(body) // of unknown length
		}
	}
	req, err := http.NewRequest(e.method, "https://"+e.provider+".test/v1/things", body)
	if err != nil {
		e.err = err
		return
	}
	req.Header.Set("X-Call", e.id)
	resp, err := c.Do(req)
	if err != nil {
		e.err = err
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	e.answer = harness.Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(text), Broken: err}
}

// journal is what Postern's log says of each call's `executed`, by correlation id.
func journal(t *testing.T, p *harness.Postern) map[string]string {
	t.Helper()
	lines := map[string]string{}
	for line := range strings.Lines(p.Stderr()) {
		var l struct{ Log, ID, Executed string }
		if json.Unmarshal([]byte(line), &l) == nil && l.Log == "outbound" {
			lines[l.ID] = l.Executed
		}
	}
	return lines
}

// TestP19TenThousandExchanges: whatever goes wrong between Postern and a provider, no call that must not be repeated is
// executed twice, and what the application is told is true to the provider's own count.
func TestP19TenThousandExchanges(t *testing.T) {
	harness.Binary(t)
	n := 200
	if harness.Soak() > 1 {
		n = 3334
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	book := &deeds{done: map[string]int{}, keys: map[string]bool{}}
	ca := authority(t)
	servers, policies := map[string]*faults.Server{}, harness.Files{}
	for i, tr := range transports {
		cfg := faults.Config{Backend: book, NoH2: tr.noH2}
		if tr.tls {
			cfg.CA = ca
		}
		name := []string{"clear", "one", "two"}[i]
		servers[name] = upstream(t, cfg)
		policies[name+".hcl"] = strings.NewReplacer("NAME", name, "UPSTREAM", servers[name].URL()).Replace(faultyPolicy)
	}
	p := harness.Start(t, policies, harness.Trusting(ca.File))
	var mu sync.Mutex
	var all []*exchange
	var wg sync.WaitGroup
	for name, s := range servers {
		wg.Go(func() {
			part := storm(t, n, seed, name, s, p.Client(name == "two"))
			mu.Lock()
			defer mu.Unlock()
			all = append(all, part...)
		})
	}
	wg.Wait()
	for _, s := range servers {
		s.Close() // what was still to be executed is
	}
	judge(t, all, book, journal(t, p))
	if left, _ := spools(t, p); len(left) > 0 {
		t.Errorf("%d files of bodies are open after the storm", len(left))
	}
}

// judge compares what was said with what was done.
func judge(t *testing.T, all []*exchange, book *deeds, journal map[string]string) {
	saw := map[string]int{}
	for _, e := range all {
		done := book.count(e.id)
		plain := strings.HasSuffix(e.provider, "-plain")
		if !e.repeatable() && done > 1 {
			t.Errorf("executed %d times: %v", done, e)
		}
		if done > 1 {
			saw["executed more than once, which is no harm"]++
		}
		h := e.answer.Header
		source, executed := h.Get("Postern-Source"), h.Get("Postern-Executed")
		if e.err == nil && h.Get("Postern-Id") == "" {
			t.Errorf("an answer without an id: %v", e)
		}
		if source == "provider" && (e.answer.Broken != nil || e.err != nil) {
			executed = journal[h.Get("Postern-Id")] // it broke off under way
			saw["broke off"]++
		}
		switch {
		case e.err != nil:
			saw["no answer"]++
		case source == "postern" && executed == "":
			t.Errorf("nothing is said: %v", e)
		case executed == "no" && done != 0, executed == "yes" && done == 0:
			t.Errorf("executed is %s, and the provider did it %d times: %v", executed, done, e)
		case source == "provider" && e.answer.Status == 200 && done == 0:
			t.Errorf("a 200 for nothing: %v", e)
		}
		saw["executed: "+executed]++
		if a := h.Get("Postern-Attempts"); a != "" {
			saw["attempts: "+a]++
			if a != "1" && plain && !e.repeatable() {
				saw["not repeatable, sent again"]++
			}
		}
		if why := h.Get("Postern-Unretried"); why != "" {
			saw["unretried: "+why]++
		}
	}
	t.Logf("%d exchanges: %v", len(all), saw)
	for _, must := range []string{
		"executed more than once, which is no harm", "broke off", "executed: no", "executed: maybe", "executed: yes",
		"attempts: 4", "not repeatable, sent again", "unretried: unsafe", "unretried: attempts",
	} {
		if saw[must] == 0 {
			t.Errorf("the storm has not one of: %s", must)
		}
	}
	if len(all) > 0 && saw["no answer"] > len(all)/20 {
		t.Errorf("%d of %d calls had no answer at all", saw["no answer"], len(all))
	}
}
