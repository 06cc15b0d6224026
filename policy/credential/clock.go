package credential

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-proxy/postern/policy"
)

const (
	// trusted is how far apart two clocks may be before it is taken for a fact:
	// further than a measurement may be wrong, which is half a second for the
	// resolution of Date and half the time that the answer took.
	trusted = 3 * time.Second
	slowest = 3 * time.Second // an answer that took longer says too little
	often   = time.Second     // how often an answer is looked at, unless it is a refusal
	window  = 5               // measurements; the median counts
	stepped = time.Second     // by so much this machine's clock was set: what was measured before is void
)

// A Clock knows how far a provider's clock is from this machine's, from the Date
// of its answers (RFC 9110 §6.6.1). It outlives reloads.
type Clock struct {
	provider string
	tell     func(provider string, seconds float64)
	next     atomic.Int64 // no answer before then is looked at, in nanoseconds since 1970

	mu   sync.Mutex
	skew time.Duration // the provider's time minus ours
	seen []time.Duration
	last time.Time // when something was measured, by both clocks of this machine
	wall time.Time // the same by the one that can be set

	risen int64 // what Rising returned last
}

// Clock returns the clock of a provider.
func (l *Live) Clock(provider string) *Clock {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.clocks[provider]
	if c == nil {
		c = &Clock{provider: provider, tell: l.Skew}
		l.clocks[provider] = c
	}
	return c
}

// Now is the time by which to sign a request: this machine's, or the provider's
// where the two are known to be more than 3 s apart.
func (c *Clock) Now() time.Time {
	now := time.Now()
	return now.Add(c.shift(now))
}

// Rising returns n, or as much more as it takes to be greater than all it
// returned before: a nonce for providers that want each greater than the last.
func (c *Clock) Rising(n int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.risen = max(n, c.risen+1)
	return c.risen
}

// shift is what Now adds at a moment.
func (c *Clock) shift(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.void(now)
	if c.skew.Abs() <= trusted {
		return 0
	}
	return c.skew
}

// void forgets what was measured if this machine's clock was set since. Called
// with mu held.
func (c *Clock) void(now time.Time) {
	if len(c.seen) > 0 && (now.Round(0).Sub(c.wall)-now.Sub(c.last)).Abs() > stepped {
		c.seen, c.skew = c.seen[:0], 0
	}
}

// measure takes the Date of an answer to a request that was sent at start, once
// a second or if the answer is a refusal. Answers of caches (Age, RFC 9111 §5.1)
// and slow ones are passed over.
func (c *Clock) measure(resp *http.Response, start, end time.Time) {
	next := c.next.Load()
	if end.UnixNano() < next && !refusal(resp.StatusCode) || end.Sub(start) > slowest {
		return
	}
	date := resp.Header["Date"]
	if len(date) != 1 || len(resp.Header["Age"]) > 0 || !c.next.CompareAndSwap(next, end.Add(often).UnixNano()) {
		return
	}
	at, err := http.ParseTime(date[0])
	if err != nil {
		return
	}
	skew := c.take(at.Add(500*time.Millisecond).Sub(start.Add(end.Sub(start)/2)), end)
	if c.tell != nil {
		c.tell(c.provider, skew.Seconds())
	}
}

// take adds a measurement, and returns what holds from now on: the median, of
// two in the middle the lesser.
func (c *Clock) take(skew time.Duration, now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.void(now)
	c.last, c.wall = now, now.Round(0)
	if len(c.seen) == window {
		copy(c.seen, c.seen[1:])
		c.seen = c.seen[:window-1]
	}
	c.seen = append(c.seen, skew)
	var sorted [window]time.Duration
	n := copy(sorted[:], c.seen)
	slices.Sort(sorted[:n])
	c.skew = sorted[n/2]
	if lower := sorted[(n-1)/2]; lower.Abs() < c.skew.Abs() {
		c.skew = lower
	}
	return c.skew
}

// blame names the skew in the hint of a call that was refused, maybe for it.
func (c *Clock) blame(x *policy.Exchange, status int, now time.Time) {
	if !refusal(status) || status == http.StatusBadRequest && !ofTime(x.ProviderCode) && !ofTime(x.ProviderMessage) {
		return
	}
	skew := c.shift(now)
	if skew == 0 {
		return
	}
	word := "behind"
	if skew < 0 {
		word = "ahead of"
	}
	told := fmt.Sprintf("The clock of this machine is %.0f s %s the provider's: set it right.", skew.Abs().Seconds(), word)
	if !strings.HasPrefix(x.Hint, told) { // stacked credentials say it once
		x.Hint = strings.TrimSpace(told + " " + x.Hint)
	}
}

// refusal reports whether an answer may be due to a timestamp.
func refusal(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusBadRequest
}

// ofTime reports whether a provider's code or message is about the time:
// RequestTimeTooSkewed, "Timestamp for this request is outside of the recvWindow".
func ofTime(said string) bool {
	said = strings.ToLower(said)
	return slices.ContainsFunc([]string{"timestamp", "skew", "clock", "expired", "request time"}, func(word string) bool { return strings.Contains(said, word) })
}
