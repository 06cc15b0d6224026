package inbound_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// TestF30Poison: an event that its reader does not survive is isolated after
// three tries, whatever it does to it; others go on, a release brings it back.
func TestF30Poison(t *testing.T) {
	for name, harm := range map[string]func(http.ResponseWriter, *http.Request){
		"breaks the connection": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"is not answered":       func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			killed := 0
			well := false
			a := newApp(t, nil)
			a.plan = func(_ int, w http.ResponseWriter, r *http.Request) {
				a.mu.Lock()
				poison := strings.HasPrefix(r.Header.Get("Postern-Provider-Event-Id"), "poison") && !well
				if poison {
					killed++
				}
				a.mu.Unlock()
				if poison {
					harm(w, r)
				}
			}
			timeout := "10s"
			if name == "is not answered" {
				timeout = "250ms"
			}
			b := serve(t, mustLoad(t, strings.Replace(hookTo(a.URL, `timeout = "`+timeout+`"`), "attempts = 3", "attempts = 8", 1)))
			b.run()
			b.post("/hook", `{"id":"poison"}`, nil)
			poison := b.stored()[0].ID
			for i := range 20 {
				b.post("/hook", `{"id":"`+string(rune('a'+i))+`"}`, nil)
			}
			eventually(t, "isolation", func() bool {
				r, err := b.Show(context.Background(), poison)
				return err == nil && r.Status == inbound.Quarantined
			})
			r, _ := b.Show(context.Background(), poison)
			a.mu.Lock()
			times := killed
			a.mu.Unlock()
			if want := "isolated: the application did not answer it 3 times, the last time: no answer: "; !strings.HasPrefix(r.Deliveries[0].Reason, want) || times != 3 {
				t.Errorf("%q after %d, want %q", r.Deliveries[0].Reason, times, want)
			}
			eventually(t, "the others are applied", func() bool {
				n, _ := b.Count(context.Background(), inbound.Filter{State: inbound.Applied})
				return n.N == 20
			})
			if _, err := b.Act(context.Background(), inbound.ActRelease, inbound.Filter{IDs: []string{poison}}, "ann"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it begins anew", func() bool {
				r, err := b.Show(context.Background(), poison)
				a.mu.Lock()
				defer a.mu.Unlock()
				return err == nil && r.Status == inbound.Quarantined && killed == 6
			})
			a.mu.Lock()
			well = true
			a.mu.Unlock()
			if _, err := b.Act(context.Background(), inbound.ActRelease, inbound.Filter{IDs: []string{poison}}, "ann"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it is applied", func() bool {
				r, _ := b.Show(context.Background(), poison)
				return r.Status == inbound.Applied
			})
		})
	}
}

// TestPoisonIsCountedByTarget: what an event does to one target says nothing about what
// it does to another.
func TestPoisonIsCountedByTarget(t *testing.T) {
	var mu sync.Mutex
	times := map[string]int{}
	a := newApp(t, func(_ int, _ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		times[r.URL.Path]++
		n := times[r.URL.Path]
		mu.Unlock()
		if n <= 2 {
			panic(http.ErrAbortHandler)
		}
	})
	b := serve(t, mustLoad(t, strings.Replace(hookTo(a.URL+"/one", ""), "  retry", "  deliver \"other\" { to = \""+a.URL+"/other\" }\n  retry", 1)))
	b.run()
	b.post("/hook", `{"id":"1"}`, nil)
	eventually(t, "applied", func() bool {
		for _, d := range b.stored()[0].Deliveries {
			if d.State == inbound.Quarantined {
				t.Fatalf("%s: %s", d.Target, d.Reason)
			}
		}
		return b.stored()[0].Status == inbound.Applied
	})
}

// TestF30PoisonOfPostern: an event under which the process itself dies.
func TestF30PoisonOfPostern(t *testing.T) {
	b := serve(t, mustLoad(t, hookTo("http://127.0.0.1:1/", "")))
	b.post("/hook", `{"id":"1"}`, nil)
	for range 6 { // three attempts and three more, all without a result
		eventually(t, "the lease runs out", func() bool {
			items, _, err := b.store.Claim(context.Background(), map[string]int{"hook": 1}, time.Millisecond)
			return err == nil && len(items) == 1
		})
	}
	b.run()
	if r := b.status(inbound.Quarantined); r.Deliveries[0].Reason != "isolated: 6 attempts ended without a result" {
		t.Errorf("reason %q", r.Deliveries[0].Reason)
	}
}
