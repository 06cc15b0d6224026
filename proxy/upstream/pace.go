package upstream

import (
	"sync"
	"time"
)

// phase is how far a request on a connection is.
type phase int

const (
	sending   phase = iota // the body is being streamed, no response yet
	waiting                // the request is out
	receiving              // the response has begun; the body may still be streamed
	released               // nothing has to happen any more, or not in HTTP
)

// pace keeps the deadline of a request: a fixed one until the response headers,
// one that moves with progress while a body streams.
type pace struct {
	mu    sync.Mutex
	on    interface{ SetDeadline(time.Time) error }
	phase phase
	until time.Time     // zero is never
	idle  time.Duration // zero is no limit
	moved time.Time     // when the deadline last was; zero is not in this phase
	end   time.Time     // the deadline
}

func (p *pace) begin(until time.Time, idle time.Duration, streams bool) {
	p.until, p.idle = until, idle
	if streams {
		p.enter(sending, false)
	} else {
		p.enter(waiting, false)
	}
}

// enter starts a phase. A lazy one leaves the old deadline until there is
// progress.
func (p *pace) enter(ph phase, lazy bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.phase, p.moved = ph, time.Time{}
	if !lazy {
		p.move()
	}
}

// sent says that the request is out.
func (p *pace) sent() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.phase == sending {
		p.phase, p.moved = waiting, time.Time{}
		p.move()
	}
}

// progress says that something moved, or is about to.
func (p *pace) progress() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.move()
}

// move moves the deadline, though no more often than it matters. Called with mu
// held.
func (p *pace) move() {
	streaming := p.idle > 0 && (p.phase == sending || p.phase == receiving)
	if !p.moved.IsZero() && !streaming {
		return
	}
	now := time.Now()
	if !p.moved.IsZero() && now.Sub(p.moved) < p.idle/8 {
		return
	}
	p.moved = now
	var end time.Time
	if streaming {
		end = now.Add(p.idle)
	}
	if (p.phase == sending || p.phase == waiting) && !p.until.IsZero() && (end.IsZero() || p.until.Before(end)) {
		end = p.until
	}
	if !end.Equal(p.end) {
		p.end = end
		p.on.SetDeadline(end)
	}
}

// idles reports whether the deadline is the one of progress.
func (p *pace) idles() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.idle > 0 && (p.phase == receiving || p.phase == sending && (p.until.IsZero() || p.end.Before(p.until)))
}

// late reports whether the deadline has really passed, and was not moved in the
// meantime. While a response is received it only counts during a read.
func (p *pace) late(reading bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.end.IsZero() && !time.Now().Before(p.end) && (p.phase != receiving || reading)
}

// hurry leaves only a moment for the response of a provider that has stopped
// reading the request.
func (p *pace) hurry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	soon := time.Now().Add(lastWords)
	if p.phase == sending && (p.until.IsZero() || soon.Before(p.until)) {
		p.until, p.phase = soon, waiting
		p.end = soon
		p.on.SetDeadline(soon)
	}
}

// lastWords is how long a provider that closed its side of the request may take
// to say why.
const lastWords = time.Second
