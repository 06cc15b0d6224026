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
// at a time decides.
type circuit struct {
	mu      sync.Mutex
	open    bool
	until   time.Time
	probing bool
	start   time.Time // of counting; the clock of the wall may jump
	at      int64     // number of the newest slot, since start
	calls   [slots]int
	failed  [slots]int
}

// ask wants to make an attempt. If refused, wait is how long to stay away.
func (c *circuit) ask(b *Block, now time.Time) (p permit, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.open:
		return normal, 0
	case now.Before(c.until):
		return refused, c.until.Sub(now)
	case c.probing:
		return refused, time.Second
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
			c.open, c.calls, c.failed = false, [slots]int{}, [slots]int{}
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
	if j == failure {
		c.failed[i]++
	}
	calls, failed := 0, 0
	for i := range slots {
		calls += c.calls[i]
		failed += c.failed[i]
	}
	if j == failure && calls >= b.Calls && float64(failed) >= b.Failures*float64(calls) {
		c.open, c.until = true, now.Add(b.Open.Duration)
		return true, false
	}
	return false, false
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
