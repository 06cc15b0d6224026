package replica_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/replica"
)

const span = 15 * time.Second

// stint is one replica's time as the one that works.
type stint struct {
	who      string
	from, to time.Duration
	cause    error
}

// office is a place whose work is watched.
type office struct {
	*place
	*log
	start  time.Time
	busy   int
	stints []stint
}

func newOffice() *office { return &office{place: newPlace(), log: &log{}, start: time.Now()} }

// past returns the stints so far.
func (o *office) past() []stint {
	synctest.Wait()
	o.place.mu.Lock()
	defer o.place.mu.Unlock()
	return slices.Clone(o.stints)
}

// run has a replica take part.
func (o *office) run(t *testing.T, who string) (stop func()) {
	s := replica.Singleton{Leases: o.place, Name: "work", Holder: who, Lease: span, Trouble: o.trouble}
	return start(func(ctx context.Context) {
		s.Run(ctx, func(ctx context.Context) {
			o.place.mu.Lock()
			if o.busy++; o.busy > 1 {
				t.Errorf("%d work at once after %v", o.busy, time.Since(o.start))
			}
			n := len(o.stints)
			o.stints = append(o.stints, stint{who: who, from: time.Since(o.start)})
			o.place.mu.Unlock()
			<-ctx.Done()
			o.place.mu.Lock()
			defer o.place.mu.Unlock()
			o.busy--
			o.stints[n].to, o.stints[n].cause = time.Since(o.start), context.Cause(ctx)
		})
	})
}

func TestSingletonByNature(t *testing.T) {
	ran := false
	replica.Singleton{}.Run(t.Context(), func(context.Context) { ran = true })
	if !ran {
		t.Error("did not run")
	}
}

// TestSingletonYields: one works; when it is shut down another goes on soon.
func TestSingletonYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		one := o.run(t, "one")
		time.Sleep(time.Second)
		two := o.run(t, "two")
		time.Sleep(time.Hour)
		one()
		time.Sleep(span)
		two()
		if len(o.past()) != 2 || o.past()[0].who != "one" || !errors.Is(o.past()[0].cause, context.Canceled) || o.past()[1].from-o.past()[0].to > span/3 {
			t.Errorf("%+v", o.past())
		}
		if len(o.leases) != 0 {
			t.Errorf("kept at shutdown: %v", o.leases)
		}
		o.is(t)
	})
}

// TestSingletonTakeover: when the one that works dies, another does soon after the
// lease.
func TestSingletonTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		if held, _, _ := o.Hold(t.Context(), "work", "dead", span); !held {
			t.Fatal("not held")
		}
		one := o.run(t, "one")
		time.Sleep(2 * span)
		one()
		if len(o.past()) != 1 || o.past()[0].from < span || o.past()[0].from > span+span/4 {
			t.Errorf("taken over %+v, want soon after %v", o.past(), span)
		}
	})
}

// TestSingletonCutOff: one that cannot renew stops before another can begin.
func TestSingletonCutOff(t *testing.T) {
	for name, hang := range map[string]bool{"refused": false, "hangs": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOffice()
				one := o.run(t, "one")
				time.Sleep(time.Minute)
				o.set(!hang, hang)
				time.Sleep(time.Hour)
				if len(o.past()) != 1 || !errors.Is(o.past()[0].cause, replica.ErrLost) {
					t.Fatalf("%+v", o.past())
				}
				if over := o.start.Add(o.past()[0].to); !over.Before(o.leases["work"].until) {
					t.Errorf("worked until %v, the lease ended at %v", over, o.leases["work"].until)
				}
				o.set(false, false)
				time.Sleep(span)
				one()
				if len(o.past()) != 2 {
					t.Errorf("not begun again: %+v", o.past())
				}
				if len(o.lines) != 1 {
					t.Errorf("one outage was told as %q", o.lines)
				}
			})
		})
	}
}

// TestSingletonRobbed: one whose lease was given to another stops at its next
// renewal, and may work again later.
func TestSingletonRobbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		one := o.run(t, "one")
		time.Sleep(time.Minute)
		o.place.mu.Lock()
		o.leases["work"] = leased{"two", time.Now().Add(span)}
		o.place.mu.Unlock()
		time.Sleep(span / 3)
		synctest.Wait()
		if len(o.past()) != 1 || !errors.Is(o.past()[0].cause, replica.ErrLost) {
			t.Errorf("%+v", o.past())
		}
		time.Sleep(2 * span)
		one()
		if len(o.past()) != 2 {
			t.Errorf("not begun again: %+v", o.past())
		}
		o.is(t)
	})
}

// TestSingletonBeginsAgain: work that returns is begun again, at the pace of the
// renewals.
func TestSingletonBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, runs := newPlace(), 0
		stop := start(func(ctx context.Context) {
			replica.Singleton{Leases: p, Name: "work", Holder: "one", Lease: span}.Run(ctx, func(context.Context) { runs++ })
		})
		time.Sleep(time.Minute)
		stop()
		if runs < 6 || runs > 13 {
			t.Errorf("ran %d times in a minute", runs)
		}
	})
}

// late answers after the lease that it grants.
type late struct{ *place }

func (l late) Hold(ctx context.Context, name, holder string, lease time.Duration) (bool, time.Time, error) {
	held, until, err := l.place.Hold(ctx, name, holder, lease)
	time.Sleep(lease)
	return held, until, err
}

func TestSingletonDoesNotBeginTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := start(func(ctx context.Context) {
			replica.Singleton{Leases: late{newPlace()}, Name: "work", Holder: "one", Lease: span}.Run(ctx, func(context.Context) { t.Error("began") })
		})
		time.Sleep(time.Minute)
		stop()
	})
}
