package replica

import (
	"context"
	"sync/atomic"
	"time"
)

// tenure is the context of work that is done under a lease. It ends with cause
// ErrLost when the lease does, by this process' monotonic clock. Whoever looks at
// it or derives a context from it finds that, even if the timer is late because
// the process was stopped.
type tenure struct {
	context.Context
	stop  context.CancelCauseFunc
	ends  atomic.Pointer[time.Time]
	timer *time.Timer
}

func newTenure(ctx context.Context, ends time.Time) *tenure {
	t := new(tenure)
	t.Context, t.stop = context.WithCancelCause(ctx)
	t.ends.Store(&ends)
	t.timer = time.AfterFunc(time.Until(ends), func() { t.over() })
	return t
}

// over ends t if its time is over, and tells.
func (t *tenure) over() bool {
	if time.Now().Before(*t.ends.Load()) {
		return false
	}
	t.stop(ErrLost)
	return true
}

// extend moves the end of t. One that is over stays so.
func (t *tenure) extend(ends time.Time) {
	if t.over() {
		return
	}
	t.ends.Store(&ends)
	t.timer.Reset(time.Until(ends))
}

// Done implements [context.Context].
func (t *tenure) Done() <-chan struct{} {
	t.over()
	return t.Context.Done()
}

// Err implements [context.Context].
func (t *tenure) Err() error {
	t.over()
	return t.Context.Err()
}
