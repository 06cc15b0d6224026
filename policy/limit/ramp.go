package limit

import (
	"math/bits"
	"time"
)

// steps is how often within a ramp-up the number of calls at once is doubled.
const steps = 10

// ramp is how calls begin again after a pause: one at first; with each answer one
// more at once, and after each tenth of long twice as many, so that one that takes
// long does not hold up all others.
type ramp struct {
	from     time.Time
	long     time.Duration // after which there is no ramp any more
	flying   int           // calls of it without an answer yet
	answered int
}

// over reports whether there is nothing to be held back any more.
func (r *ramp) over(now time.Time) bool { return now.Sub(r.from) >= r.long }

// take lets one more begin. Otherwise wait says when to ask again.
func (r *ramp) take(now time.Time) (wait time.Duration, ok bool) {
	step := max(1, r.long/steps)
	n := now.Sub(r.from) / step
	if r.flying < r.answered+1<<min(n, bits.UintSize/2) {
		r.flying++
		return 0, true
	}
	return r.from.Add((n + 1) * step).Sub(now), false
}

// done is the end of one that was let begin.
func (r *ramp) done(answered bool) {
	r.flying = max(0, r.flying-1)
	if answered {
		r.answered++
	}
}
