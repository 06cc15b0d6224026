package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/postern-proxy/postern/e2e/receiver"
)

const (
	events   = 30
	before   = 24 // events that are sent before the kill
	underWay = 20 // the event that is being applied when it comes
)

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
	EventID string `json:"event_id"`
	Status  string `json:"status"`
}

// webhooks sends everything, with the kill in the middle, and waits until all is applied.
func (s *stage) webhooks(ctx context.Context) (*incoming, error) {
	in := &incoming{sender: &sender{gate: s.gate, ack: map[int]bool{}}}
	s.account.step("webhooks", "Stripe sends %d events, some twice, and somebody sends forged ones", events)
	in.refused = in.sender.bad(ctx)
	in.sender.send(ctx, 1, before, 0)
	in.repeat(ctx, 1, 4)
	rest := make(chan struct{})
	defer func() { <-rest }()
	sending, stop := context.WithCancel(ctx)
	defer stop()
	if err := wait(ctx, s.app.started, "for a delivery"); err != nil {
		close(rest)
		return nil, err
	}
	go func() { defer close(rest); in.sender.send(sending, before+1, events, 5*time.Millisecond) }()
	if err := s.kill(ctx, in); err != nil {
		return nil, err
	}
	if err := wait(ctx, rest, "for the last events to be acknowledged"); err != nil {
		return nil, err
	}
	in.repeat(ctx, 15, 22)
	s.account.step("waiting", "until all is applied")
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
	time.Sleep(rand.N(15 * time.Millisecond)) // a post may be on its way, in the store, or answered
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

// settle waits until the inbox says that all is applied, and the application is done.
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
		if !slices.ContainsFunc(in.listed, func(e listed) bool { return e.Status != "applied" }) &&
			!slices.ContainsFunc(in.delivered, func(d receiver.Delivery) bool { return d.Done.IsZero() }) {
			return nil
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("waiting for all events to be applied: %w", context.Cause(ctx))
		}
	}
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
