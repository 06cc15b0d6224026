package limit

import (
	"math/bits"
	"time"
)

// steps is how often within a ramp-up the number of calls at once is doubled.
const steps = 10

// ramp is how calls begin again after a pause: one at once, and after each tenth of
// long twice as many.
type ramp struct {
	from   time.Time
	long   time.Duration // after which there is no ramp any more
	flying int           // calls of it without an answer yet
}

// over reports whether there is nothing to be held back any more.
func (r *ramp) over(now time.Time) bool { return now.Sub(r.from) >= r.long }

// take lets one more begin. Otherwise wait says when to ask again.
func (r *ramp) take(now time.Time) (wait time.Duration, ok bool) {
	step := max(1, r.long/steps)
	n := now.Sub(r.from) / step
	if r.flying < 1<<min(max(n, 0), bits.UintSize/2) {
		r.flying++
		return 0, true
	}
	return r.from.Add((n + 1) * step).Sub(now), false
}

// done is the end of one that was let begin.
func (r *ramp) done() { r.flying = max(0, r.flying-1) }
