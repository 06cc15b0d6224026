package main

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// op makes call n and checks its answer; one worker uses it, one call at a time. After an error it must be usable again.
type op func(n uint64) error

// calls numbers every call of the run, so that no answer and no event id fits two of them.
var calls atomic.Uint64

// driven is what one share of a round did.
type driven struct {
	done    int // calls answered rightly
	failed  int
	first   error // the first failure
	elapsed time.Duration
	took    []time.Duration // sorted, one per call done
}

// tooMany failures end a worker.
const tooMany = 20

// drive runs every op in a worker of its own for length and lets the calls under way finish.
func drive(ops []op, length time.Duration) driven {
	var group sync.WaitGroup
	parts := make([]driven, len(ops))
	start := time.Now()
	for at, call := range ops {
		group.Go(func() { parts[at] = work(call, start, length) })
	}
	group.Wait()
	all := driven{elapsed: time.Since(start)}
	for _, part := range parts {
		all.done += part.done
		all.failed += part.failed
		if all.first == nil {
			all.first = part.first
		}
		all.took = append(all.took, part.took...)
	}
	slices.Sort(all.took)
	return all
}

func work(call op, start time.Time, length time.Duration) driven {
	out := driven{took: make([]time.Duration, 0, 4096)}
	for began := start; began.Sub(start) < length; {
		err := call(calls.Add(1))
		now := time.Now()
		if err != nil {
			out.failed++
			out.first = cmp.Or(out.first, err)
			if out.failed == tooMany {
				break
			}
		} else {
			out.done++
			out.took = append(out.took, now.Sub(began))
		}
		began = now
	}
	return out
}

// kept is a client that holds a connection, and replaces it after a failure.
type kept[C interface{ call(uint64) error }] struct {
	dial  func() (C, error)
	close func(C)
	held  C
	open  bool
}

func (k *kept[C]) call(n uint64) error {
	if !k.open {
		held, err := k.dial()
		if err != nil {
			return err
		}
		k.held, k.open = held, true
	}
	err := k.held.call(n)
	if err != nil {
		k.shut()
	}
	return err
}

func (k *kept[C]) shut() {
	if k.open {
		k.close(k.held)
		k.open = false
	}
}

// openAll makes n clients by dial and one unmeasured call with each, so that a measured call finds everything warm.
func openAll[C interface{ call(uint64) error }](n int, dial func() (C, error), shut func(C)) (ops []op, end func(), err error) {
	clients := make([]*kept[C], n)
	errs := make([]error, n)
	var group sync.WaitGroup
	for at := range clients {
		k := &kept[C]{dial: dial, close: shut}
		clients[at], ops = k, append(ops, k.call)
		group.Go(func() { errs[at] = k.call(calls.Add(1)) })
	}
	group.Wait()
	end = func() {
		for _, k := range clients {
			k.shut()
		}
	}
	if err := errors.Join(errs...); err != nil {
		end()
		return nil, nil, err
	}
	return ops, end, nil
}
