package replica

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// ErrLost is the cause of the end of work whose lease has passed on.
var ErrLost = errors.New("another replica does this now")

// A Singleton is work that one replica does for all.
type Singleton struct {
	Leases Leases // nil where this process is the only one by nature
	Name   string
	Holder string // Replica.ID
	// Lease is how long a replica that died keeps the work from the others; they
	// ask a few times in that time.
	Lease time.Duration
	// Trouble is told of the first failure of several in a row.
	Trouble func(doing string, err error)
}

// Run does work whenever this replica holds the lease, until ctx ends. The
// context of work ends with cause ErrLost before another replica can have the
// lease; work then has to return at once. If it returns on its own, it is begun
// again with the next renewal.
func (s Singleton) Run(ctx context.Context, work func(context.Context)) {
	if s.Leases == nil {
		work(ctx)
		return
	}
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = s.Leases.Yield(last, s.Name, s.Holder) // else it runs out
	}()
	c := candidate{Singleton: s}
	for ctx.Err() == nil {
		if held, ends := c.hold(ctx); held && time.Now().Before(ends) {
			c.lead(ctx, ends, work)
			continue
		}
		sleep(ctx, s.Lease/6+rand.N(s.Lease/12+1))
	}
}

// candidate is a Singleton that runs.
type candidate struct {
	Singleton
	failing bool
}

// hold asks for the lease and returns when it ends for this process: a tenth
// early, so that work has time to return.
func (c *candidate) hold(ctx context.Context) (held bool, ends time.Time) {
	within, cancel := context.WithTimeout(ctx, c.Lease/3)
	defer cancel()
	held, until, err := c.Leases.Hold(within, c.Name, c.Holder, c.Lease)
	if err != nil && !c.failing && ctx.Err() == nil {
		c.Trouble("holding the lease of "+c.Name, err)
	}
	c.failing = err != nil
	return held && err == nil, until.Add(-c.Lease / 10)
}

// lead works until the lease is lost or ctx ends, and renews meanwhile.
func (c *candidate) lead(ctx context.Context, ends time.Time, work func(context.Context)) {
	t := newTenure(ctx, ends)
	done := make(chan struct{})
	go func() { defer close(done); work(t) }()
	defer func() { t.stop(nil); <-done; t.timer.Stop() }()
	for {
		sleep(t, c.Lease/3)
		if t.Err() != nil {
			return
		}
		held, renewed := c.hold(ctx)
		switch {
		case held:
			t.extend(renewed)
		case !c.failing:
			t.stop(ErrLost)
			return
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
