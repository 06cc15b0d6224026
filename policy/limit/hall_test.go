package limit

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// TestP28PlaceOfOneWhoLeft: a place that is given at the very moment at which its
// call leaves is either used or given back.
func TestP28PlaceOfOneWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		used, back := 0, 0
		for i := range 100 {
			h, k := new(hall), Key{Name: "l"}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan Place)
			go func() {
				p, _, why, err := h.wait(ctx, k, supply{take: func() Place { return Place{} }, length: 1}, wish{within: time.Hour})
				if why != 0 || p.OK == (err != nil) {
					t.Errorf("%+v, %v, %v", p, why, err)
				}
				done <- p
			}()
			synctest.Wait()
			h.mu.Lock()
			g := h.queues[k]
			h.mu.Unlock()
			if i%2 == 0 {
				cancel()
			}
			h.hand(g, Place{OK: true, Back: func() { back++ }})
			cancel()
			if p := <-done; p.OK {
				used++
			}
			g.stir()
			synctest.Wait()
			if h.open.Load() != 0 || len(h.queues) != 0 {
				t.Fatal("a queue is left that nobody is in")
			}
		}
		if used+back != 100 || used == 0 || back == 0 {
			t.Errorf("%d were used, %d given back", used, back)
		}
	})
}

// TestHallForesees: who would wait in vain is told so at once, and when to come.
func TestHallForesees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, k := new(hall), Key{Name: "l"}
		next := time.Now().Add(time.Second)
		s := supply{every: time.Second, length: 100, take: func() Place {
			at := next
			next = next.Add(time.Second)
			return Place{OK: true, Wait: time.Until(at)}
		}}
		ends := make(chan time.Duration, 10)
		start := time.Now()
		for range 5 {
			go func() {
				_, waited, _, _ := h.wait(t.Context(), k, s, wish{within: time.Hour, next: time.Second})
				ends <- waited
			}()
			synctest.Wait()
		}
		p, waited, why, _ := h.wait(t.Context(), k, s, wish{within: 5 * time.Second})
		if why != tooLate || waited != 0 || p.Wait != 6*time.Second {
			t.Errorf("%+v after %v: %v", p, waited, why)
		}
		p, waited, why, _ = h.wait(t.Context(), k, s, wish{within: 6*time.Second + 1})
		if why != 0 || waited != 6*time.Second || time.Since(start) != 6*time.Second {
			t.Errorf("%+v after %v: %v", p, waited, why)
		}
		for i := range 5 {
			if got := <-ends; got != time.Duration(i+1)*time.Second {
				t.Errorf("number %d waited %v", i, got)
			}
		}
		synctest.Wait()
	})
}

// TestNobodyWaits: where no call may wait there is no queue whose end one would
// have to wait for: a free place is had at once, and without one the call is refused
// at once.
func TestNobodyWaits(t *testing.T) {
	b := &Block{Mode: policy.Enforce, Queue: 10, Concurrency: 1, kind: byConcurrency}
	b.st = &state{observer: deaf{}, live: func() int { return 1 }, slots: slots{used: map[Key]int{}}}
	k := Key{Provider: "p", Name: "one"}
	b.st.hall.queues = map[Key]*gate{k: {wake: make(chan struct{}, 1)}} // of somebody who is about to be refused
	b.st.hall.open.Store(1)
	if _, err := b.take(t.Context(), new(policy.Exchange), k); err != nil {
		t.Errorf("refused a free place: %v", err)
	}
	if _, err := b.take(t.Context(), new(policy.Exchange), k); err == nil {
		t.Error("two places of one")
	}
}

type deaf struct{ Observer }

func (deaf) LimitRemaining(string, string, float64)  {}
func (deaf) LimitWait(string, string, time.Duration) {}

// TestPlaceUntilClosed: an answer that is given up keeps its place until its
// connection or stream is closed: the provider is not to see one more at once.
func TestPlaceUntilClosed(t *testing.T) {
	free := false
	resp := &http.Response{Body: shut(func() {
		if free {
			t.Error("the place was free before the end")
		}
	})}
	atEnd(resp, func() { free = true })
	resp.Body.Close()
	if !free {
		t.Error("the place is not free")
	}
}

type shut func()

func (s shut) Read([]byte) (int, error) { return 0, nil }
func (s shut) Close() error             { s(); return nil }
