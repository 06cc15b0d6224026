package replica_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/replica"
)

// flaky fails the beats that fail names, counted from 1.
type flaky struct {
	*place
	beats int
	fail  func(beat int) bool
}

func (f *flaky) Beat(ctx context.Context, self replica.Replica, within time.Duration) ([]replica.Replica, error) {
	if f.beats++; f.fail(f.beats) {
		return nil, errDown
	}
	return f.place.Beat(ctx, self, within)
}

// TestRosterForgetsTheDeadOfAFlakySource: a source that fails now and then keeps
// no dead replica for ever, and loses no living one.
func TestRosterForgetsTheDeadOfAFlakySource(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(int) bool
		by   time.Duration // forgotten after
	}{
		"every third":   {func(n int) bool { return n%3 == 0 }, 20 * time.Second},
		"every other":   {func(n int) bool { return n%2 == 0 }, 26 * time.Second},
		"three of four": {func(n int) bool { return n%4 != 0 }, 42 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace()
				one := replica.NewRoster(replica.Self("one", ""), func(string, error) {}, nil, &flaky{place: p, fail: c.fail})
				two := replica.NewRoster(replica.Self("two", ""), func(string, error) {}, nil, p)
				stop, stopTwo := start(one.Run), start(two.Run)
				defer stop()
				defer stopTwo()
				for generation := range 20 {
					for i := range 5 {
						_, _ = p.Beat(t.Context(), replica.Self(fmt.Sprintf("dead%d", i), ""), time.Minute)
					}
					if time.Sleep(6*time.Second + time.Second/2); generation == 0 && c.by < 30*time.Second {
						is(t, "while they count", one, "dead0 dead1 dead2 dead3 dead4 one two")
					}
					time.Sleep(c.by - 6*time.Second)
					synctest.Wait()
					is(t, "when they are dead", one, "one two")
				}
			})
		})
	}
}

// TestRosterAwaitsTheOthersAfterAnOutage: those who come back later than this one
// were counted all the time.
func TestRosterAwaitsTheOthersAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		one := replica.NewRoster(replica.Self("one", ""), func(string, error) {}, nil, p)
		two := replica.Self("two", "")
		_, _ = p.Beat(t.Context(), two, time.Minute)
		defer start(one.Run)()
		time.Sleep(3 * time.Second)
		p.set(true, false)
		time.Sleep(time.Minute)
		p.set(false, false)
		time.Sleep(5 * time.Second) // two is late
		synctest.Wait()
		is(t, "before it is back", one, "one two")
		_, _ = p.Beat(t.Context(), two, time.Minute)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		is(t, "when it is back", one, "one two")
		time.Sleep(4 * time.Second)
		synctest.Wait()
		is(t, "when it is dead", one, "one")
	})
}
