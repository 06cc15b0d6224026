package limit

import "time"

// A Source gives tokens out of buckets, of this process or of all replicas. It
// may be used by several goroutines at once.
//
// Package limittest holds what every Source has to show.
type Source interface {
	// Reserve takes a token of the bucket k, or a place in the queue for one that
	// is free no later than within from now. Where there is none, nothing is taken.
	// A bucket that is not known yet is full. One that was used with another rule
	// keeps what is in it, up to the new burst. Reserve never fails, and returns
	// within 50 ms.
	Reserve(k Key, r Rule, within time.Duration) Place
}

// A Key names a bucket. The route is empty unless it changed the size of the
// bucket: a call takes from the provider's own wherever it can.
type Key struct{ Provider, Route, Name, By string }

// A Rule is how a bucket fills.
type Rule struct {
	Rate  float64 // tokens a second, above zero
	Burst int     // tokens in a full bucket, at least one
}

// Every is the time between two tokens, at least a nanosecond.
func (r Rule) Every() time.Duration {
	return time.Duration(max(1, min(float64(time.Second)/r.Rate, float64(1<<62))))
}

// A Place is the answer to a wish for a token.
type Place struct {
	OK   bool          // a token was taken
	Wait time.Duration // until it may be used; where none was taken, until there is one
	Left float64       // what the bucket would let pass at once now, about; below zero is a queue

	// Back gives the token back: at once if it can be used, else to whoever is
	// last in the queue. It may be called once, and is nil if none was taken.
	Back func()

	evicted bool // none was taken, and the call had to leave the queue to others
}
