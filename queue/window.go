package queue

import (
	"math"
	"time"
)

// window is how many attempts one target may have in flight, between 1 and the
// target's concurrency. It opens by one with every answer and closes by one with
// every sign of trouble.
//
// After a pause it begins with one and opens slowly, however long the backlog: in
// rounds of at least [pace], by a quarter after each in which answers took about
// as long as they usually do. If they took longer, requests wait for each other,
// those of other targets included that are the same application: the window closes
// by a quarter, and opens by one from then on, so that such targets come to have
// equal shares. Answers differ by nature, too: a round is longer than usual only if
// that is more than chance would make it.
type window struct {
	size     float64
	inflight int
	slow     bool          // since a pause, until it is open again
	met      bool          // it was too much once since the pause
	usual    time.Duration // that an answer takes
	spread   float64       // how much single answers differ from that: the variance, in seconds squared
	long     time.Time     // since when they take longer, one at a time; zero if they do not
	round    round
}

// round is what was answered since began.
type round struct {
	began   time.Time
	n       int
	took    time.Duration // together
	squares float64       // of seconds, together
}

// spread is the variance of the answers of a round, in seconds squared.
func (r *round) spread() float64 {
	if r.n < 2 {
		return 0
	}
	mean := r.took.Seconds() / float64(r.n)
	return max(r.squares-float64(r.n)*mean*mean, 0) / float64(r.n-1)
}

const (
	firstWindow = 4
	pace        = time.Second
	strained    = 1.25        // times as long as usual: requests wait for each other
	learn       = time.Minute // that answers take longer one at a time makes it usual
	sure        = 2           // standard errors that are no chance
	memory      = 64          // answers, about, that what is usual is learned from
)

func newWindow() window { return window{size: firstWindow} }

// width is how many attempts may be in flight.
func (w *window) width() int { return max(int(w.size), 1) }

// free returns how many more attempts may start now.
func (w *window) free(concurrency int) int {
	return max(min(w.width(), concurrency)-w.inflight, 0)
}

// shut makes it begin anew, slowly.
func (w *window) shut(now time.Time) {
	w.size, w.slow, w.met, w.long, w.round = 1, true, false, time.Time{}, round{began: now}
}

func (w *window) well(now time.Time, took time.Duration, concurrency int) {
	if !w.slow {
		w.size = min(w.size+1, float64(max(concurrency, 1)))
		if took > 0 && w.usual == 0 {
			w.usual = took
		} else if took > 0 {
			off := (took - w.usual).Seconds()
			w.usual += (took - w.usual) / memory
			w.spread += (off*off - w.spread) / memory
		}
		return
	}
	w.round.n++
	w.round.took += took
	w.round.squares += took.Seconds() * took.Seconds()
	if w.round.n < max(w.width(), firstWindow) || now.Sub(w.round.began) < pace {
		return
	}
	average, spread := w.round.took/time.Duration(w.round.n), w.round.spread()
	if w.usual == 0 {
		w.usual, w.spread = average, spread
	}
	chance := time.Duration(sure * math.Sqrt(w.spread/float64(w.round.n)) * float64(time.Second))
	w.round = round{began: now}
	switch long := float64(average-chance) > strained*float64(w.usual); {
	case long && w.width() > 1:
		w.size, w.met = w.size*3/4, true
	case long && w.long.IsZero():
		w.long = now
	case long:
		if now.Sub(w.long) >= learn {
			w.usual, w.spread = average, spread
		}
	default:
		w.usual -= max(w.usual-average-chance, 0) / 2
		w.long = time.Time{}
		w.widen(concurrency)
	}
}

// widen opens it after a round in which nobody waited.
func (w *window) widen(concurrency int) {
	step := 1.0
	if !w.met {
		step = max(math.Floor(w.size/4), 1)
	}
	w.size = min(w.size+step, float64(max(concurrency, 1)))
	w.slow = w.width() < concurrency
}

func (w *window) trouble() {
	if w.slow {
		w.size /= 2
	} else {
		w.size--
	}
	w.size = max(w.size, 1)
}
