package faults

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Request is one send as the wire showed it.
type Request struct {
	Conn   int    // ordinal of the accepted connection, from 1
	Nth    int    // ordinal on its connection, from 1: above 1 means the connection was reused
	Proto  string // "HTTP/1.1" or "HTTP/2.0"
	Method string // empty when the step did not let the request be read
	Host   string // Host or :authority
	Target string // the request target as sent
	Header http.Header
	Body   []byte
	Read   bool // the request was read to its end
	Step   string
	Status int // what was answered; 0 for nothing
}

// Sends counts the requests that arrived since the start or the last Forget, read or not.
func (s *Server) Sends() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// Requests returns a copy of the records in order of arrival.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Request, len(s.requests))
	for i, r := range s.requests {
		out[i] = *r
		out[i].Header = r.Header.Clone()
		out[i].Body = slices.Clone(r.Body)
	}
	return out
}

// RequestsTo are those of the records whose target has this path.
func (s *Server) RequestsTo(path string) []Request {
	return slices.DeleteFunc(s.Requests(), func(r Request) bool {
		at, _, _ := strings.Cut(r.Target, "?")
		return at != path
	})
}

// Accepted counts TCP connections since the start.
func (s *Server) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Forget drops the records and what is left of the script. Connections stay as they are.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
	s.script = nil
	s.plan = nil
	s.turned = 0
}

// WaitSends returns when n sends have arrived, or an error when within has passed.
func (s *Server) WaitSends(n int, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for {
		s.mu.Lock()
		have, changed := len(s.requests), s.changed
		s.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d sends: %d after %s", n, have, within)
		}
	}
}

// arrive counts a send on c and takes its step.
func (s *Server) arrive(c *conn) (*Request, Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.served++
	step := Pass()
	switch {
	case len(s.script) > 0:
		step, s.script = s.script[0], s.script[1:]
	case s.plan != nil:
		step = s.plan(len(s.requests))
	}
	r := &Request{Conn: c.id, Nth: c.served, Proto: c.proto, Header: http.Header{}, Step: step.String()}
	s.requests = append(s.requests, r)
	close(s.changed)
	s.changed = make(chan struct{})
	return r, step
}

// note changes a record under the lock.
func (s *Server) note(r *Request, f func(*Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(r)
}
