package credential

import (
	"sync"
	"time"
)

// rest is how long no value is tried again after all were refused.
const rest = time.Minute

// rotation remembers which of several values is in use: the newest, until it
// is refused.
type rotation struct {
	mu     sync.Mutex
	newest string // the newest value when `at` was set; another one starts again
	at     int
	tried  int       // how many values were refused in a row
	quiet  time.Time // until then nothing is tried: all were refused
}

// current is the place of the value in use.
func (r *rotation) current(newest string, n int) int {
	if n < 2 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.newest != newest || r.at >= n {
		r.newest, r.at, r.tried, r.quiet = newest, 0, 0, time.Time{}
	}
	return r.at
}

// refused records a 401 for the value at a place, and reports whether another
// attempt would carry another value. When all were refused in a row the newest
// is in use again, and for a while no attempt is added.
func (r *rotation) refused(at, n int, now time.Time) bool {
	if n < 2 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case now.Before(r.quiet):
		return false
	case at != r.at:
		return true // another call moved on already
	case r.tried+1 >= n:
		r.at, r.tried, r.quiet = 0, 0, now.Add(rest)
		return false
	}
	r.at, r.tried = (at+1)%n, r.tried+1
	return true
}

// accepted records that the value at a place is good.
func (r *rotation) accepted(at, n int) {
	if n < 2 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if at == r.at {
		r.tried, r.quiet = 0, time.Time{}
	}
}
