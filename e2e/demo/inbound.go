package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/postern-proxy/postern/e2e/receiver"
)

const (
	events     = 30
	before     = 24 // events that are sent before the kill
	interested = 20 // the event that is being applied when it comes
)

// putOff are the events to which the application first says 503.
var putOff = []string{eventID(3), eventID(11), eventID(27)}

// shop is the application at the far end. It does what an event asks for once
// for each Postern-Event-Id, takes its time, and has bad moments of its own.
type shop struct {
	*receiver.Receiver
	mu      sync.Mutex
	hold    chan struct{} // closed when the kill is over
	first   sync.Once
	started chan struct{}     // closed when the event of interest is being applied
	done    map[string]string // Postern-Event-Id -> Stripe's id
	moody   map[string]bool   // events that were put off once
}

func newShop() *shop {
	return &shop{hold: make(chan struct{}), started: make(chan struct{}), done: map[string]string{}, moody: map[string]bool{}}
}

// answer applies a delivery.
func (s *shop) answer(d receiver.Delivery) int {
	held := false
	if d.ID == eventID(interested) {
		s.first.Do(func() { held = true; close(s.started) })
	}
	time.Sleep(40 * time.Millisecond)
	s.mu.Lock()
	again := s.done[d.Event] != ""
	if !again && !s.moody[d.Event] && slices.Contains(putOff, d.ID) {
		s.moody[d.Event] = true
		s.mu.Unlock()
		return http.StatusServiceUnavailable
	}
	s.done[d.Event] = d.ID
	s.mu.Unlock()
	if held {
		<-s.hold // it is done, and Postern will not hear of it
	}
	return http.StatusOK
}

func (s *shop) applied() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.done)
}

// incoming is what both ends of the webhooks saw.
type incoming struct {
	refused           []refusal
	duplicates, known int // sent, answered 200
	sender            *sender
	killed            struct {
		pid, acknowledged, applied, inFlight int
		from, to                             time.Time
	}
	listed    []listed
	delivered []receiver.Delivery
}

// listed is an event as `postern inbox list` has it.
type listed struct {
	ID      string `json:"id"`
	EventID string `json:"event_id"`
	Status  string `json:"status"`
}

// webhooks sends everything, with the kill in the middle, and waits until all is applied.
func (s *stage) webhooks(ctx context.Context) (*incoming, error) {
	in := &incoming{sender: &sender{gate: s.gate, ack: map[int]bool{}}}
	s.account.step("webhooks", "Stripe sends %d events, some twice, and somebody sends forged ones", events)
	in.refused = in.sender.bad(ctx)
	in.sender.send(ctx, 1, before)
	in.repeat(ctx, 1, 4)
	rest := make(chan struct{})
	defer func() { <-rest }()
	if err := wait(ctx, s.app.started, "for a delivery"); err != nil {
		close(rest)
		return nil, err
	}
	go func() { defer close(rest); in.sender.send(ctx, before+1, events) }()
	if err := s.kill(ctx, in); err != nil {
		return nil, err
	}
	if err := wait(ctx, rest, "for the last events to be acknowledged"); err != nil {
		return nil, err
	}
	in.repeat(ctx, 15, 22)
	s.account.step("waiting", "for what was under way, until its lease has run out")
	return in, s.settle(ctx, in)
}

// repeat sends acknowledged events again.
func (in *incoming) repeat(ctx context.Context, first, last int) {
	for n := first; n <= last; n++ {
		in.duplicates++
		if in.sender.once(ctx, n) == http.StatusOK {
			in.known++
		}
	}
}

// kill is kill -9 and a new start.
func (s *stage) kill(ctx context.Context, in *incoming) error {
	k := &in.killed
	time.Sleep(rand.N(5 * time.Millisecond)) // a post may be on its way, in the store, or answered
	k.pid, k.from = s.gate.pid(), time.Now()
	k.acknowledged, k.applied = in.sender.acknowledged(), s.app.applied()
	for _, d := range s.app.Deliveries() {
		if d.Done.IsZero() {
			k.inFlight++
		}
	}
	s.gate.kill()
	close(s.app.hold)
	if err := s.gate.start(ctx); err != nil {
		return fmt.Errorf("after the kill: %w", err)
	}
	k.to = time.Now()
	s.account.step("kill -9", "pid %d, during delivery and ingest; ready again after %s as pid %d", k.pid, short(s.gate.took), s.gate.pid())
	return nil
}

// settle waits until the inbox says that all is applied.
func (s *stage) settle(ctx context.Context, in *incoming) error {
	for {
		out, err := s.gate.command(ctx, "inbox", "list", "-c", s.gate.dir, "--limit", "0", "--output", "json")
		if err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(out), &in.listed); err != nil {
			return fmt.Errorf("postern inbox list: %w", err)
		}
		in.delivered = s.app.Deliveries()
		if !slices.ContainsFunc(in.listed, func(e listed) bool { return e.Status != "applied" }) {
			return nil
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("waiting for all events to be applied: %w", context.Cause(ctx))
		}
	}
}

// tellWebhooks is the account of the webhooks.
func (s *stage) tellWebhooks(in *incoming) {
	a, k := s.account, in.killed
	a.title("Webhooks that are not Stripe's")
	for _, r := range in.refused {
		a.check(r.what, r.status == http.StatusUnauthorized, "%d", r.status)
	}
	a.title("Webhooks from Stripe, through a kill -9")
	a.line("When pid %d was killed %d of %d events were acknowledged, %d were applied, and %s under way. %s no 200 and had to be sent again. Postern was ready again after %s.",
		k.pid, k.acknowledged, events, k.applied, plural(k.inFlight, "delivery was", "deliveries were"), plural(in.sender.lost, "post got", "posts got"), short(k.to.Sub(k.from)))
	a.blank()
	applied := 0
	for _, e := range in.listed {
		if e.Status == "applied" {
			applied++
		}
	}
	t := s.tally(in)
	a.check("acknowledged", in.sender.acknowledged() == events, "%d of %d", in.sender.acknowledged(), events)
	a.check("duplicates, acknowledged too", in.known == in.duplicates, "%d of %d", in.known, in.duplicates)
	a.check("stored", len(in.listed) == events, "%d", len(in.listed))
	a.check("applied, says the inbox", applied == events, "%d", applied)
	a.check("applied, says the application", s.app.applied() == events && t.pairs == events, "%d, each by one Postern-Event-Id", s.app.applied())
	a.check("with the bytes that were sent", t.same == len(in.delivered), "%d of %d deliveries", t.same, len(in.delivered))
	a.check("delivered again after a 200", t.strange == 0, "%d over the kill, %d otherwise", t.repeated, t.strange)
	a.blank()
	a.line("Of %d deliveries %d were applied, %d put off by the application with a 503, and %d known to it by their Postern-Event-Id: the kill came before its answer was on record.",
		len(in.delivered), t.applied, t.putOff, t.repeated+t.strange)
}

// tally is what the deliveries add up to.
type tally struct {
	applied, putOff, repeated, strange int // deliveries; repeated ones have the kill as their reason, strange ones have not
	same                               int // deliveries with the very bytes
	pairs                              int // Stripe's ids with exactly one Postern-Event-Id
}

func (s *stage) tally(in *incoming) (t tally) {
	bodies, own, last := map[string]string{}, map[string]map[string]bool{}, map[string]receiver.Delivery{}
	for n := 1; n <= events; n++ {
		bodies[eventID(n)] = event(n)
	}
	for _, d := range in.delivered {
		if string(d.Body) == bodies[d.ID] {
			t.same++
		}
		if own[d.ID] == nil {
			own[d.ID] = map[string]bool{}
		}
		own[d.ID][d.Event] = true
		first, known := last[d.Event]
		switch {
		case d.Status/100 != 2:
			t.putOff++
		case !known:
			t.applied++
			last[d.Event] = d
		case !first.Arrived.After(in.killed.to) && !d.Arrived.Before(in.killed.from):
			t.repeated++
		default:
			t.strange++
		}
	}
	for id, set := range own {
		if len(set) == 1 && !set[""] && bodies[id] != "" {
			t.pairs++
		}
	}
	return t
}

// wait returns when done is closed.
func wait(ctx context.Context, done <-chan struct{}, what string) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting %s: %w", what, context.Cause(ctx))
	}
}
