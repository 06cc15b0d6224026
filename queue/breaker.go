package queue

import "time"

// breaker pauses a target that is down: nothing is claimed for it, so that its
// items wait where they are and no attempt is spent. When the pause is over, one
// attempt shows whether it is back.
//
// It opens after [tripAfter] signs of trouble without a good one between them, if
// they are of several items, or if the target could not be reached at all: what
// only one item gets says nothing about the others. A target that asks to be left
// alone is, at once.
type breaker struct {
	failures int   // in a row
	first    int64 // key of the first of them
	wide     bool  // they are not of one item only
	down     bool  // the last sign was that it cannot be reached

	open    bool
	asked   bool // by the target
	since   time.Time
	until   time.Time
	pause   time.Duration // the next one, if this one was too short
	probing bool          // the one attempt is under way
}

const (
	tripAfter  = 5
	firstPause = time.Second
	maxPause   = 30 * time.Second
)

// takes returns how many attempts may start, -1 for any number, and otherwise
// when that may change, zero if the end of an attempt will show it.
func (b *breaker) takes(now time.Time) (n int, until time.Time) {
	switch {
	case !b.open:
		return -1, time.Time{}
	case now.Before(b.until):
		return 0, b.until
	case b.probing:
		return 0, time.Time{}
	}
	return 1, time.Time{}
}

// well reports whether this sign closes it. One that was on its way does not undo
// what the target asked for since.
func (b *breaker) well(now time.Time) (closed bool) {
	if b.open && b.asked && now.Before(b.until) {
		return false
	}
	closed = b.open
	*b = breaker{}
	return closed
}

// trouble reports whether this sign of the item named key opens it. asked is how
// long the target wants to be left alone, 0 if it did not say.
func (b *breaker) trouble(now time.Time, key int64, down, probe bool, asked time.Duration) (opened bool) {
	if b.failures == 0 {
		b.first = key
	}
	b.failures++
	b.wide = b.wide || down || key != b.first
	b.down = down
	opened = !b.open && (asked > 0 || b.failures >= tripAfter && b.wide)
	if opened {
		b.open, b.since, b.pause = true, now, firstPause
	}
	if !b.open {
		return false
	}
	if opened || probe {
		b.until = now.Add(b.pause)
		b.pause = min(2*b.pause, maxPause)
		b.asked = false
	}
	if end := now.Add(asked); asked > 0 && end.After(b.until) {
		b.until, b.asked = end, true
	}
	return opened
}
