package telemetry

import (
	"maps"
	"sync"
	"sync/atomic"
)

// handles finds metrics by their labels without allocating and without a lock,
// once they are made. There are as many as the configuration has names, so that
// copying all of them for a new one is cheap.
type handles[K comparable, V any] struct {
	known atomic.Pointer[map[K]V]
	mu    sync.Mutex
	make  func(K) V
}

func newHandles[K comparable, V any](make func(K) V) *handles[K, V] {
	h := &handles[K, V]{make: make}
	h.known.Store(&map[K]V{})
	return h
}

func (h *handles[K, V]) get(k K) V {
	if v, ok := (*h.known.Load())[k]; ok {
		return v
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	old := *h.known.Load()
	if v, ok := old[k]; ok {
		return v
	}
	v := h.make(k)
	next := maps.Clone(old)
	next[k] = v
	h.known.Store(&next)
	return v
}
