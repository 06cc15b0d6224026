package shared

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	sweep    = keep / 2 // how often leased tokens are looked at
	idle     = time.Second
	together = 256 // buckets in one round trip
)

// ask has the link look at a bucket.
func (r *Redis) ask(b *bucket) {
	r.mu.Lock()
	if !b.queued {
		b.queued = true
		r.needy = append(r.needy, b)
	}
	r.mu.Unlock()
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// run is the link: the one goroutine that talks to Redis about limits. While a
// request is under way, wishes gather for the next one.
func (r *Redis) run() {
	defer close(r.ended)
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		if !r.up.Load() && !r.recover() {
			return
		}
		wait := idle
		if len(r.holding) > 0 {
			wait = sweep
		}
		timer.Reset(wait)
		var err error
		select {
		case <-r.closing:
			r.leave()
			return
		case <-r.kick:
			_, err = r.round(false)
		case <-timer.C:
			var spoke bool
			if spoke, err = r.round(true); !spoke && err == nil && wait == idle {
				err = r.probe()
			}
		}
		if err != nil {
			r.turn(err)
		}
	}
}

// round makes one round trip, if there is anything to say. all looks at every
// bucket that has tokens in store.
func (r *Redis) round(all bool) (spoke bool, err error) {
	now := time.Now()
	var list []*request
	for _, b := range r.take(all) {
		q, holds, more := b.request(now)
		if q != nil {
			list = append(list, q)
		}
		if holds {
			r.holding[b] = true
		} else {
			delete(r.holding, b)
		}
		if more {
			r.ask(b)
		}
	}
	for len(list) > 0 {
		part := list[:min(len(list), together)]
		list = list[len(part):]
		if err = r.exchange(part); err != nil {
			for _, q := range list {
				q.b.fail(q.wishes, Down)
			}
			return true, err
		}
		for _, q := range part {
			r.holding[q.b] = true
		}
		spoke = true
	}
	return spoke, nil
}

// take takes what has to be looked at.
func (r *Redis) take(all bool) []*bucket {
	r.mu.Lock()
	list := r.needy
	r.needy = nil
	for _, b := range list {
		b.queued = false
	}
	r.mu.Unlock()
	if all {
		for _, b := range list {
			delete(r.holding, b)
		}
		for b := range r.holding {
			list = append(list, b)
		}
	}
	return list
}

// exchange asks Redis, in one round trip, and hands out what it grants. Whatever
// happens, every wish is answered. Tokens that go back are lost if it fails: they
// may have arrived.
func (r *Redis) exchange(list []*request) error {
	ctx, cancel := context.WithTimeout(context.Background(), r.opt.patience)
	defer cancel()
	replies, err := r.call(ctx, list)
	now := time.Now()
	for i, q := range list {
		var g grant
		var failed error
		if replies != nil {
			v, e := replies[i].Result()
			if failed = e; e == nil {
				g, failed = read(v, q.rule, len(q.lots))
			}
		} else {
			failed = err
		}
		if failed == nil {
			q.settle(now, g)
			continue
		}
		q.b.fail(q.wishes, Slow)
		if !foreign(failed) {
			err = failed
		}
	}
	if err == nil || foreign(err) {
		return nil
	}
	return trouble(err)
}

// trouble says what is wrong with Redis.
func trouble(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		err = errSlow
	}
	return fmt.Errorf("asking Redis: %w", err)
}

// call sends all requests at once: one call of the script for each key, so that
// keys may live in different places. A Redis that does not know the script is
// given it.
func (r *Redis) call(ctx context.Context, list []*request) ([]*redis.Cmd, error) {
	send := func(known bool) (cmds []*redis.Cmd, err error) {
		pipe := r.client.Pipeline()
		for _, q := range list {
			args := arguments(q.rule, q.born, q.debt, q.back, q.lots)
			if known {
				cmds = append(cmds, pipe.EvalSha(ctx, r.sha, []string{q.b.key}, args...))
			} else {
				cmds = append(cmds, pipe.Eval(ctx, script, []string{q.b.key}, args...))
			}
		}
		_, err = pipe.Exec(ctx)
		return cmds, err
	}
	cmds, err := send(true)
	if redis.HasErrorPrefix(err, "NOSCRIPT") { // then none of them ran
		return send(false)
	}
	return cmds, err
}

// foreign reports whether a key is somebody else's. That is about this key, not
// about Redis.
func foreign(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "WRONGTYPE") }

// leave gives back what is leased.
func (r *Redis) leave() {
	r.up.Store(false)
	var list []*request
	for _, b := range r.take(true) {
		b.mu.Lock()
		b.owed += b.have
		b.free, b.have = nil, 0
		b.used = demand{}
		b.mu.Unlock()
		if q, _, _ := b.request(time.Now()); q != nil {
			list = append(list, q)
		}
	}
	if len(list) > 0 {
		_ = r.exchange(list) // else it is lost until the bucket fills
	}
}
