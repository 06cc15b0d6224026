package limit

import (
	"fmt"
	"math"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// buckets is how many are remembered; the values of `by` come and go.
const buckets = 16_384

// Local is a [Source] of this process. Where several replicas live, each has
// its share of every rule.
type Local struct {
	known *lru.Cache[Key, *rate.Limiter]
	live  func() int
}

// NewLocal returns a source that divides every rule by live, which is called
// often and says how many replicas there are, this one included.
func NewLocal(live func() int) (*Local, error) {
	known, err := lru.New[Key, *rate.Limiter](buckets)
	if err != nil {
		return nil, fmt.Errorf("make the limits' memory: %w", err)
	}
	return &Local{known: known, live: live}, nil
}

// Share is the part of a rule that each of live replicas has. A burst of fewer
// tokens than replicas is one token for each of them.
func (r Rule) Share(live int) Rule {
	live = max(1, live)
	return Rule{Rate: r.Rate / float64(live), Burst: max(1, r.Burst/live)}
}

// Reserve implements [Source]. It does not wait.
func (l *Local) Reserve(k Key, r Rule, within time.Duration) Place {
	b := l.bucket(k, r)
	now := time.Now()
	token := b.ReserveN(now, 1)
	wait := token.DelayFrom(now)
	left := b.TokensAt(now)
	if wait > within {
		token.CancelAt(now)
		return Place{Wait: wait, Left: left + 1}
	}
	return Place{OK: true, Wait: wait, Left: left, Back: func() {
		if now := time.Now(); token.DelayFrom(now) > 0 {
			token.CancelAt(now)
		} else {
			b.AllowN(now, -1)
		}
	}}
}

// Level says how many tokens are left in the bucket k of this process; below
// zero is a queue.
func (l *Local) Level(k Key, r Rule) float64 { return l.bucket(k, r).TokensAt(time.Now()) }

// Settle makes the bucket k of this process have about as many tokens as level
// says, which may be below zero.
func (l *Local) Settle(k Key, r Rule, level float64) {
	b := l.bucket(k, r)
	now := time.Now()
	n := int(math.Round(b.TokensAt(now) - level))
	if n < 0 {
		b.AllowN(now, n)
		return
	}
	for ; n > 0; n -= b.Burst() {
		b.ReserveN(now, min(n, b.Burst()))
	}
}

// bucket returns the bucket of k, with the share that this process has now.
func (l *Local) bucket(k Key, r Rule) *rate.Limiter {
	r = r.Share(l.live())
	b, ok := l.known.Get(k)
	if !ok {
		b = rate.NewLimiter(rate.Limit(r.Rate), r.Burst)
		if before, found, _ := l.known.PeekOrAdd(k, b); found {
			b = before
		}
	}
	if per := rate.Limit(r.Rate); b.Limit() != per {
		b.SetLimit(per)
	}
	if b.Burst() != r.Burst {
		b.SetBurst(r.Burst)
	}
	return b
}
