package block

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// What is known of short-lived values at most, the newest of them.
const (
	maxGuarded     = 16_384   // values
	maxGuardedSize = 32 << 20 // bytes of them all
)

// leastKnown is the length in bytes below which a value is not worth hiding: it
// would be found in every text.
const leastKnown = 4

// known are the values that must not be seen in what this program says: those
// of the configuration for as long as it runs, and the newest of those that come
// and go.
type known struct {
	mu       sync.Mutex
	lasting  map[string]bool
	passing  *simplelru.LRU[string, struct{}]
	size     int // of passing, in bytes
	most     int // that size may be
	watchers []watcher
}

type watcher struct{ learn, forget func(value string) }

func newKnown(values, size int) *known {
	k := &known{lasting: map[string]bool{}, most: size}
	k.passing, _ = simplelru.NewLRU(values, k.evicted) // fails only for less than one value
	return k
}

// Watch calls learn with every value that must not be seen, those known by now
// before it returns, and forget when one need not be looked for any more. Both
// are called one at a time, and must not call s.
func (s *Secrets) Watch(learn, forget func(value string)) {
	k := s.known
	k.mu.Lock()
	defer k.mu.Unlock()
	k.watchers = append(k.watchers, watcher{learn, forget})
	for v := range k.lasting {
		learn(v)
	}
	for _, v := range k.passing.Keys() {
		learn(v)
	}
}

// Guard makes values known that come and go, such as access tokens, before they
// are used. They must not be seen from now on, until 16,384 newer ones or 32 MiB
// of them have been guarded. Guarding one again makes it new.
func (s *Secrets) Guard(values ...string) {
	k := s.known
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, v := range values {
		if _, known := k.passing.Get(v); known || len(v) < leastKnown || k.lasting[v] {
			continue
		}
		k.passing.Add(v, struct{}{}) // may evict the oldest
		k.size += len(v)
		k.learn(v)
		for k.size > k.most && k.passing.Len() > 1 {
			k.passing.RemoveOldest()
		}
	}
}

// remember makes a value of the configuration known, for good.
func (k *known) remember(v string) {
	if len(v) < leastKnown {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lasting[v] {
		return
	}
	k.learn(v)
	k.passing.Remove(v) // is forgotten once: it was learned twice
	k.lasting[v] = true
}

// pass makes a value of the configuration one of those that come and go: there is
// a newer one.
func (k *known) pass(v string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.lasting[v] {
		return
	}
	delete(k.lasting, v)
	k.passing.Add(v, struct{}{}) // it stays learned once
	for k.size += len(v); k.size > k.most && k.passing.Len() > 1; {
		k.passing.RemoveOldest()
	}
}

// learn tells the watchers. Called with mu held.
func (k *known) learn(v string) {
	for _, w := range k.watchers {
		w.learn(v)
	}
}

// evicted is called with mu held, when a value that comes and goes has gone.
func (k *known) evicted(v string, _ struct{}) {
	k.size -= len(v)
	for _, w := range k.watchers {
		w.forget(v)
	}
}
