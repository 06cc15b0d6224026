package receiver

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"
)

// Count is what a Tally remembers of one event.
type Count struct {
	ID      string // the provider's
	Arrived int    // requests
	Applied int    // answered 2xx
	First   time.Time
}

// Tally is an application for very many deliveries: it remembers of each event only how often it came.
type Tally struct {
	// URL is its origin.
	URL string

	srv    *http.Server
	answer func(Delivery) int
	mu     sync.Mutex
	counts map[string]Count // by Postern-Event-Id
	by     map[string]int   // by provider's id: how many events were applied
}

// ListenTally starts a Tally on a free loopback port. answer is as for Listen; of the deliveries it is given, header,
// body and what was answered are left out.
func ListenTally(answer func(Delivery) int) (*Tally, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	t := &Tally{URL: "http://" + ln.Addr().String(), answer: answer, counts: map[string]Count{}, by: map[string]int{}}
	t.srv = &http.Server{Handler: http.HandlerFunc(t.serve)}
	go t.srv.Serve(ln)
	return t, nil
}

// Close breaks what is open.
func (t *Tally) Close() { t.srv.Close() }

func (t *Tally) serve(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return // the sender died in the middle: nothing was delivered
	}
	d := Delivery{
		Path: r.URL.Path, Event: r.Header.Get("Postern-Event-Id"), ID: r.Header.Get("Postern-Provider-Event-Id"),
		Webhook: r.Header.Get("Postern-Webhook"), Attempt: r.Header.Get("Postern-Attempt"), Arrived: time.Now(),
	}
	t.mu.Lock()
	c := t.counts[d.Event]
	if c.Arrived == 0 {
		c.ID, c.First = d.ID, d.Arrived
	}
	c.Arrived++
	t.counts[d.Event] = c
	t.mu.Unlock()
	status := http.StatusOK
	if t.answer != nil {
		status = t.answer(d)
	}
	if status/100 == 2 {
		t.mu.Lock()
		c := t.counts[d.Event]
		if c.Applied == 0 {
			t.by[d.ID]++
		}
		c.Applied++
		t.counts[d.Event] = c
		t.mu.Unlock()
	}
	w.WriteHeader(status)
}

// Counts is what came so far, by Postern-Event-Id.
func (t *Tally) Counts() map[string]Count {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.counts)
}

// Applied is how many events were applied, by the provider's id: 1, unless something is wrong.
func (t *Tally) Applied() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.by)
}

// Wait returns when at least n of the provider's events are applied, or an error when within has passed.
func (t *Tally) Wait(within time.Duration, n int) error {
	for end := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		t.mu.Lock()
		have := len(t.by)
		t.mu.Unlock()
		if have >= n {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d events are applied after %s", have, n, within)
		}
	}
}
