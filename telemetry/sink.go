package telemetry

import (
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	sinkLimit = 4 << 20 // bytes that may wait for a slow output; further lines are dropped and counted
	sinkPause = 20 * time.Millisecond
)

// inTurn lets one line through at a time.
type inTurn struct {
	mu sync.Mutex
	to io.Writer
}

func (w *inTurn) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(line)
}

// A sink takes lines at once and writes them together, so that a call neither
// pays a system call for its line nor waits for a reader that has stopped
// (fault F45). A process that is killed loses the lines of the last moment; one
// that ends in order loses none.
type sink struct {
	to      io.Writer
	dropped prometheus.Counter

	mu      sync.Mutex
	buf     []byte
	spare   []byte
	closed  bool
	more    chan struct{}
	flushed chan struct{}
}

func newSink(to io.Writer, dropped prometheus.Counter) *sink {
	s := &sink{to: to, dropped: dropped, more: make(chan struct{}, 1), flushed: make(chan struct{})}
	go s.run()
	return s
}

// Write takes one line.
func (s *sink) Write(line []byte) (int, error) {
	s.mu.Lock()
	switch {
	case s.closed:
		s.mu.Unlock()
		return s.to.Write(line)
	case len(s.buf)+len(line) > sinkLimit:
		s.mu.Unlock()
		s.dropped.Inc()
		return len(line), nil
	}
	if len(s.buf) == 0 {
		select { // with mu held: Close closes it
		case s.more <- struct{}{}:
		default:
		}
	}
	s.buf = append(s.buf, line...)
	s.mu.Unlock()
	return len(line), nil
}

// run writes what has gathered, again and again.
func (s *sink) run() {
	defer close(s.flushed)
	for range s.more {
		time.Sleep(sinkPause)
		s.flush()
	}
	s.flush()
}

func (s *sink) flush() {
	s.mu.Lock()
	lines := s.buf
	s.buf = s.spare[:0]
	s.spare = nil
	s.mu.Unlock()
	if len(lines) > 0 {
		_, _ = s.to.Write(lines) // there is nowhere left to say that this failed
	}
	s.mu.Lock()
	if cap(lines) <= sinkLimit/4 {
		s.spare = lines[:0]
	}
	s.mu.Unlock()
}

// Close writes what waits. Lines that come later are written at once.
func (s *sink) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.more)
	s.mu.Unlock()
	<-s.flushed
	return nil
}
