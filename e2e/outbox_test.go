package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/seal"
)

const outboxPolicy = `
provider "acme" {
  hosts    = ["api.acme.example"]
  upstream = "UPSTREAM"
  credential "bearer" { token = env("TOKEN") }
  idempotency { header = "Idempotency-Key" }
  retry { attempts = 1 }
  deadletter {}
  async {
    order_by = request.header["X-Order"]
    backoff {
      first = "20ms"
      max   = "200ms"
    }
  }
}
`

// handed is what one call says of itself, in its body.
type handed struct {
	Order string `json:"order"`
	N     int    `json:"n"`
}

func (h handed) String() string { return fmt.Sprintf("%s/%d", h.Order, h.N) }

// asked is one request that the provider had.
type asked struct {
	handed
	key    string
	status int
}

// acme is a provider that fails now and then, and keeps every request in the order in which they came.
type acme struct {
	*httptest.Server
	mu  sync.Mutex
	all []asked
}

func newAcme(t *testing.T) *acme {
	a := &acme{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := asked{key: r.Header.Get("Idempotency-Key"), status: http.StatusOK}
		body, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(body, &q.handed) != nil {
			return // the process was killed in the middle
		}
		if rand.IntN(10) == 0 {
			q.status = http.StatusServiceUnavailable
		}
		if r.Header.Get("Authorization") != "Bearer a-token-of-acme" {
			q.status = http.StatusUnauthorized
		}
		a.mu.Lock()
		a.all = append(a.all, q)
		a.mu.Unlock()
		time.Sleep(time.Duration(rand.IntN(15)) * time.Millisecond) // so that kills fall into calls
		w.WriteHeader(q.status)
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *acme) executed() map[handed]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[handed]int{}
	for _, q := range a.all {
		if q.status == http.StatusOK {
			out[q.handed]++
		}
	}
	return out
}

// handing is an application that hands calls over, of several orders at once, to whichever process answers.
type handing struct {
	mu    sync.Mutex
	acked map[handed]bool
	next  map[string]int
}

// send hands over calls of one order, one after the other, until stop. One that was not acknowledged is not handed over
// again: it may be there.
func (a *handing) send(order string, stop <-chan struct{}, to ...*harness.Postern) {
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		a.mu.Lock()
		h := handed{order, a.next[order]}
		a.next[order]++
		a.mu.Unlock()
		body, _ := json.Marshal(h)
		r, err := http.NewRequest(http.MethodPost, "http://"+to[i%len(to)].Proxy+"/p/acme/v1/things", strings.NewReader(string(body)))
		if err != nil {
			return
		}
		r.Header.Set("Postern-Async", "true")
		r.Header.Set("X-Order", order)
		if h.N%2 == 0 {
			r.Header.Set("Idempotency-Key", "app-"+h.String())
		}
		resp, err := client.Do(r)
		if err != nil {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusAccepted {
			a.mu.Lock()
			a.acked[h] = true
			a.mu.Unlock()
		}
	}
}

// TestOutboxKill9 kills the process at random instants while calls are accepted and sent. Every call that was accepted is
// sent, with the same key whenever it is sent, and calls of one order are sent in their order.
func TestOutboxKill9(t *testing.T) {
	harness.Binary(t)
	t.Run("SQLite", func(t *testing.T) {
		a := newAcme(t)
		p := harness.Start(t, harness.Files{"acme.hcl": strings.ReplaceAll(outboxPolicy, "UPSTREAM", a.URL)}, harness.WithEnv("TOKEN", "a-token-of-acme"))
		outboxKilled(t, a, p)
		if code := p.Stop(); code != 0 {
			t.Errorf("SIGTERM: exit code %d", code)
		}
		checkDatabase(t, p)
	})
	t.Run("two processes on PostgreSQL", func(t *testing.T) {
		a := newAcme(t)
		main := harness.Main + fmt.Sprintf("store { url = %q }\nseal { keys = [env(\"SEAL\")] }\n", peers.Database(t))
		key := seal.Generate()
		var all []*harness.Postern
		for range 2 {
			all = append(all, harness.Start(t, harness.Files{"postern.hcl": main, "acme.hcl": strings.ReplaceAll(outboxPolicy, "UPSTREAM", a.URL)},
				harness.WithEnv("TOKEN", "a-token-of-acme"), harness.WithEnv("SEAL", key)))
		}
		outboxKilled(t, a, all...)
	})
}

func outboxKilled(t *testing.T, a *acme, all ...*harness.Postern) {
	rounds := 3 * harness.Soak()
	app := &handing{acked: map[handed]bool{}, next: map[string]int{}}
	for round := range rounds {
		stop := make(chan struct{})
		var senders sync.WaitGroup
		for s := range 6 {
			senders.Go(func() { app.send(fmt.Sprintf("order-%d", s), stop, all...) })
		}
		time.Sleep(time.Duration(50+rand.IntN(600)) * time.Millisecond) // the random instant
		victim := all[round%len(all)]
		victim.Kill()
		if len(all) == 1 {
			close(stop)
			senders.Wait()
			victim.Run()
			continue
		}
		time.Sleep(200 * time.Millisecond) // the other one goes on
		victim.Run()
		close(stop)
		senders.Wait()
	}
	if len(app.acked) < 10*rounds {
		t.Errorf("only %d calls were accepted in %d rounds", len(app.acked), rounds)
	}
	// What was under way when a process died is sent again when its lease is over.
	missing := func() (list []string) {
		done := a.executed()
		for h := range app.acked {
			if done[h] == 0 {
				list = append(list, h.String())
			}
		}
		return list
	}
	eventually(t, 90*time.Second, "every accepted call to be sent", func() bool { return len(missing()) == 0 })
	if lost := missing(); len(lost) > 0 {
		t.Errorf("%d accepted calls were not sent, such as %v", len(lost), lost[:min(5, len(lost))])
	}
	eventually(t, 60*time.Second, "the outbox to be done", func() bool {
		open := 0.0
		for _, status := range []string{"accepted", "sending", "retrying", "failed", "unknown"} {
			open += all[0].Metric("postern_outbox_calls", `status="`+status+`"`)
		}
		return open == 0 && all[0].Metric("postern_outbox_calls", `status="done"`) >= float64(len(app.acked))
	})
	repeats, keys, last := 0, map[handed]string{}, map[string]int{}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, q := range a.all {
		if key := keys[q.handed]; q.key == "" || key != "" && key != q.key {
			t.Errorf("%v was sent under the key %q, before under %q", q.handed, q.key, key)
		}
		keys[q.handed] = q.key
		if q.N < last[q.Order] {
			t.Errorf("%v was sent after %d of the same order", q.handed, last[q.Order])
		}
		last[q.Order] = q.N
	}
	done := map[handed]int{}
	for _, q := range a.all {
		if q.status == http.StatusOK {
			if done[q.handed]++; done[q.handed] > 1 {
				repeats++
			}
		}
	}
	if repeats > 16*rounds { // what one process has in flight when it is killed
		t.Errorf("%d calls were made again after they had been answered", repeats)
	}
	t.Logf("%d rounds: %d calls accepted, %d requests, %d of them repeats of an answered one across a kill", rounds, len(app.acked), len(a.all), repeats)
}
