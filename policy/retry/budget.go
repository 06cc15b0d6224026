package retry

import (
	"sync"
	"time"
)

// The budget's window, and how many retries it always allows in one.
const (
	windowSeconds = 10
	minimum       = 3
)

// budget counts the calls and retries of one provider over the last 10 s.
type budget struct {
	mu      sync.Mutex
	calls   [windowSeconds]int
	retries [windowSeconds]int
	start   time.Time // of counting; the clock of the wall may jump
	last    int64     // second of the newest slot, since start
}

// call counts a call of the application.
func (b *budget) call(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls[b.slot(now)]++
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
