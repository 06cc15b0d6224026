package main

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/postern-proxy/postern/e2e/receiver"
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
	held := false // until the kill is over
	if d.ID == eventID(underWay) {
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
