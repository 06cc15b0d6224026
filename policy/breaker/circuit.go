package breaker

import (
	"sync"
	"time"
)

type permit uint8

const (
	refused permit = iota
	normal
	probe // the one attempt of a half-open circuit
)

type judgement uint8

const (
	neutral judgement = iota // gives the permit back
	success
	failure
)

// slots is how finely the window slides.
const slots = 10

// circuit is closed, open until a time, or half-open: after that time one probe
// at a time decides. A probe is a call that may be repeated, because one of an
// unhealthy provider may well end in doubt. Only if none has come for as long
// again another one is let through: what gets no other calls would stay closed
// to the application for ever.
type circuit struct {
	mu      sync.Mutex
	open    bool
	until   time.Time
	probing bool
	start   time.Time // of counting; the clock of the wall may jump
	at      int64     // number of the newest slot, since start
	calls   [slots]int
	failed  [slots]int
	run     int       // failures since the last success
	since   time.Time // the first of them
}

// ask wants to make an attempt, of a call that may be repeated or not. If
// refused, wait is how long to stay away.
func (c *circuit) ask(b *Block, repeatable bool, now time.Time) (p permit, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.open:
		return normal, 0
	case now.Before(c.until):
		return refused, c.until.Sub(now)
	case c.probing:
		return refused, time.Second
	case !repeatable && now.Before(c.until.Add(b.Open.Duration)):
		return refused, c.until.Add(b.Open.Duration).Sub(now)
	}
	c.probing = true
	return probe, 0
}

// done gives a permit back with what the attempt told.
func (c *circuit) done(b *Block, p permit, j judgement, now time.Time) (opened, closed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p == probe {
		c.probing = false
		switch j {
		case success:
			c.open, c.calls, c.failed, c.run = false, [slots]int{}, [slots]int{}, 0
			return false, true
		case failure:
			c.until = now.Add(b.Open.Duration)
		}
		return false, false
	}
	if j == neutral || c.open {
		return false, false
	}
	c.slide(b.Window.Duration, now)
	i := c.at % slots
	c.calls[i]++
	if c.run++; j == success {
		c.run = 0
		return false, false
	}
	if c.failed[i]++; c.run == 1 {
		c.since = now
	}
	return c.trip(b, now), false
}

// broken takes note that an answer that had counted as a success broke off.
func (c *circuit) broken(b *Block, now time.Time) (opened bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open {
		return false
	}
	c.slide(b.Window.Duration, now)
	i := c.at % slots
	if c.failed[i]++; c.calls[i] < c.failed[i] { // it was counted in an earlier slot
		c.calls[i] = c.failed[i]
	}
	return c.trip(b, now)
}

// trip opens the circuit if enough failed, or nothing else came for a part of the
// window: what went well before must not hide an outage. Called with mu held.
func (c *circuit) trip(b *Block, now time.Time) bool {
	calls, failed := 0, 0
	for i := range slots {
		calls += c.calls[i]
		failed += c.failed[i]
	}
	down := c.run >= b.Calls && now.Sub(c.since) >= b.Window.Duration/slots
	if !down && (calls < b.Calls || float64(failed) < b.Failures*float64(calls)) {
		return false
	}
	c.open, c.until = true, now.Add(b.Open.Duration)
	return true
}

// isOpen reports whether the circuit is open or half-open.
func (c *circuit) isOpen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// slide forgets what is older than the window. Called with mu held.
func (c *circuit) slide(window time.Duration, now time.Time) {
	if c.start.IsZero() {
		c.start = now
	}
	n := int64(now.Sub(c.start) / (window / slots))
	if c.at < n-slots {
		c.at = n - slots
	}
	for c.at < n {
		c.at++
		c.calls[c.at%slots], c.failed[c.at%slots] = 0, 0
	}
}
