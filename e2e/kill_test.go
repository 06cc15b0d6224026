package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/e2e/receiver"
)

const killPolicy = `
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
    to = "RECEIVER"
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

const killSecret = "whsec_kill9"

// outage is the time from before the signal until the next run was ready.
type outage struct{ from, to time.Time }

// ledger is what the provider knows: the events it made, and which of them were acknowledged.
type ledger struct {
	mu    sync.Mutex
	ids   []string
	body  map[string]string
	acked map[string]bool
}

// TestKill9 kills the process at random instants while events arrive and are delivered. Every acknowledged event must
// be applied, and applied once.
//
// One repeat is legitimate and cannot be avoided by any program: when the kill falls between the application's 2xx and
// Postern's commit of it, the event is delivered again under the same Postern-Event-Id. The application counts by that
// id, as a real one must; and the test demands that such a repeat is explained by a kill in between.
func TestKill9(t *testing.T) {
	harness.Binary(t)
	rounds := 3
	if harness.Soak() > 1 {
		rounds = 200
	}
	app := application(t, func(receiver.Delivery) int {
		switch rand.IntN(20) {
		case 0, 1:
			return http.StatusServiceUnavailable
		case 2:
			time.Sleep(50 * time.Millisecond) // a slow application, so that kills fall into deliveries
		}
		return http.StatusOK
	})
	p := harness.Start(t, harness.Files{"hook.hcl": strings.ReplaceAll(killPolicy, "RECEIVER", app.URL)}, harness.WithEnv("SECRET", killSecret))
	l := &ledger{body: map[string]string{}, acked: map[string]bool{}}
	var outages []outage
	for round := range rounds {
		stop := make(chan struct{})
		var senders sync.WaitGroup
		for s := range 6 {
			senders.Go(func() { l.send(p, fmt.Sprintf("evt_%d_%d", round, s), stop) })
		}
		time.Sleep(time.Duration(20+rand.IntN(700)) * time.Millisecond) // the random instant
		o := outage{from: time.Now()}
		p.Kill()
		close(stop)
		senders.Wait()
		if round%3 == 1 {
			// Once more while it recovers.
			if err := p.Launch(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
			p.Kill()
		}
		p.Run()
		o.to = time.Now()
		outages = append(outages, o)
	}
	acked := len(l.acked)
	l.settle(t, p)
	all, err := app.Wait(2*time.Minute, func(all []receiver.Delivery) bool { return len(applied(all)) >= len(l.ids) })
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d rounds: %d events, %d of them acknowledged between kills, %d deliveries", rounds, len(l.ids), acked, len(all))
	waitMetric(t, p, "postern_inbox_events", float64(len(l.ids)), `status="applied"`)
	if code := p.Stop(); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
	checkDatabase(t, p)
	wrong, repeats := faultsOf(l, app.Deliveries(), outages)
	for _, w := range wrong[:min(len(wrong), 20)] {
		t.Error(w)
	}
	t.Logf("%d faults; %d repeats after a 2xx, across a kill", len(wrong), repeats)
}

// send plays a provider until stop: new events, repeats of any, and other bodies under acknowledged ids.
func (l *ledger) send(p *harness.Postern, prefix string, stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		id, body := l.pick(fmt.Sprintf("%s_%d", prefix, n))
		l.post(p, id, body)
	}
}

// pick makes a new event, or takes an old one.
func (l *ledger) pick(fresh string) (id, body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.ids); n > 0 && rand.IntN(10) < 3 {
		id = l.ids[rand.IntN(n)]
		if l.acked[id] && rand.IntN(10) == 0 {
			return id, strings.Replace(l.body[id], "thing.updated", "thing.forged", 1)
		}
		return id, l.body[id]
	}
	body = fmt.Sprintf(`{"id":%q,"type":"thing.updated","pad":%q}`, fresh, strings.Repeat("x", rand.IntN(2000)))
	l.ids = append(l.ids, fresh)
	l.body[fresh] = body
	return fresh, body
}

// post sends one event, and notes an acknowledgement.
func (l *ledger) post(p *harness.Postern, id, body string) bool {
	status, _, err := send(p.Inbound, signStripe("/stripe", killSecret, body, time.Now()))
	if err != nil || status != http.StatusOK {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[id] = true
	return true
}

// settle sends what was never acknowledged until it is, and everything once more.
func (l *ledger) settle(t *testing.T, p *harness.Postern) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	ids := make(chan string)
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for id := range ids {
				for sent := 0; sent < 2; {
					if l.post(p, id, l.body[id]) {
						sent++
					} else if time.Now().After(deadline) {
						t.Errorf("%s is still not accepted", id)
						break
					}
				}
			}
		})
	}
	for _, id := range l.ids {
		ids <- id
	}
	close(ids)
	senders.Wait()
}

// applied groups what the application answered 2xx to, by the id that it counts by.
func applied(all []receiver.Delivery) map[string][]receiver.Delivery {
	out := map[string][]receiver.Delivery{}
	for _, d := range all {
		if d.Applied() {
			out[d.Event] = append(out[d.Event], d)
		}
	}
	return out
}

// faultsOf lists what is wrong with how the application was served, and counts the legitimate repeats.
func faultsOf(l *ledger, all []receiver.Delivery, outages []outage) (wrong []string, repeats int) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	events := map[string]map[string]bool{} // provider's id -> Postern's ids
	for _, d := range all {
		if events[d.ID] == nil {
			events[d.ID] = map[string]bool{}
		}
		events[d.ID][d.Event] = true
		if string(d.Body) != l.body[d.ID] {
			say("%s: delivered with another body", d.ID)
		}
	}
	for id, own := range events {
		if len(own) != 1 || own[""] {
			say("%s: delivered as %d events: %v", id, len(own), own)
		}
	}
	done := map[string]int{}
	for event, ds := range applied(all) {
		done[ds[0].ID]++
		repeats += len(ds) - 1
		for i := range len(ds) - 1 {
			first, again := ds[i], ds[i+1]
			if !slices.ContainsFunc(outages, func(o outage) bool { return !first.Arrived.After(o.to) && !again.Arrived.Before(o.from) }) {
				say("%s (%s): delivered again %s after a 2xx, and no kill in between", first.ID, event, again.Arrived.Sub(first.Done))
			}
		}
	}
	for _, id := range l.ids {
		if done[id] != 1 {
			say("%s: acknowledged, and applied as %d events", id, done[id])
		}
	}
	return wrong, repeats
}

// TestKill9CanFail: each way of losing or doubling an event is noticed.
func TestKill9CanFail(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	got := func(event, id, body string, s, status int) receiver.Delivery {
		return receiver.Delivery{Event: event, ID: id, Body: []byte(body), Status: status, Arrived: at(s), Done: at(s)}
	}
	l := &ledger{ids: []string{"a", "b"}, body: map[string]string{"a": "A", "b": "B"}}
	kills := []outage{{at(10), at(12)}}
	a, b := got("1", "a", "A", 1, 200), got("2", "b", "B", 2, 200)
	for name, tt := range map[string]struct {
		all   []receiver.Delivery
		wrong bool
	}{
		"once each":            {[]receiver.Delivery{a, b}, false},
		"retried after a 503":  {[]receiver.Delivery{got("1", "a", "A", 1, 503), a, b}, false},
		"again over a kill":    {[]receiver.Delivery{a, b, got("2", "b", "B", 13, 200)}, false},
		"lost":                 {[]receiver.Delivery{a}, true},
		"never answered 2xx":   {[]receiver.Delivery{a, got("2", "b", "B", 2, 503)}, true},
		"again without a kill": {[]receiver.Delivery{a, b, got("2", "b", "B", 9, 200)}, true},
		"two events":           {[]receiver.Delivery{a, b, got("3", "b", "B", 13, 200)}, true},
		"another body":         {[]receiver.Delivery{a, got("2", "b", "forged", 2, 200)}, true},
		"no id":                {[]receiver.Delivery{a, got("", "b", "B", 2, 200)}, true},
	} {
		if wrong, _ := faultsOf(l, tt.all, kills); len(wrong) > 0 != tt.wrong {
			t.Errorf("%s: %v", name, wrong)
		}
	}
}

// waitMetric waits until a metric has the value.
func waitMetric(t *testing.T, p *harness.Postern, name string, want float64, labels ...string) {
	t.Helper()
	var got float64
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got = p.Metric(name, labels...); got == want {
			return
		}
	}
	t.Errorf("%s%v is %v, want %v", name, labels, got, want)
}

// checkDatabase asks SQLite itself, by Python's binding, whether the file is sound.
func checkDatabase(t *testing.T, p *harness.Postern) {
	t.Helper()
	const ask = "import sqlite3,sys; print(sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchone()[0])"
	r := p.Bare(nil, harness.Python(t, "sqlite3"), "-c", ask, filepath.Join(p.Dir, "postern.db"))
	if strings.TrimSpace(r.Stdout) != "ok" {
		t.Errorf("integrity_check: %v", r)
	}
}

// TestDeliveryOutlivesTheApplication: the application is down, answers badly, and gets the same event in the end.
func TestDeliveryOutlivesTheApplication(t *testing.T) {
	harness.Binary(t)
	answers := []int{500, 404, 409, 302, 200}
	var mu sync.Mutex
	n := 0
	app := application(t, func(d receiver.Delivery) int {
		if d.ID == "evt_refused" {
			return http.StatusUnprocessableEntity
		}
		mu.Lock()
		defer mu.Unlock()
		n++
		return answers[min(n, len(answers))-1]
	})
	p := harness.Start(t, harness.Files{"hook.hcl": strings.ReplaceAll(killPolicy, "RECEIVER", app.URL)}, harness.WithEnv("SECRET", killSecret))
	mustSend(t, p.Inbound, "event", signStripe("/stripe", killSecret, `{"id":"evt_late"}`, time.Now()), 200)
	mustSend(t, p.Inbound, "event", signStripe("/stripe", killSecret, `{"id":"evt_refused"}`, time.Now()), 200)
	all := waitApplied(t, app, 1)
	late := receiver.Of(all, "stripe", "evt_late")
	if len(late) != len(answers) {
		t.Fatalf("%d attempts, want %d: %+v", len(late), len(answers), late)
	}
	for i, d := range late {
		if d.Event != late[0].Event || d.Attempt != fmt.Sprint(i+1) {
			t.Errorf("attempt %d: event %s, Postern-Attempt %s", i+1, d.Event, d.Attempt)
		}
	}
	waitMetric(t, p, "postern_inbox_events", 1, `status="failed"`)
	waitMetric(t, p, "postern_inbox_events", 1, `status="applied"`)
	if n := len(receiver.Of(app.Deliveries(), "stripe", "evt_refused")); n != 1 {
		t.Errorf("422 was tried %d times", n)
	}
}
