// Package backoff says how long to wait before something is tried again: our
// own growing, jittered delay, and the wait that a peer asks for.
//
// Read backoff.go, then retryafter.go; reset.go reads the times and waits of
// providers in every unit of the policy language, span.go those that are written
// with units. The package keeps no state, reads no
// clock and owns no randomness; callers hand those in.
package backoff

import (
	"fmt"
	"math"
	"time"
)

// Jitter is how a delay is spread, so that callers that failed together do not
// come back together.
type Jitter uint8

// The jitters of the policy language.
const (
	Full         Jitter = iota // uniform in [0, d]
	None                       // exactly d
	Equal                      // d/2 plus uniform in [0, d/2]
	Decorrelated               // uniform in [first, 3 × the previous delay]
)

var jitterNames = [...]string{Full: "full", None: "none", Equal: "equal", Decorrelated: "decorrelated"}

// String returns the word that the policy language has for j.
func (j Jitter) String() string {
	if int(j) < len(jitterNames) {
		return jitterNames[j]
	}
	return fmt.Sprintf("Jitter(%d)", uint8(j))
}

// UnmarshalText accepts none, full, equal and decorrelated.
func (j *Jitter) UnmarshalText(text []byte) error {
	for i, name := range jitterNames {
		if string(text) == name {
			*j = Jitter(i)
			return nil
		}
	}
	return fmt.Errorf("unknown jitter %q: use none, full, equal or decorrelated", text)
}

// Backoff is a delay that grows from First by Factor up to Max. The zero value
// never waits. A Factor below 1 counts as 1, a negative duration as zero, and
// First counts as Max where it is larger.
type Backoff struct {
	First  time.Duration
	Factor float64
	Max    time.Duration
	Jitter Jitter
}

// Delay returns the wait after the attempt-th failure, counted from 1. prev is
// the delay before it (zero for none; only Decorrelated reads it) and rnd
// yields uniform numbers in [0, 1). The result is in [0, b.Max], whatever the
// arguments.
func (b Backoff) Delay(attempt int, prev time.Duration, rnd func() float64) time.Duration {
	limit := max(b.Max, 0)
	first := min(max(b.First, 0), limit)
	d := b.grown(attempt, first, limit)
	switch b.Jitter {
	case None:
	case Equal:
		d = between(d/2, d, rnd())
	case Decorrelated:
		high := limit
		if p := max(prev, first); p < limit/3 {
			high = 3 * p
		}
		d = between(first, max(first, high), rnd())
	default:
		d = between(0, d, rnd())
	}
	return min(max(d, 0), limit)
}

// grown is the delay without jitter.
func (b Backoff) grown(attempt int, first, limit time.Duration) time.Duration {
	factor := b.Factor
	if !(factor > 1) { // also NaN
		factor = 1
	}
	d := float64(first) * math.Pow(factor, float64(max(attempt, 1)-1))
	if !(d < float64(limit)) { // also +Inf, and 0 × Inf
		if first == 0 {
			return 0
		}
		return limit
	}
	return time.Duration(d)
}

// between returns the point at fraction f of the way from low to high.
func between(low, high time.Duration, f float64) time.Duration {
	if !(f >= 0) {
		f = 0
	}
	return low + time.Duration(min(f, 1)*float64(high-low))
}
