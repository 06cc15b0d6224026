package queue

// window is how many attempts one target may have in flight. It opens by one
// with every answer and closes by one with every sign of trouble, between 1 and
// the target's concurrency: a target that comes back with a long backlog
// waiting meets a few deliveries first, then twice as many, and so on.
type window struct {
	size     int
	inflight int
}

const firstWindow = 4

func newWindow() *window { return &window{size: firstWindow} }

// free returns how many more attempts may start now.
func (w *window) free(concurrency int) int {
	return max(min(w.size, concurrency)-w.inflight, 0)
}

func (w *window) end(h Health, concurrency int) {
	w.inflight--
	if h == Well {
		w.size = min(w.size+1, max(concurrency, 1))
	} else {
		w.size = max(w.size-1, 1)
	}
}
