package queue

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// crowd has targets called by a dispatcher that are one application: an answer takes
// as many times serving as its eight workers are outnumbered. A target is down until
// its time. It returns how many answers each had in the last half of a minute.
func crowd(t *testing.T, downFor map[string]time.Duration, length time.Duration, serving func(time.Duration) time.Duration) map[string]int {
	answers := map[string]int{}
	synctest.Test(t, func(t *testing.T) {
		f, start, concurrency := &fake{}, time.Now(), map[string]int{}
		var mu sync.Mutex
		inflight := 0
		for target := range downFor {
			concurrency[target] = 64
			for range 200 { // never fewer: what was answered lines up again
				f.add(target, start)
			}
		}
		d := dispatcher(f, concurrency, func(_ context.Context, it Item[string]) Report {
			since := time.Since(start)
			if since > 20*time.Second && since < downFor[it.Target] {
				f.retry(it.Lease, time.Second)
				return Report{Health: Down}
			}
			mu.Lock()
			inflight++
			took := serving(since) * time.Duration(max(inflight, 8)) / 8
			mu.Unlock()
			time.Sleep(took)
			f.retry(it.Lease, 0)
			mu.Lock()
			defer mu.Unlock()
			inflight--
			if time.Since(start) > length-30*time.Second {
				answers[it.Target]++
			}
			return Report{Health: Well, Took: took}
		})
		d.Targets = func() map[string]Target {
			most := 64
			if time.Since(start) < 20*time.Second { // what is usual
				most = 2
			}
			all := map[string]Target{}
			for target := range downFor {
				all[target] = Target{Concurrency: most}
			}
			return all
		}
		stop := run(d)
		time.Sleep(length)
		stop()
	})
	return answers
}

// TestF28EqualShares: two targets that are the same application come to have equal
// shares of it, also if one was back long before the other.
func TestF28EqualShares(t *testing.T) {
	got := crowd(t, map[string]time.Duration{"a": 30 * time.Second, "b": 70 * time.Second}, 3*time.Minute, func(time.Duration) time.Duration { return 200 * time.Millisecond })
	if got["a"] > 2*got["b"] || got["b"] > 2*got["a"] {
		t.Errorf("answers: %v", got)
	}
	if all := got["a"] + got["b"]; all < 900 { // of 1200 that it can
		t.Errorf("%d answers together", all)
	}
}

// TestF28SlowerThanBefore: an application that is three times as slow after an outage
// is not called by one for ever.
func TestF28SlowerThanBefore(t *testing.T) {
	got := crowd(t, map[string]time.Duration{"a": 30 * time.Second}, 6*time.Minute, func(since time.Duration) time.Duration {
		if since < 30*time.Second {
			return 200 * time.Millisecond
		}
		return 600 * time.Millisecond
	})
	if got["a"] < 300 { // of 400 that it can
		t.Errorf("%d answers in half a minute", got["a"])
	}
}
