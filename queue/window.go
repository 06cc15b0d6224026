package queue

import "time"

// window is how many attempts one target may have in flight, between 1 and the
// target's concurrency. It opens by one with every answer and closes by one with
// every sign of trouble.
//
// After a pause it begins with one and opens slowly, however long the backlog: in
// rounds of at least [pace], by a quarter after each in which answers took about
// as long as they usually do. If they took longer, the target is at its limit: the
// window closes by one.
type window struct {
	size     int
	inflight int
	slow     bool          // since a pause, until it is open again
	usual    time.Duration // that an answer takes
	round    round
}

// round is what was answered since began.
type round struct {
	began time.Time
	n     int
	took  time.Duration // together
}

const (
	firstWindow = 4
	pace        = time.Second
	strained    = 1.25 // times as long as usual: requests wait for each other
)

func newWindow() window { return window{size: firstWindow} }

// free returns how many more attempts may start now.
func (w *window) free(concurrency int) int {
	return max(min(w.size, concurrency)-w.inflight, 0)
}

// shut makes it begin anew, slowly.
func (w *window) shut(now time.Time) {
	w.size, w.slow, w.round = 1, true, round{began: now}
}

func (w *window) well(now time.Time, took time.Duration, concurrency int) {
	if !w.slow {
		w.size = min(w.size+1, max(concurrency, 1))
		if took > 0 && w.usual == 0 {
			w.usual = took
		} else if took > 0 {
			w.usual += (took - w.usual) / 64
		}
		return
	}
	w.round.n++
	w.round.took += took
	if w.round.n < max(w.size, firstWindow) || now.Sub(w.round.began) < pace {
		return
	}
	average := w.round.took / time.Duration(w.round.n)
	w.round = round{began: now}
	if w.usual == 0 {
		w.usual = average
	}
	switch long := float64(average) > strained*float64(w.usual); {
	case long && w.size > 1:
		w.size--
		return
	case long: // not our doing: what is usual has changed
		w.usual += (average - w.usual) / 4
		return
	}
	w.size = min(w.size+max(w.size/4, 1), max(concurrency, 1))
	w.slow = w.size < concurrency
}

func (w *window) trouble() {
	if w.slow {
		w.size /= 2
	} else {
		w.size--
	}
	w.size = max(w.size, 1)
}
