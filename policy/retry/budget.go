package retry

import (
	"hash/maphash"
	"sync"
	"time"
)

// The budget's window, and how many retries it always allows in one.
const (
	windowSeconds = 10
	minimum       = 3
)

// How long, at least, and how many keys of failed calls are remembered: SDKs wait
// for up to half a minute (the AWS ones for 20 s, Stripe's for 5 s).
const (
	memory  = time.Minute
	maxKeys = 4096
)

// budget counts the calls and retries of one provider over the last 10 s. A
// retry that an SDK makes counts as one, and not as a call: nobody gets a larger
// budget by asking again.
type budget struct {
	mu      sync.Mutex
	calls   [windowSeconds]int
	retries [windowSeconds]int
	start   time.Time // of counting; the clock of the wall may jump
	last    int64     // second of the newest slot, since start

	// Keys of failed calls, in two generations, of which the older one is dropped.
	// Only their hashes are kept.
	seed         maphash.Seed
	fresh, stale map[uint64]struct{}
	turned       time.Time
}

func newBudget() *budget { return &budget{seed: maphash.MakeSeed()} }

// call counts a call of the application.
func (b *budget) call(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls[b.slot(now)]++
}

// spend counts a retry that somebody else makes, whether the budget allows it or
// not: there is that much less for our own.
func (b *budget) spend(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.retries[b.slot(now)]++
}

// take counts a retry, if share of the calls, or the minimum, allows it.
func (b *budget) take(now time.Time, share float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.slot(now)
	calls, retries := 0, 0
	for i := range windowSeconds {
		calls += b.calls[i]
		retries += b.retries[i]
	}
	if retries >= minimum && float64(retries+1) > share*float64(calls) {
		return false
	}
	b.retries[at]++
	return true
}

// slot clears what is older than the window. Called with mu held.
func (b *budget) slot(now time.Time) int {
	if b.start.IsZero() {
		b.start = now
	}
	second := int64(now.Sub(b.start) / time.Second)
	for b.last < second {
		if b.last < second-windowSeconds {
			b.last = second - windowSeconds
		}
		b.last++
		b.calls[b.last%windowSeconds], b.retries[b.last%windowSeconds] = 0, 0
	}
	return int(b.last % windowSeconds)
}

// failed remembers the key of a call that failed.
func (b *budget) failed(c caller, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(now)
	if b.fresh == nil {
		b.fresh = map[uint64]struct{}{}
	}
	if len(b.fresh) < maxKeys {
		b.fresh[maphash.Comparable(b.seed, c)] = struct{}{}
	}
}

// repeated reports whether a call with that key has failed not long ago.
func (b *budget) repeated(c caller, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(now)
	if len(b.fresh)+len(b.stale) == 0 {
		return false
	}
	hash := maphash.Comparable(b.seed, c)
	_, fresh := b.fresh[hash]
	_, stale := b.stale[hash]
	return fresh || stale
}

// turn drops keys that are older than twice the memory. Called with mu held.
func (b *budget) turn(now time.Time) {
	switch age := now.Sub(b.turned); {
	case age >= 2*memory:
		b.fresh, b.stale, b.turned = nil, nil, now
	case age >= memory:
		b.fresh, b.stale, b.turned = nil, b.fresh, now
	}
}
