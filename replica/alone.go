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
	Leases  Leases // nil where this process is the only one by nature
	Name    string
	Holder  string        // Replica.ID
	Lease   time.Duration // how long the others wait for one that died
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
	for ctx.Err() == nil {
		held, until, err := s.hold(ctx)
		if err != nil && ctx.Err() == nil {
			s.Trouble("taking the lease of "+s.Name, err)
		}
		if held {
			s.lead(ctx, until, work)
			continue
		}
		sleep(ctx, s.Lease/3+rand.N(s.Lease/6+1))
	}
}

func (s Singleton) hold(ctx context.Context) (bool, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Lease/3)
	defer cancel()
	return s.Leases.Hold(ctx, s.Name, s.Holder, s.Lease)
}

// lead works until the lease is lost or ctx ends, and renews meanwhile.
func (s Singleton) lead(ctx context.Context, until time.Time, work func(context.Context)) {
	working, stop := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() { defer close(done); work(working) }()
	defer func() { stop(nil); <-done }()
	end := time.AfterFunc(time.Until(until), func() { stop(ErrLost) })
	defer end.Stop()
	for {
		sleep(working, s.Lease/3)
		if working.Err() != nil {
			return
		}
		held, renewed, err := s.hold(ctx)
		switch {
		case err != nil:
			if ctx.Err() == nil {
				s.Trouble("renewing the lease of "+s.Name, err)
			}
		case !held:
			stop(ErrLost)
			return
		default:
			end.Reset(time.Until(renewed))
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
