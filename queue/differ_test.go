package queue

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// drained is what becomes of the window of a target that is back after a pause and
// has a backlog. Its answers differ: they take 50 ms on average, lognormal with this
// sigma, and longer where there are more at once than it has workers. It had answered
// so many before. widths are those at each second, open is after how long it was open.
func drained(seed uint64, sigma float64, learned, workers, concurrency int, length time.Duration) (w window, widths []int, open time.Duration) {
	r := rand.New(rand.NewPCG(seed, 0))
	serving := func(inflight int) time.Duration {
		crowded := float64(max(inflight, workers)) / float64(workers)
		return time.Duration(crowded * 0.05 * math.Exp(sigma*r.NormFloat64()-sigma*sigma/2) * float64(time.Second))
	}
	w = newWindow()
	for range learned {
		w.well(time.Time{}, serving(1), 4)
	}
	start := time.Unix(0, 0)
	w.shut(start)
	type call struct {
		took time.Duration
		ends time.Time
	}
	var calls []call
	for now := start; now.Sub(start) < length; {
		for len(calls) < min(w.width(), concurrency) {
			took := serving(len(calls) + 1)
			calls = append(calls, call{took, now.Add(took)})
		}
		first := slices.IndexFunc(calls, func(c call) bool {
			return !slices.ContainsFunc(calls, func(other call) bool { return other.ends.Before(c.ends) })
		})
		c := calls[first]
		calls = slices.Delete(calls, first, first+1)
		now = c.ends
		w.well(now, c.took, concurrency)
		for len(widths) < int(now.Sub(start)/time.Second) {
			widths = append(widths, w.width())
		}
		if open == 0 && !w.slow {
			open = now.Sub(start)
		}
	}
	return w, widths, open
}

// TestF28AnswersThatDiffer: that some answers take ten times as long as others is no
// sign that the application is at its limit, and does not keep the window shut after
// an outage.
func TestF28AnswersThatDiffer(t *testing.T) {
	for seed := range uint64(8) {
		if w, _, open := drained(seed, 1, 1000, 1000, 16, 3*time.Minute); open == 0 || open > time.Minute {
			t.Errorf("seed %d: open after %v, %d at once in the end", seed, open, w.width())
		}
	}
}
