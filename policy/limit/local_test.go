package limit

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// passes counts how many of n wishes are granted at once.
func passes(s Source, k Key, r Rule, n int) (passed int) {
	for range n {
		if s.Reserve(k, r, 0).OK {
			passed++
		}
	}
	return passed
}

// TestLocalDivides: each of several replicas has its share, from the moment on
// at which they are known.
func TestLocalDivides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		live := 1
		l, err := NewLocal(func() int { return live })
		if err != nil {
			t.Fatal(err)
		}
		k, r := Key{Provider: "p", Name: "l"}, Rule{Rate: 100, Burst: 100}
		for _, step := range []struct{ live, burst, rate int }{{1, 100, 100}, {4, 25, 25}, {3, 33, 33}, {200, 1, 0}, {1, 100, 100}} {
			live = step.live
			l.Level(k, r) // follows the rule
			time.Sleep(time.Hour)
			if got := passes(l, k, r, 300); got != step.burst {
				t.Errorf("%d replicas: a burst of %d, want %d", step.live, got, step.burst)
			}
			time.Sleep(time.Second)
			if got := passes(l, k, r, 300); got != step.rate {
				t.Errorf("%d replicas: %d in a second, want %d", step.live, got, step.rate)
			}
		}
		live = 0
		if got := l.Reserve(k, r, 0); got.OK {
			t.Error("no replica at all is this one")
		}
	})
}

// TestLocalSettles: a bucket can be made to have what another source knows of
// it, a queue included.
func TestLocalSettles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := NewLocal(func() int { return 2 })
		if err != nil {
			t.Fatal(err)
		}
		k, r := Key{Provider: "p", Name: "l"}, Rule{Rate: 200, Burst: 20}
		for _, level := range []float64{10, 3, 0, -1, -250, 7, -3, 10} {
			l.Settle(k, r, level)
			if got := l.Level(k, r); math.Abs(got-level) > 1 {
				t.Errorf("level %v, want %v", got, level)
			}
		}
		l.Settle(k, r, -100)
		if p := l.Reserve(k, r, time.Minute); !p.OK || p.Wait.Round(10*time.Millisecond) != 1010*time.Millisecond {
			t.Errorf("%+v: want a place behind the queue", p)
		}
		l.Settle(k, r, 1000)
		if got := l.Level(k, r); got != 10 {
			t.Errorf("level %v, want the burst", got)
		}
	})
}
