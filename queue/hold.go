package queue

import (
	"context"
	"sync/atomic"
	"time"
)

// margin is the part of a lease that this process does not use: the clocks of
// two machines differ in speed, and an interrupted attempt needs a moment to end.
const margin = 10

// usable returns when a lease ends for this process which it asked for at a
// time. The store may have begun to count later, never earlier.
func usable(asked time.Time, lease time.Duration) time.Time {
	return asked.Add(lease - lease/margin)
}

// hold is the context of one attempt. It ends with cause ErrStale when the lease
// ends, by this process' monotonic clock. A timer sees to that, and whoever looks
// at the context or derives one from it does too: in a process that was stopped
// and goes on, the timer may be late.
type hold struct {
	context.Context
	cancel context.CancelCauseFunc
	ends   atomic.Pointer[time.Time]
	timer  *time.Timer
}

func newHold(work context.Context, ends time.Time) *hold {
	h := new(hold)
	h.Context, h.cancel = context.WithCancelCause(work)
	h.ends.Store(&ends)
	h.timer = time.AfterFunc(time.Until(ends), func() { h.over() })
	return h
}

// over ends h if its time is over, and tells.
func (h *hold) over() bool {
	if time.Now().Before(*h.ends.Load()) {
		return false
	}
	h.cancel(ErrStale)
	return true
}

// extend moves the end of h. One that is over stays so.
func (h *hold) extend(ends time.Time) {
	if h.over() {
		return
	}
	h.ends.Store(&ends)
	h.timer.Reset(time.Until(ends))
}

// end frees what h holds.
func (h *hold) end() {
	h.timer.Stop()
	h.cancel(nil)
}

// Done implements [context.Context].
func (h *hold) Done() <-chan struct{} {
	h.over()
	return h.Context.Done()
}

// Err implements [context.Context].
func (h *hold) Err() error {
	h.over()
	return h.Context.Err()
}
