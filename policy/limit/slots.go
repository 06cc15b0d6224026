package limit

import "sync"

// slots counts the calls in flight of limits of concurrency.
type slots struct {
	mu   sync.Mutex
	used map[Key]int
}

// take takes one of n slots.
func (s *slots) take(k Key, n int) (ok bool, left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := s.used[k]
	if used >= n {
		return false, n - used
	}
	s.used[k] = used + 1
	return true, n - used - 1
}

// occupy takes one more than there are, for a call that is only observed.
func (s *slots) occupy(k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used[k]++
}

func (s *slots) free(k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used[k]--; s.used[k] <= 0 {
		delete(s.used, k)
	}
}
