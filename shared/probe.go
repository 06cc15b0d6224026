package shared

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/postern-proxy/postern/policy/limit"
)

const (
	// again is how often Redis is tried while it does not answer. It is short so
	// that all replicas are back at about the same time: those that are not yet have
	// their share of a limit beside the limit itself.
	again  = 100 * time.Millisecond
	soon   = again / 4       // for the first time
	steady = 5 * time.Second // a Redis that did not answer for so long is given more time, up to rest
	rest   = time.Second
	brisk  = 2 // how many times as fast as a call would wait it has to answer to be used
)

var errSlow = errors.New("it does not answer in time")

// probe finds out whether Redis can be used: whether the script runs, and writes,
// fast enough.
func (r *Redis) probe() error {
	ctx, cancel := context.WithTimeout(context.Background(), dialing)
	defer cancel()
	rule := limit.Rule{Rate: 1000, Burst: 1000}
	args := arguments(rule, 0, 0, 0, []lot{{1, 0}})
	key := []string{r.opt.Prefix + ":probe"}
	_, err := r.client.EvalSha(ctx, r.sha, key, args...).Result()
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		_, err = r.client.Eval(ctx, script, key, args...).Result()
	}
	if err != nil {
		return trouble(err)
	}
	start := time.Now()
	v, err := r.client.EvalSha(ctx, r.sha, key, args...).Result()
	if err == nil {
		_, err = read(v, rule, 1)
	}
	if err == nil && time.Since(start) > r.opt.patience/brisk {
		err = errSlow
	}
	if err != nil {
		return trouble(err)
	}
	return nil
}

// turn begins to use Redis if err is nil, or stops. Nobody is left waiting.
func (r *Redis) turn(err error) {
	was := r.up.Load()
	if err == nil {
		r.why.Store(nil)
		r.since = time.Now()
	} else {
		r.why.Store(&err)
		if r.flaps++; time.Since(r.since) > steady {
			r.flaps = 0
		}
	}
	r.up.Store(err == nil)
	if err != nil {
		for _, b := range r.take(true) {
			b.mu.Lock()
			list := b.asking
			b.asking = nil
			b.mu.Unlock()
			b.fail(list, Down)
		}
		clear(r.holding)
	}
	if was != (err == nil) || r.first {
		r.first = false
		r.opt.State(err == nil, err)
	}
}

// recover waits until Redis can be used again. It returns false at the end. Each
// attempt is made with a new client: one that failed several times in a row dials
// once a second only.
func (r *Redis) recover() bool {
	for pause := min(soon<<min(r.flaps, 10), rest); ; pause = again {
		select {
		case <-r.closing:
			return false
		case <-time.After(pause):
		}
		client, err := newClient(r.opt.URL, r.opt.patience)
		if err == nil {
			_ = r.client.Close()
			r.client = client
			err = r.probe()
		}
		if err == nil {
			r.turn(nil)
			return true
		}
		r.why.Store(&err)
	}
}
