package storetest

import (
	"errors"
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
)

// held is a claim as the test remembers it.
type held struct {
	queue.Item[inbound.Delivery]
	lost bool
}

// model makes random moves and checks after each that the trail of every event
// is an unbroken walk of the state machine that ends where the event is.
func model(s *suite) {
	runs := 0
	rapid.Check(s.T, func(t *rapid.T) {
		runs++
		var ids []string
		var claims []*held
		target := fmt.Sprintf("model%d", runs)
		pick := func() *held {
			if len(claims) == 0 {
				t.Skip("no claim")
			}
			return claims[rapid.IntRange(0, len(claims)-1).Draw(t, "claim")]
		}
		check := func(err error, h *held) {
			if h.lost != errors.Is(err, queue.ErrStale) {
				t.Fatalf("lost %v: %v", h.lost, err)
			}
			h.lost = true
		}
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				e := s.event(target+rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"), rapid.SampledFrom([]string{"x", "y"}).Draw(t, "body"))
				if id, what := s.insert(e, target); what != inbound.Duplicate {
					ids = append(ids, id)
				}
			},
			"claim": func(t *rapid.T) {
				items, _, err := s.Claim(s.ctx(), map[string]int{target: rapid.IntRange(1, 3).Draw(t, "n")}, lease)
				if err != nil {
					t.Fatal(err)
				}
				for _, it := range items {
					for _, h := range claims {
						if h.Lease.Key == it.Lease.Key && !h.lost {
							t.Fatalf("delivery %d was claimed twice", it.Lease.Key)
						}
					}
					claims = append(claims, &held{Item: it})
				}
			},
			"finish": func(t *rapid.T) {
				h := pick()
				to := rapid.SampledFrom([]inbound.State{inbound.Applied, inbound.Retrying, inbound.Failed}).Draw(t, "to")
				check(s.Finish(s.ctx(), h.Lease, inbound.Move{To: to, Due: time.Now(), Attempt: h.Work.Attempt}), h)
			},
			"release": func(*rapid.T) {
				h := pick()
				if err := s.Release(s.ctx(), []queue.Lease{h.Lease}); err != nil {
					t.Fatal(err)
				}
				h.lost = true
			},
			"renew": func(*rapid.T) {
				h := pick()
				lost, err := s.Renew(s.ctx(), []queue.Lease{h.Lease}, lease)
				if err != nil || (len(lost) == 1) != h.lost {
					t.Fatalf("lost %v: %v, %v", h.lost, lost, err)
				}
			},
			"act": func(t *rapid.T) {
				a := rapid.SampledFrom([]inbound.Action{inbound.ActReplay, inbound.ActRelease, inbound.ActDiscard}).Draw(t, "action")
				if _, err := s.Act(s.ctx(), a, inbound.Filter{IDs: append([]string{"nobody"}, ids...)}, "ann"); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				for _, id := range ids {
					s.walk(t, id)
				}
			},
		})
	})
}

// walk checks the trail of one event.
func (s *suite) walk(t *rapid.T, id string) {
	r := s.show(id)
	at := inbound.Received
	if r.Variant > 1 {
		at = inbound.Conflict
	}
	for _, step := range r.Trail {
		if step.From != at || !inbound.Legal(step.From, step.To) {
			t.Fatalf("event %s in %s has a move %s to %s", id, at, step.From, step.To)
		}
		at = step.To
	}
	if r.Deliveries[0].State != at || r.Status != at {
		t.Fatalf("event %s is %s, and its trail ends in %s", id, r.Deliveries[0].State, at)
	}
}
