// Package storetest is the conformance suite of stores: what it tests is what
// an implementation promises.
//
// Read inbox.go for the promises one by one, lanes.go and order.go for those about
// order, then model.go and lanes_model.go for both under random moves. replicas.go has
// the promises of what processes share besides; connections.go with its
// connections_fence.go, connections_list.go and connections_model.go, and
// tickets.go, those of the store of connections; answers.go and answers_model.go
// those of calls with an idempotency key; outbox.go those of the outbox.
package storetest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
)

// lease is long where it must not end, short where it must.
const (
	lease = time.Minute
	blink = 20 * time.Millisecond
)

type suite struct {
	*testing.T
	inbound.Store
	n int
}

// ctx ends with the test.
func (s *suite) ctx() context.Context { return s.Context() }

// event returns an event that no other call returns.
func (s *suite) event(eventID, body string) *inbound.Event {
	s.n++
	return Event(fmt.Sprintf("id-%06d", s.n), eventID, body)
}

// Event returns an event of webhook hook.
func Event(id, eventID, body string) *inbound.Event {
	return &inbound.Event{
		ID: id, Webhook: "hook", Account: "acct", EventID: eventID, Verified: true, Proof: inbound.Proof{Scheme: "github", Key: "0a1b2c3d"}, Type: "thing.updated", Key: "thing_1",
		Occurred: time.Unix(1700000000, 0), Received: time.Now().Truncate(time.Microsecond),
		Header: http.Header{"Content-Type": {"application/json"}, "X-Kind": {"a", "b"}},
		Body:   []byte(body), SHA256: sha256.Sum256([]byte(body)), Size: len(body),
	}
}

// Insert stores e for targets, in state received.
func Insert(ctx context.Context, s inbound.Store, e *inbound.Event, targets ...string) (id string, what inbound.Insertion, err error) {
	a := &inbound.Arrival{Event: e, To: inbound.To(targets...)}
	err = s.Insert(ctx, a)
	return a.ID, a.What, err
}

func (s *suite) insert(e *inbound.Event, targets ...string) (string, inbound.Insertion) {
	s.Helper()
	if targets == nil {
		targets = []string{"hook"}
	}
	id, what, err := Insert(s.ctx(), s.Store, e, targets...)
	if err != nil {
		s.Fatalf("insert %s: %v", e.ID, err)
	}
	return id, what
}

func (s *suite) claim(n int, lease time.Duration) []queue.Item[inbound.Delivery] {
	s.Helper()
	items, _, err := s.Claim(s.ctx(), map[string]int{"hook": n}, lease)
	if err != nil {
		s.Fatalf("claim: %v", err)
	}
	return items
}

// one claims the only delivery that is due.
func (s *suite) one(lease time.Duration) queue.Item[inbound.Delivery] {
	s.Helper()
	items := s.claim(10, lease)
	if len(items) != 1 {
		s.Fatalf("claimed %d deliveries, want 1", len(items))
	}
	return items[0]
}

func (s *suite) finish(it queue.Item[inbound.Delivery], to inbound.State, due time.Time) {
	s.Helper()
	if err := s.Finish(s.ctx(), it.Lease, inbound.Move{To: to, Due: due, Attempt: it.Work.Attempt, Status: 200, Reason: "because " + string(to), Detail: "detail"}); err != nil {
		s.Fatalf("finish: %v", err)
	}
}

func (s *suite) show(id string) *inbound.Record {
	s.Helper()
	r, err := s.Show(s.ctx(), id)
	if err != nil {
		s.Fatalf("show %s: %v", id, err)
	}
	return r
}
