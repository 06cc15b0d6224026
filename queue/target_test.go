package queue

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// at runs a dispatcher over n items of one target, due at once, and returns when
// each attempt began. What an attempt says is up to answer; what is not well is
// due again a second later.
func at(t *testing.T, n int, target Target, length time.Duration, answer func(i int, since time.Duration, it Item[string]) Report) (began []time.Duration, probes int) {
	t.Helper()
	f, start := &fake{}, time.Now()
	for range n {
		f.add("a", start)
	}
	var mu sync.Mutex
	d := dispatcher(f, nil, func(_ context.Context, it Item[string]) Report {
		mu.Lock()
		began = append(began, time.Since(start))
		if it.Probe {
			probes++
		}
		i := len(began)
		mu.Unlock()
		r := answer(i, time.Since(start), it)
		time.Sleep(r.Took)
		if r.Health == Well {
			_ = f.finish(it.Lease)
		} else {
			f.retry(it.Lease, time.Second)
		}
		return r
	})
	d.Targets = func() map[string]Target { return map[string]Target{"a": target} }
	stop := run(d)
	time.Sleep(length)
	stop()
	return began, probes
}

// TestRate: no second has more attempts than the rate and one burst, and in the
// long run the rate is used.
func TestRate(t *testing.T) {
	for _, rate := range []float64{0.5, 7, 50, 300} {
		synctest.Test(t, func(t *testing.T) {
			began, _ := at(t, int(25*rate)+20, Target{Concurrency: 16, Rate: rate}, 20*time.Second, func(int, time.Duration, Item[string]) Report {
				return Report{Health: Well, Took: time.Millisecond}
			})
			most := 0
			for i, from := range began {
				n, _ := slices.BinarySearch(began[i:], from+time.Second)
				most = max(most, n)
			}
			if limit := int(rate) + burst(rate) + 1; most > limit || float64(len(began)) < 0.9*rate*20 {
				t.Errorf("%v/s: %d attempts in 20 s, %d in one second", rate, len(began), most)
			}
		})
	}
}

// TestOutagePausesTheTarget: while a target is down nothing is claimed for it but
// one item now and then, and each time another: none is worn out.
func TestOutagePausesTheTarget(t *testing.T) {
	for name, health := range map[string]Health{"answers badly": Trouble, "cannot be reached": Down} {
		synctest.Test(t, func(t *testing.T) {
			tries := map[string]int{}
			var mu sync.Mutex
			began, probes := at(t, 400, Target{Concurrency: 16}, 2*time.Hour, func(_ int, since time.Duration, it Item[string]) Report {
				mu.Lock()
				defer mu.Unlock()
				if since < time.Hour {
					tries[it.Work]++
					return Report{Health: health}
				}
				return Report{Health: Well, Took: 10 * time.Millisecond}
			})
			down, _ := slices.BinarySearch(began, time.Hour)
			most := 0
			for _, n := range tries {
				most = max(most, n)
			}
			if down > 150 || probes < 100 || most > 2 || len(began)-down != 400 {
				t.Errorf("%s: asked %d times in the hour, %d probes, one item %d times, %d afterwards", name, down, probes, most, len(began)-down)
			}
		})
	}
}

// TestOneItemIsNoOutage: what only one item gets pauses nobody, and neither does
// what others are told to go slower.
func TestOneItemIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, probes := at(t, 1, Target{Concurrency: 16}, time.Minute, func(int, time.Duration, Item[string]) Report { return Report{Health: Trouble} })
		if probes != 0 || len(began) < 59 {
			t.Errorf("%d attempts, %d probes", len(began), probes)
		}
		began, probes = at(t, 100, Target{Concurrency: 16}, time.Minute, func(int, time.Duration, Item[string]) Report { return Report{Health: Busy} })
		if probes != 0 || len(began) < 1000 {
			t.Errorf("busy: %d attempts, %d probes", len(began), probes)
		}
	})
}

// TestAskedToWait: whoever asks to be left alone is, up to a limit, whatever is
// answered to what was on its way.
func TestAskedToWait(t *testing.T) {
	for _, tt := range []struct{ asked, most, want time.Duration }{{time.Minute, time.Hour, time.Minute}, {24 * time.Hour, time.Hour, time.Hour}} {
		synctest.Test(t, func(t *testing.T) {
			began, probes := at(t, 50, Target{Concurrency: 16, Pause: tt.most}, 2*time.Hour, func(i int, _ time.Duration, _ Item[string]) Report {
				if i == 1 {
					return Report{Health: Busy, Pause: tt.asked}
				}
				return Report{Health: Well, Took: 100 * time.Millisecond}
			})
			if began[4] < tt.want || began[3] != 0 || began[4] > tt.want+time.Second || probes != 1 || len(began) != 51 {
				t.Errorf("attempts at %v and %v, %d probes, %d in all", began[3], began[4], probes, len(began))
			}
		})
	}
}

// TestSilentProbe: an attempt that asked nobody neither opens nor closes anything.
func TestSilentProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, probes := at(t, 50, Target{Concurrency: 16, Pause: time.Hour}, 10*time.Minute, func(i int, since time.Duration, it Item[string]) Report {
			switch {
			case since < 5*time.Minute && !it.Probe:
				return Report{Health: Down}
			case since < 5*time.Minute:
				return Report{Health: Silent}
			}
			return Report{Health: Well, Took: time.Millisecond}
		})
		if probes < 10 || len(began) < 50+probes {
			t.Errorf("%d attempts, %d probes", len(began), probes)
		}
	})
}

// TestF28RampUp: after a pause the window opens slowly, however quick the answers,
// up to what the target takes; and not beyond what it bears.
func TestF28RampUp(t *testing.T) {
	for _, bears := range []int{1000, 6} {
		t.Run(fmt.Sprint(bears), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{}
				for range 200 { // never fewer: what was delivered lines up again
					f.add("a", time.Now())
				}
				var mu sync.Mutex
				inflight, start := 0, time.Now()
				peak := map[int]int{} // by second
				slowest := time.Duration(0)
				d := dispatcher(f, map[string]int{"a": 64}, func(_ context.Context, it Item[string]) Report {
					if time.Since(start) < time.Minute {
						f.retry(it.Lease, time.Minute)
						return Report{Health: Down}
					}
					mu.Lock()
					inflight++
					peak[int(time.Since(start)/time.Second)-60] = max(peak[int(time.Since(start)/time.Second)-60], inflight)
					took := 100 * time.Millisecond * time.Duration(max(inflight, bears)) / time.Duration(bears)
					slowest = max(slowest, took)
					mu.Unlock()
					time.Sleep(took)
					mu.Lock()
					inflight--
					mu.Unlock()
					f.retry(it.Lease, 0)
					return Report{Health: Well, Took: took}
				})
				stop := run(d)
				time.Sleep(90 * time.Second)
				stop()
				var first []int
				for s := range 60 {
					if peak[s] > 0 {
						first = append(first, peak[s])
					}
				}
				if first[0] > 2 || first[2] > 4 || !slices.IsSorted(first[:5]) {
					t.Errorf("in flight by second: %v", first)
				}
				if most := slices.Max(first); bears == 1000 && most != 64 || bears == 6 && (most > 11 || most < 6 || slowest > 200*time.Millisecond) {
					t.Errorf("at most %d in flight, the slowest answer took %v: %v", most, slowest, first)
				}
			})
		})
	}
}

// TestTargetsAreApart: one that is paused holds up no other.
func TestTargetsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		for range 50 {
			f.add("down", time.Now())
		}
		var told []string
		done := 0
		var mu sync.Mutex
		d := dispatcher(f, map[string]int{"down": 4, "up": 4}, func(_ context.Context, it Item[string]) Report {
			if it.Target == "down" {
				f.retry(it.Lease, time.Second)
				return Report{Health: Down}
			}
			_ = f.finish(it.Lease)
			mu.Lock()
			defer mu.Unlock()
			done++
			return Report{Health: Well}
		})
		d.Changed = func(target string, c Condition) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprint(target, " ", c.Paused))
		}
		stop := run(d)
		time.Sleep(time.Minute)
		f.add("up", time.Now())
		d.Wake()
		time.Sleep(10 * time.Millisecond)
		mu.Lock()
		if done != 1 || !slices.Equal(told, []string{"down true"}) {
			t.Errorf("%d done, told %q", done, told)
		}
		mu.Unlock()
		if c := d.Conditions(); !c["down"].Paused || c["up"].Paused || c["down"].Window != 1 || !c["down"].Until.After(time.Now()) {
			t.Errorf("conditions %+v", c)
		}
		stop()
	})
}

// TestOnePlace: when one target is back, the others that could not be reached at the
// same place are tried at once, and those that are elsewhere, that answer badly, or
// that asked to be left alone, when they would be anyway.
func TestOnePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := map[string]Target{}
		for name, place := range map[string]string{"first": "app", "second": "app", "elsewhere": "other", "nowhere": "", "bad": "app", "asked": "app"} {
			all[name] = Target{Concurrency: 4, Place: place, Pause: time.Hour}
		}
		f, start := &fake{}, time.Now()
		ended := map[string]time.Duration{} // when each was attempted last
		var mu sync.Mutex
		d := dispatcher(f, nil, func(_ context.Context, it Item[string]) Report {
			since := time.Since(start)
			mu.Lock()
			ended[it.Target] = since
			mu.Unlock()
			switch {
			case it.Target == "bad":
				f.retry(it.Lease, time.Second)
				return Report{Health: Trouble}
			case it.Target == "asked":
				f.retry(it.Lease, time.Second)
				return Report{Health: Busy, Pause: time.Hour}
			case since < 100*time.Second:
				f.retry(it.Lease, time.Second)
				return Report{Health: Down}
			}
			_ = f.finish(it.Lease)
			return Report{Health: Well}
		})
		d.Targets = func() map[string]Target { return all }
		stop := run(d)
		// Pauses of 30 s since: they begin at different times.
		for _, name := range []string{"first", "asked", "second", "elsewhere", "nowhere", "bad"} {
			for range 6 {
				f.add(name, time.Now())
			}
			d.Wake()
			time.Sleep(3 * time.Second)
		}
		var back time.Duration
		for back == 0 {
			time.Sleep(10 * time.Millisecond)
			mu.Lock()
			if at := ended["first"]; at >= 100*time.Second {
				back = at
			}
			mu.Unlock()
		}
		time.Sleep(50 * time.Millisecond)
		stop()
		for name, at := range ended {
			if soon := at >= back; soon != (name == "first" || name == "second") {
				t.Errorf("first is back after %v, and %s was attempted last after %v", back, name, at)
			}
		}
	})
}
