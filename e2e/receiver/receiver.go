// Package receiver is the application at the far end of the inbox: it records what is delivered and answers as told.
package receiver

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Delivery is one request that reached the application.
type Delivery struct {
	Path    string
	Event   string // Postern-Event-Id: Postern's own, the same on every attempt
	ID      string // Postern-Provider-Event-Id
	Webhook string
	Type    string
	Attempt string
	Header  http.Header
	Body    []byte
	Status  int // what was answered
	Arrived time.Time
	Done    time.Time // when the answer was handed to the connection; zero when it was not
}

// Applied reports whether the application answered 2xx.
func (d Delivery) Applied() bool { return !d.Done.IsZero() && d.Status/100 == 2 }

// Receiver is a running application.
type Receiver struct {
	// URL is its origin.
	URL string

	srv     *http.Server
	answer  func(Delivery) int
	mu      sync.Mutex
	got     []*Delivery
	changed chan struct{} // closed and replaced at each answer
}

// Listen starts an application on a free loopback port. answer gives the status of each delivery and may take its
// time; nil means 200 always.
func Listen(answer func(Delivery) int) (*Receiver, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	if answer == nil {
		answer = func(Delivery) int { return http.StatusOK }
	}
	r := &Receiver{URL: "http://" + ln.Addr().String(), answer: answer, changed: make(chan struct{})}
	r.srv = &http.Server{Handler: http.HandlerFunc(r.serve)}
	go r.srv.Serve(ln)
	return r, nil
}

// Close breaks what is open.
func (r *Receiver) Close() { r.srv.Close() }

func (r *Receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender died in the middle: nothing was delivered
	}
	d := &Delivery{
		Path: req.URL.Path, Event: req.Header.Get("Postern-Event-Id"), ID: req.Header.Get("Postern-Provider-Event-Id"),
		Webhook: req.Header.Get("Postern-Webhook"), Type: req.Header.Get("Postern-Type"), Attempt: req.Header.Get("Postern-Attempt"),
		Header: req.Header.Clone(), Body: body, Arrived: time.Now(),
	}
	r.mu.Lock()
	r.got = append(r.got, d)
	seen := *d
	r.mu.Unlock()
	status := r.answer(seen)
	w.WriteHeader(status)
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	r.mu.Lock()
	d.Status, d.Done = status, time.Now()
	close(r.changed)
	r.changed = make(chan struct{})
	r.mu.Unlock()
}

// Deliveries returns all that arrived, in order of arrival.
func (r *Receiver) Deliveries() []Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Delivery, len(r.got))
	for i, d := range r.got {
		out[i] = *d
	}
	return out
}

// Wait returns what arrived as soon as enough says so, or an error when within has passed.
func (r *Receiver) Wait(within time.Duration, enough func([]Delivery) bool) ([]Delivery, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		got := r.Deliveries()
		if enough(got) {
			return got, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return got, fmt.Errorf("%d deliveries after %s are not what was waited for", len(got), within)
		}
	}
}

// Of selects the deliveries of one provider event of one webhook.
func Of(all []Delivery, webhook, id string) []Delivery {
	return slices.DeleteFunc(slices.Clone(all), func(d Delivery) bool { return d.Webhook != webhook || d.ID != id })
}
