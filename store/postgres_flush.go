package store

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Two flushers write at the same time: while one waits for the disk, the other
// takes what has come meanwhile. More of them, or a pause to gather more, make
// it slower: see BenchmarkPostgresInsert.
const flushers = 2

// change is what one caller wants written together with others.
type change[T any] struct {
	ctx  context.Context
	size int
	work T
	done chan error // gets exactly one value
}

// flusher makes one write of the changes of many callers.
type flusher[T any] struct {
	write func([]*change[T]) // answers every one of them
	queue chan *change[T]
	stop  chan struct{}
	ended chan struct{} // all of its goroutines have returned
}

func newFlusher[T any](n int, write func([]*change[T])) *flusher[T] {
	f := &flusher[T]{write: write, queue: make(chan *change[T], maxWaiting), stop: make(chan struct{}), ended: make(chan struct{})}
	var wg sync.WaitGroup
	for range n {
		wg.Go(f.run)
	}
	go func() { wg.Wait(); close(f.ended) }()
	return f
}

// do returns when the change is written or could not be. If ctx ends first it
// may be written all the same.
func (f *flusher[T]) do(ctx context.Context, size int, work T) error {
	c := &change[T]{ctx: ctx, size: size, work: work, done: make(chan error, 1)}
	select {
	case <-f.stop:
		return errClosed
	default:
	}
	select {
	case f.queue <- c:
	case <-ctx.Done():
		return fmt.Errorf("the store is busy: %w", ctx.Err())
	case <-f.ended:
		return errClosed
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the store is slow: %w", ctx.Err())
	case <-f.ended:
		select {
		case err := <-c.done:
			return err
		default:
			return errClosed
		}
	}
}

func (f *flusher[T]) run() {
	for {
		select {
		case first := <-f.queue:
			f.flush(first)
		case <-f.stop:
			for {
				select {
				case first := <-f.queue:
					f.flush(first)
				default:
					return
				}
			}
		}
	}
}

// flush writes what waits, without waiting for more.
func (f *flusher[T]) flush(first *change[T]) {
	var live []*change[T]
	for _, c := range f.drain(first) {
		if err := c.ctx.Err(); err != nil { // nobody waits for it any more
			c.done <- err
			continue
		}
		live = append(live, c)
	}
	if len(live) > 0 {
		f.write(live)
	}
}

func (f *flusher[T]) drain(first *change[T]) []*change[T] {
	batch, size := []*change[T]{first}, first.size
	for len(batch) < maxBatch && size < maxBatchSize {
		select {
		case c := <-f.queue:
			batch, size = append(batch, c), size+c.size
		default:
			return batch
		}
	}
	return batch
}

// close writes what waits and ends the flushers.
func (f *flusher[T]) close() {
	close(f.stop)
	<-f.ended
}

// patience says when to try again what failed for reasons that pass: sooner
// first, never longer than the longest-waiting caller does.
type patience struct {
	pause time.Duration
}

const (
	firstPause = 10 * time.Millisecond
	lastPause  = 250 * time.Millisecond
)

// wait pauses and drops the changes nobody waits for any more.
func wait[T any](p *patience, all []*change[T], cause error) (live []*change[T]) {
	p.pause = min(max(2*p.pause, firstPause), lastPause)
	time.Sleep(p.pause)
	for _, c := range all {
		if c.ctx.Err() != nil {
			c.done <- cause
			continue
		}
		live = append(live, c)
	}
	return live
}
