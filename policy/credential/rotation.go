package credential

import (
	"sync"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// Rotation is what the blocks have in common whose secret may be a list.
type Rotation struct {
	On []policy.Outcome `hcl:"rotate_on,optional"` // outcomes after which the next value is tried
}

// Default is the provider's word that the key is not good.
func (r *Rotation) Default() { r.On = []policy.Outcome{policy.Auth} }

// Check refuses outcomes that say nothing about the key: another one would be
// spent on them (pitfall P27).
func (r *Rotation) Check() error {
	for _, o := range r.On {
		switch o {
		case policy.Auth, policy.RateLimited, policy.QuotaExhausted:
		default:
			return block.At("rotate_on", "%q says nothing about the key: write %q, %q or %q", o, policy.Auth, policy.RateLimited, policy.QuotaExhausted)
		}
	}
	return nil
}

// rest is how long no value is tried again after all were refused.
const rest = time.Minute

// rotation remembers which of several values is in use: the newest, until it
// is refused.
type rotation struct {
	mu     sync.Mutex
	newest string // the newest value when `at` was set; another one starts again
	at     int
	using  *key      // what stands there
	tried  int       // how many values were refused in a row
	quiet  time.Time // until then nothing is tried: all were refused
	known  []*key
}

// current is the place of the value in use, and the key that was there last.
func (r *rotation) current(newest string, n int) (at int, using *key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.newest != newest || r.at >= n {
		r.newest, r.at, r.tried, r.quiet = newest, 0, 0, time.Time{}
	}
	return r.at, r.using
}

// use records what stands at the place in use.
func (r *rotation) use(k *key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.using = k
}

// refused records that a key was, and reports whether another one is in use now.
// When all n were refused in a row the newest is in use again, and nothing is
// tried for a pause.
func (r *rotation) refused(k *key, n int, pause time.Duration, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case n > 1 && now.Before(r.quiet):
		return false
	case k != r.using:
		return true // another call moved on already, or there is a newer value
	case n < 2:
		return false
	case r.tried+1 >= n:
		r.at, r.tried, r.quiet = 0, 0, now.Add(pause)
		return false
	}
	r.at, r.tried = (r.at+1)%n, r.tried+1
	return true
}

// accepted records that a key is good, one of n.
func (r *rotation) accepted(k *key, n int) {
	if n < 2 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if k == r.using {
		r.tried, r.quiet = 0, time.Time{}
	}
}
