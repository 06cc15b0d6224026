package keys

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
)

// What is remembered at most. Names that failed are apart, so that a flood of them
// pushes out nothing good.
const (
	maxGood   = 256
	maxFailed = 1024
)

// kept remembers values by name.
type kept[T any] struct {
	mu     sync.Mutex
	good   *lru.Cache[string, value[T]]
	failed *lru.Cache[string, failure]
	flight singleflight.Group
}

// value is what a source said last.
type value[T any] struct {
	v           T
	at          time.Time // when it was asked
	until, dead time.Time // when it is to be asked again; when the value is used no longer
}

// good reports whether the source need not be asked.
func (v *value[T]) good(newer time.Time) bool {
	return time.Now().Before(v.until) && !v.at.Before(newer)
}

// failure is why a source said nothing.
type failure struct {
	err  error
	next time.Time // when it may be asked again
}

func newKept[T any]() *kept[T] {
	good, _ := lru.New[string, value[T]](maxGood)
	failed, _ := lru.New[string, failure](maxFailed)
	return &kept[T]{good: good, failed: failed}
}

// look is what is remembered of name.
func (k *kept[T]) look(name string) (v value[T], has bool, f failure) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	v, has = k.good.Get(name)
	has = has && now.Before(v.dead)
	if f, _ = k.failed.Get(name); now.After(f.next) {
		f = failure{}
	}
	return v, has, f
}

// knows reports whether the source has had name, however long ago: then it is no
// stranger who asks.
func (k *kept[T]) knows(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.good.Contains(name)
}

// get returns the value of name. A value older than newer is asked for again, at
// most once a minute. While the source fails, the last good value is given. fetch
// runs once at a time for each name, and for nobody's context alone.
func (k *kept[T]) get(ctx context.Context, name string, newer time.Time, fetch func(context.Context) (T, time.Duration, error)) (value[T], error) {
	old, has, f := k.look(name)
	if has && old.good(newer) {
		return old, nil
	}
	if f.err != nil {
		if has {
			return old, nil
		}
		return old, f.err
	}
	done := k.flight.DoChan(name, func() (any, error) { return k.fetch(context.WithoutCancel(ctx), name, newer, fetch) })
	var late <-chan time.Time
	if has {
		t := time.NewTimer(patience)
		defer t.Stop()
		late = t.C
	}
	select {
	case r := <-done:
		if r.Err == nil {
			return r.Val.(value[T]), nil
		}
		if has {
			return old, nil
		}
		return old, r.Err
	case <-late:
		return old, nil
	case <-ctx.Done():
		return old, fmt.Errorf("the keys of the provider are not there yet: %w", ctx.Err())
	}
}

// fetch asks the source, unless somebody has done so in the meantime.
func (k *kept[T]) fetch(ctx context.Context, name string, newer time.Time, fetch func(context.Context) (T, time.Duration, error)) (any, error) {
	if v, has, f := k.look(name); has && v.good(newer) {
		return v, nil
	} else if f.err != nil {
		return nil, f.err
	}
	at := time.Now()
	v, life, err := fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if errors.Is(err, errBusy) { // that says nothing of the source
		return nil, err
	}
	if err != nil {
		k.failed.Add(name, failure{err, time.Now().Add(again)})
		return nil, err
	}
	k.failed.Remove(name)
	now := value[T]{v: v, at: at, until: at.Add(life), dead: at.Add(life + grace)}
	k.good.Add(name, now)
	return now, nil
}
