package shared

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"github.com/postern-proxy/postern/policy/limit"
)

const (
	ahead = 50 * time.Millisecond // tokens are leased for what is likely to be used in this time
	fresh = 20 * time.Millisecond // so long is it believed that a bucket is empty, without asking again
	lots  = 128                   // wishes of different patience in one request
)

// A bucket is what this process knows of one that is kept in Redis: the tokens
// that it has leased, in the order of their time, and who waits for one.
type bucket struct {
	id  limit.Key
	key string // in Redis

	queued bool // of Redis.needy, under its lock

	mu     sync.Mutex
	rule   limit.Rule
	most   int    // tokens to have in store
	free   []span // in the order of their time
	have   int    // tokens of free
	asking []*wish
	owed   int    // tokens to give back
	alone  bool   // tokens came from this process since known
	known  known  // of the whole
	used   demand // by this process
}

// known is what Redis said last.
type known struct {
	at   time.Time // by our clock, when it came
	born int64     // 0 is never
	rule limit.Rule
	tat  time.Duration // from at
}

// A span is n tokens that may be used from at on.
type span struct {
	at time.Time
	n  int
}

// A slot is the answer to one wish.
type slot struct {
	ok   bool
	at   time.Time // when the token may be used or, if there is none, when there will be one
	left float64
}

// A wish waits for Redis.
type wish struct {
	within time.Duration
	done   chan answer // takes one
	gone   bool        // nobody waits any more; under the bucket's lock
}

type answer struct {
	slot
	failed bool
	why    Reason
}

func newBucket(k limit.Key, prefix string) *bucket {
	name := prefix + ":limit:" + k.Provider + ":" + k.Name
	if k.Route != "" || k.By != "" { // what requests bring may be secret, and long
		sum := sha256.Sum256([]byte(k.Route + "\x00" + k.By))
		name += ":" + hex.EncodeToString(sum[:16])
	}
	return &bucket{id: k, key: name}
}

// await waits for the answer, as long as a call may wait for Redis.
func (w *wish) await(b *bucket, patience time.Duration) answer {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case a := <-w.done:
		return a
	case <-t.C:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case a := <-w.done:
		return a
	default:
		w.gone = true
		return answer{failed: true, why: Slow}
	}
}

// follow makes rule the one that holds. Leased tokens of another go back.
func (b *bucket) follow(now time.Time, rule limit.Rule, live int) {
	share := float64(rule.Burst) / float64(2*max(1, live)) // all replicas together have half a burst in store
	b.most = int(min(share, rule.Rate*ahead.Seconds()))
	if b.rule == rule {
		return
	}
	b.expire(now)
	b.owed += b.have
	b.rule, b.free, b.have = rule, nil, 0
}

// reserve gives out a leased token, or makes a wish to be sent. ask says that
// the link has something to do.
func (b *bucket) reserve(now time.Time, rule limit.Rule, live int, within time.Duration) (s slot, w *wish, ask bool) {
	b.follow(now, rule, live)
	b.expire(now)
	if len(b.free) > 0 {
		s = slot{at: b.free[0].at, left: b.level(now) + float64(b.have)}
		if s.at.Sub(now) > within {
			return s, nil, false
		}
		s.ok, s.left = true, s.left-1
		b.pop()
		b.used.add(now, 1)
		return s, nil, b.wanted(now) > 0
	}
	if b.known.born > 0 && b.known.rule == rule && now.Sub(b.known.at) < fresh {
		if next := b.next(now); next.Sub(now) > within {
			return slot{at: next, left: b.level(now)}, nil, false
		}
	}
	b.used.add(now, 1)
	w = &wish{within: within, done: make(chan answer, 1)}
	b.asking = append(b.asking, w)
	return s, w, true
}

// pop removes the first leased token.
func (b *bucket) pop() {
	b.have--
	if b.free[0].n--; b.free[0].n == 0 {
		b.free = b.free[1:]
	}
}

// put takes n tokens in store, which may be used from at on.
func (b *bucket) put(now, at time.Time, n int) {
	if n == 0 {
		return
	}
	if at.Before(now) {
		at = now
	}
	i, _ := slices.BinarySearchFunc(b.free, at, func(s span, at time.Time) int { return s.at.Compare(at) })
	b.free = slices.Insert(b.free, i, span{at, n})
	b.have += n
}

// expire takes away what was not used in time, to be given back. What could not
// be looked at for long, because the process stood still, is lost: the bucket may
// have been full since.
func (b *bucket) expire(now time.Time) {
	for len(b.free) > 0 {
		late := now.Sub(b.free[0].at) - keep
		if late <= 0 {
			return
		}
		b.pop()
		if late < 10*keep {
			b.owed++
		}
	}
}

// level is how many tokens are left of the whole, as far as is known; below zero
// is a queue.
func (b *bucket) level(now time.Time) float64 {
	if b.known.born == 0 {
		return float64(b.rule.Burst)
	}
	debt := max(0, b.known.tat-now.Sub(b.known.at))
	left := float64(b.known.rule.Burst) - float64(debt)/float64(b.known.rule.Every())
	return min(float64(b.rule.Burst), left)
}

// debt is how far away the moment is at which the bucket is full.
func (b *bucket) debt(now time.Time) time.Duration {
	return times(b.rule.Every(), float64(b.rule.Burst)-b.level(now))
}

// next is when there will be a token, as far as is known.
func (b *bucket) next(now time.Time) time.Time {
	return now.Add(times(b.rule.Every(), max(0, 1-b.level(now))))
}

// wanted is how many tokens are worth asking for beyond what anyone waits for:
// what is likely to be used soon, if there may be as many. Tokens of the future
// are for those who wait: a replica that leased them would leave none to others.
func (b *bucket) wanted(now time.Time) int {
	likely := min(b.most, b.used.expected(now))
	if likely < 2 || 2*b.have > likely {
		return 0
	}
	n := likely - b.have
	if b.known.born > 0 && b.level(now) < float64(max(1, n/4)) {
		return 0
	}
	return n
}

// rejoin makes what this process gave out alone known to Redis with the next
// request: level is what is left of the whole by its own count.
func (b *bucket) rejoin(now time.Time, level float64) {
	b.alone = false
	debt := times(b.rule.Every(), max(0, float64(b.rule.Burst)-level))
	b.known = known{at: now, born: -1, rule: b.rule, tat: debt}
}

// fail answers everybody who waits.
func (b *bucket) fail(list []*wish, why Reason) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range list {
		w.done <- answer{failed: true, why: why}
	}
}

// demand counts what is used, in windows of the length ahead.
type demand struct {
	since       time.Time
	now, before int
}

func (d *demand) turn(t time.Time) {
	switch age := t.Sub(d.since); {
	case age >= 2*ahead:
		d.since, d.now, d.before = t, 0, 0
	case age >= ahead:
		d.since, d.now, d.before = d.since.Add(ahead), 0, d.now
	}
}

func (d *demand) add(t time.Time, n int) { d.turn(t); d.now += n }

// expected is how many are likely to be used within the next window.
func (d *demand) expected(t time.Time) int { d.turn(t); return max(d.now, d.before) }
