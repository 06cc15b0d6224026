package credential

import "sync"

// rotation remembers which of several values is in use: the newest, until it
// is refused.
type rotation struct {
	mu     sync.Mutex
	newest string // the newest value when `at` was set; another one starts again
	at     int
	tried  int // how many values were refused in a row
}

// current is the place of the value in use.
func (r *rotation) current(newest string, n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.newest != newest || r.at >= n {
		r.newest, r.at, r.tried = newest, 0, 0
	}
	return r.at
}

// refused records a 401 for the value at a place, and reports whether another
// attempt would carry another value. Each value is given up once: when all were
// refused, the newest is in use again and no attempt is added.
func (r *rotation) refused(at, n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case n < 2:
		return false
	case at != r.at:
		return true // another call moved on already
	case r.tried+1 >= n:
		return false
	}
	r.at, r.tried = (at+1)%n, r.tried+1
	return true
}
