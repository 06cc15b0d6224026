// Package shared is what replicas have in common beside a store: limits that
// are one limit for all of them, and word of each other. It is kept in Redis,
// which may be slow, down or wiped at any time: nothing here is ever needed to
// make a call, and no lock, event or key is ever kept here.
//
// Read shared.go first, then config.go. Tokens of limits: bucket.go is what this
// process knows of one, request.go what it asks for, script.go how Redis counts,
// link.go the one goroutine
// that talks to it, probe.go what happens when it does not answer. members.go is
// about replicas, client.go about how little of go-redis is used.
package shared

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/redis/go-redis/v9"

	"github.com/postern-proxy/postern/policy/limit"
)

const (
	patience = 25 * time.Millisecond // a call waits for Redis at most so long
	keep     = 50 * time.Millisecond // a leased token that is not used by then goes back
	buckets  = 16_384                // that are remembered
)

// Options are what a Redis is used with. All of them are needed.
type Options struct {
	URL    string     // see [Config.Where]
	Prefix string     // of every key
	Live   func() int // how many replicas there are, this one included; called often
	// State is told when Redis begins to be used, and when it stops and why. It is
	// called by one goroutine.
	State func(up bool, why error)
	// FellBack is told of every token that came from this process instead of
	// Redis. It must not block.
	FellBack func(Reason)

	patience time.Duration // the constant of that name; longer in tests of what Redis is asked for
}

// Reason says why a token came from this process.
type Reason string

// Reasons to fall back: the call waited in vain, or Redis is known not to answer.
const (
	Slow Reason = "slow"
	Down Reason = "down"
)

// A Redis gives out tokens of limits that all replicas share ([limit.Source]).
// While Redis does not answer, it gives out this process's share of them.
type Redis struct {
	opt   Options
	beats *redis.Client // of members
	local *limit.Local
	known *lru.Cache[limit.Key, *bucket]
	up    atomic.Bool
	why   atomic.Pointer[error] // it is not up

	mu    sync.Mutex
	needy []*bucket // that the link has to look at

	sha     string        // of the script
	first   bool          // nobody was told of the state yet
	kick    chan struct{} // needy is not empty
	closing chan struct{}
	ended   chan struct{}

	// The link's own.
	client  *redis.Client
	holding map[*bucket]bool // those with tokens that may have to go back
	since   time.Time        // when Redis was last begun to be used
	flaps   int              // how often that did not last
}

// Open makes a Redis of o. It takes a quarter of a second at most, and succeeds
// if nothing answers. Close it.
func Open(o Options) (*Redis, error) {
	if o.patience == 0 {
		o.patience = patience
	}
	beats, err := newClient(o.URL, time.Second) // no call waits for it
	if err != nil {
		return nil, err
	}
	client, err := newClient(o.URL, o.patience)
	if err != nil {
		return nil, err
	}
	local, err := limit.NewLocal(o.Live)
	if err != nil {
		return nil, err
	}
	known, err := lru.New[limit.Key, *bucket](buckets)
	if err != nil {
		return nil, fmt.Errorf("make the limits' memory: %w", err)
	}
	r := &Redis{
		opt: o, beats: beats, client: client, local: local, known: known,
		kick: make(chan struct{}, 1), closing: make(chan struct{}), ended: make(chan struct{}), holding: map[*bucket]bool{}, sha: scriptSHA(), first: true,
	}
	r.turn(r.probe())
	go r.run()
	return r, nil
}

// Close gives back what is leased and ends the connection. Tokens may be asked
// for all the same; they are this process's share.
func (r *Redis) Close() error {
	close(r.closing)
	<-r.ended
	return errors.Join(r.client.Close(), r.beats.Close())
}

// State is nil while limits are shared, else why they are not.
func (r *Redis) State() error {
	if why := r.why.Load(); why != nil {
		return *why
	}
	return nil
}

// Reserve implements [limit.Source].
func (r *Redis) Reserve(k limit.Key, rule limit.Rule, within time.Duration) limit.Place {
	b := r.bucket(k)
	if !r.up.Load() {
		return r.fallBack(b, rule, within, Down)
	}
	live := r.opt.Live()
	b.mu.Lock()
	now := time.Now()
	if b.alone {
		b.rejoin(now, r.local.Level(k, b.rule)*float64(live))
	}
	p, w, ask := b.reserve(now, rule, live, within)
	b.mu.Unlock()
	if ask {
		r.ask(b)
	}
	if w != nil {
		a := w.await(b, r.opt.patience)
		if a.failed {
			return r.fallBack(b, rule, within, a.why)
		}
		p = a.slot
	}
	return r.place(b, p)
}

// place is what the caller sees of a slot.
func (r *Redis) place(b *bucket, s slot) limit.Place {
	p := limit.Place{OK: s.ok, Wait: max(0, time.Until(s.at)), Left: s.left}
	if s.ok {
		p.Back = func() {
			b.mu.Lock()
			b.put(time.Now(), s.at, 1)
			b.mu.Unlock()
			r.ask(b)
		}
	}
	return p
}

// fallBack takes from this process's share. The first time it is given what is
// known to be left of the whole: going from one to the other is no new burst.
func (r *Redis) fallBack(b *bucket, rule limit.Rule, within time.Duration, why Reason) limit.Place {
	b.mu.Lock()
	if !b.alone {
		live := r.opt.Live()
		now := time.Now()
		b.follow(now, rule, live)
		b.alone, b.free, b.have, b.owed = true, nil, 0, 0
		if b.known.born != 0 {
			r.local.Settle(b.id, rule, b.level(now)/float64(max(1, live)))
		}
	}
	b.rule = rule
	b.mu.Unlock()
	r.opt.FellBack(why)
	return r.local.Reserve(b.id, rule, within)
}

func (r *Redis) bucket(k limit.Key) *bucket {
	if b, ok := r.known.Get(k); ok {
		return b
	}
	b := newBucket(k, r.opt.Prefix)
	if before, found, _ := r.known.PeekOrAdd(k, b); found {
		return before
	}
	return b
}
