package store

import (
	"cmp"
	"container/heap"
	"time"
)

// slot is the place of T among others that wait for a time.
type slot[T any] struct {
	of  T
	due time.Time
	key int64     // which comes first of those that are due at the same time
	in  *slots[T] // nil if it has no place
	at  int       // in it
}

// slots are in the order in which they fall due, as a heap.
type slots[T any] struct{ all []*slot[T] }

// put gives s its place, instead of the one that it has.
func (h *slots[T]) put(s *slot[T], due time.Time) {
	s.leave()
	s.due = due
	heap.Push(h, s)
}

func (s *slot[T]) leave() {
	if s.in != nil {
		heap.Remove(s.in, s.at)
	}
}

// first is what falls due first, nil if there is none.
func (h *slots[T]) first() *slot[T] {
	if len(h.all) == 0 {
		return nil
	}
	return h.all[0]
}

// Len implements [heap.Interface], as the others do.
func (h *slots[T]) Len() int { return len(h.all) }

// Less tells which is due longer.
func (h *slots[T]) Less(i, j int) bool {
	a, b := h.all[i], h.all[j]
	return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.key, b.key)) < 0
}

// Swap changes two places.
func (h *slots[T]) Swap(i, j int) {
	h.all[i], h.all[j] = h.all[j], h.all[i]
	h.all[i].at, h.all[j].at = i, j
}

// Push adds at the end.
func (h *slots[T]) Push(x any) {
	s := x.(*slot[T])
	s.in, s.at = h, len(h.all)
	h.all = append(h.all, s)
}

// Pop removes at the end.
func (h *slots[T]) Pop() any {
	last := len(h.all) - 1
	s := h.all[last]
	h.all[last] = nil
	h.all, s.in = h.all[:last], nil
	return s
}

// agenda is what may be claimed for one target, now or later.
type agenda[T any] struct{ ready, later slots[T] }

// take removes up to n of what is due, the longest due first, and returns it. next
// is when the first of what is not due yet falls due, zero if there is none.
func (a *agenda[T]) take(now time.Time, n int) (due []T, next time.Time) {
	for s := a.later.first(); s != nil && !s.due.After(now); s = a.later.first() {
		a.ready.put(s, s.due)
	}
	for s := a.ready.first(); s != nil && len(due) < n; s = a.ready.first() {
		s.leave()
		due = append(due, s.of)
	}
	if s := a.later.first(); s != nil {
		next = s.due
	}
	return due, next
}

// agendas are those of all targets.
type agendas[T any] map[string]*agenda[T]

// put has s fall due for a target.
func (all agendas[T]) put(target string, s *slot[T], due time.Time) {
	a := all[target]
	if a == nil {
		a = &agenda[T]{}
		all[target] = a
	}
	a.later.put(s, due)
}

// take removes of each target up to so many of what is due.
func (all agendas[T]) take(now time.Time, want map[string]int) (due []T, next time.Time) {
	for target, n := range want {
		a := all[target]
		if a == nil {
			continue
		}
		some, later := a.take(now, n)
		due = append(due, some...)
		if !later.IsZero() && (next.IsZero() || later.Before(next)) {
			next = later
		}
	}
	return due, next
}
