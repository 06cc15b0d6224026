package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Source over a slice, with the rules that the interface states.
type fake struct {
	mu       sync.Mutex
	rows     []*row
	released int
	claimErr error
	renewErr error
	claims   int // how often it was asked
}

type row struct {
	target string
	lane   string
	due    time.Time // also the end of a lease
	token  int64
	done   bool
}

func (f *fake) add(target string, due time.Time) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows = append(f.rows, &row{target: target, due: due})
	return int64(len(f.rows) - 1)
}

func (f *fake) Claim(_ context.Context, want map[string]int, lease time.Duration) (items []Item[string], next time.Time, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.claims++
	if f.claimErr != nil {
		return nil, next, f.claimErr
	}
	got := map[string]int{}
	var due []int // the longest due first
	for key, r := range f.rows {
		if want[r.target] == 0 || r.done {
			continue
		}
		if r.due.After(time.Now()) {
			if next.IsZero() || r.due.Before(next) {
				next = r.due
			}
			continue
		}
		due = append(due, key)
	}
	slices.SortStableFunc(due, func(a, b int) int { return f.rows[a].due.Compare(f.rows[b].due) })
	for _, key := range due {
		r := f.rows[key]
		if got[r.target] < want[r.target] {
			got[r.target]++
			r.token++
			r.due = time.Now().Add(lease)
			items = append(items, Item[string]{Lease: Lease{int64(key), r.token, r.due}, Target: r.target, Lane: r.lane, Work: fmt.Sprint(key)})
		}
	}
	return items, next, nil
}

func (f *fake) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.claims
}

func (f *fake) Renew(_ context.Context, leases []Lease, lease time.Duration) (lost []Lease, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.renewErr != nil {
		return nil, f.renewErr
	}
	for _, l := range leases {
		if r := f.rows[l.Key]; r.token == l.Token && !r.done {
			r.due = time.Now().Add(lease)
		} else {
			lost = append(lost, l)
		}
	}
	return lost, nil
}

func (f *fake) Release(_ context.Context, leases []Lease) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range leases {
		if r := f.rows[l.Key]; r.token == l.Token {
			r.due = time.Now()
			f.released++
		}
	}
	return nil
}

func (f *fake) finish(l Lease) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.rows[l.Key]
	if r.token != l.Token || r.done {
		return ErrStale
	}
	r.done = true
	return nil
}

// retry has an item be due again later, or at once, behind all that is due now.
func (f *fake) retry(l Lease, in time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.rows[l.Key]
	r.due = time.Now().Add(in)
	r.token++ // a renewal that comes now does not put it off
}

func dispatcher(f *fake, concurrency map[string]int, attempt func(context.Context, Item[string]) Report) *Dispatcher[string] {
	return &Dispatcher[string]{
		Source: f, Attempt: attempt,
		Targets: func() map[string]Target {
			targets := map[string]Target{}
			for name, n := range concurrency {
				targets[name] = Target{Concurrency: n, Pause: time.Hour}
			}
			return targets
		},
		Trouble: func(string, error) {},
		Lease:   30 * time.Second, Poll: 5 * time.Second, Grace: 10 * time.Second,
	}
}

// run starts d and returns a function that stops it and waits for it.
func run(d *Dispatcher[string]) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	return func() { cancel(); <-done }
}

func TestDueItemsRunAtTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, start := &fake{}, time.Now()
		at := map[string]time.Duration{}
		d := dispatcher(f, map[string]int{"a": 2}, func(_ context.Context, it Item[string]) Report {
			at[it.Work] = time.Since(start)
			_ = f.finish(it.Lease)
			return Report{Health: Well}
		})
		f.add("a", start)
		f.add("a", start.Add(3*time.Second))
		f.add("gone", start)
		stop := run(d)
		time.Sleep(4 * time.Second)
		f.add("a", time.Now())
		d.Wake()
		time.Sleep(time.Minute)
		stop()
		want := map[string]time.Duration{"0": 0, "1": 3 * time.Second, "3": 4 * time.Second}
		if fmt.Sprint(at) != fmt.Sprint(want) {
			t.Errorf("ran at %v, want %v", at, want)
		}
	})
}

func TestPollingFindsWhatNobodyAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, ran := &fake{}, false
		d := dispatcher(f, map[string]int{"a": 1}, func(_ context.Context, it Item[string]) Report {
			ran = true
			_ = f.finish(it.Lease)
			return Report{Health: Well}
		})
		stop := run(d)
		time.Sleep(time.Second)
		f.add("a", time.Now())
		time.Sleep(5 * time.Second)
		stop()
		if !ran {
			t.Error("not run within one poll")
		}
	})
}

// TestWakeFor: word of a target that takes nothing costs the source nothing, and what
// it brought is attempted as soon as there is room.
func TestWakeFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, start := &fake{}, time.Now()
		var mu sync.Mutex
		at := map[string]time.Duration{}
		d := dispatcher(f, map[string]int{"a": 1, "b": 1}, func(_ context.Context, it Item[string]) Report {
			mu.Lock()
			at[it.Work] = time.Since(start)
			mu.Unlock()
			time.Sleep(3 * time.Second)
			_ = f.finish(it.Lease)
			return Report{Health: Well}
		})
		f.add("a", start)
		stop := run(d)
		time.Sleep(time.Second)
		before := f.asked()
		for range 100 {
			f.add("a", time.Now())
			d.WakeFor("a")
			time.Sleep(10 * time.Millisecond)
		}
		if n := f.asked() - before; n != 0 {
			t.Errorf("asked %d times for a target that takes nothing", n)
		}
		f.add("b", time.Now())
		d.WakeFor("b")
		time.Sleep(1900 * time.Millisecond)
		stop()
		want := map[string]time.Duration{"0": 0, "1": 3 * time.Second, "101": 2 * time.Second}
		if fmt.Sprint(at) != fmt.Sprint(want) {
			t.Errorf("ran at %v, want %v", at, want)
		}
	})
}

// TestF28SlowStart: a long backlog meets a few attempts, then more, never more
// than the target takes, and one slow target does not hold up another.
func TestF28SlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		for range 200 {
			f.add("slow", time.Now())
		}
		f.add("quick", time.Now())
		var mu sync.Mutex
		var inflight, most int
		var seen []int
		quick := time.Duration(-1)
		start := time.Now()
		d := dispatcher(f, map[string]int{"slow": 16, "quick": 1}, func(_ context.Context, it Item[string]) Report {
			if it.Target == "quick" {
				quick = time.Since(start)
				_ = f.finish(it.Lease)
				return Report{Health: Well}
			}
			mu.Lock()
			inflight++
			most = max(most, inflight)
			seen = append(seen, inflight)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			inflight--
			mu.Unlock()
			_ = f.finish(it.Lease)
			return Report{Health: Well}
		})
		stop := run(d)
		time.Sleep(time.Minute)
		stop()
		if first := slices.Max(seen[:4]); first > 4 || most != 16 {
			t.Errorf("first %d, most %d in flight, want at most 4, then 16", first, most)
		}
		if quick != 0 {
			t.Errorf("the quick target waited %v", quick)
		}
	})
}

func TestTroubleClosesTheWindow(t *testing.T) {
	w, now := newWindow(), time.Now()
	for range 20 {
		w.trouble()
	}
	if w.size != 1 {
		t.Errorf("size %v after trouble, want 1", w.size)
	}
	for range 40 {
		w.well(now, time.Millisecond, 16)
	}
	if w.size != 16 {
		t.Errorf("%+v after recovery, want 16", w)
	}
}

func TestLeaseIsRenewedWhileWorkRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, runs := &fake{}, 0
		f.add("a", time.Now())
		d := dispatcher(f, map[string]int{"a": 4}, func(_ context.Context, it Item[string]) Report {
			runs++
			time.Sleep(5 * time.Minute)
			if err := f.finish(it.Lease); err != nil {
				t.Error(err)
			}
			return Report{Health: Well}
		})
		stop := run(d)
		time.Sleep(10 * time.Minute)
		stop()
		if runs != 1 {
			t.Errorf("attempted %d times, want once", runs)
		}
	})
}

// TestF33LostLease: whoever lost its lease is interrupted, and its late result
// is refused by the fence.
func TestF33LostLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.add("a", time.Now())
		var cause, late error
		var told time.Duration
		d := dispatcher(f, map[string]int{"a": 1}, func(ctx context.Context, it Item[string]) Report {
			if it.Lease.Token > 1 {
				_ = f.finish(it.Lease)
				return Report{Health: Well}
			}
			f.mu.Lock()
			f.rows[0].token += 10 // somebody else claimed it
			f.mu.Unlock()
			began := time.Now()
			<-ctx.Done()
			told, cause, late = time.Since(began), context.Cause(ctx), f.finish(it.Lease)
			return Report{Health: Trouble}
		})
		stop := run(d)
		time.Sleep(time.Minute)
		stop()
		if told > d.Lease/3 { // by the next renewal, and not by the end of what was the lease
			t.Errorf("interrupted after %v", told)
		}
		if !errors.Is(cause, ErrStale) || !errors.Is(late, ErrStale) {
			t.Errorf("cause %v, late result %v, want ErrStale twice", cause, late)
		}
	})
}

func TestF40Drain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.add("a", time.Now()) // ends within the grace
		f.add("a", time.Now()) // does not
		f.add("a", time.Now().Add(2*time.Second))
		var causes []error
		var mu sync.Mutex
		d := dispatcher(f, map[string]int{"a": 4}, func(ctx context.Context, it Item[string]) Report {
			wait := 3 * time.Second
			if it.Work == "1" {
				wait = time.Hour
			}
			select {
			case <-time.After(wait):
				_ = f.finish(it.Lease)
			case <-ctx.Done():
				f.retry(it.Lease, 0)
			}
			mu.Lock()
			causes = append(causes, context.Cause(ctx))
			mu.Unlock()
			return Report{Health: Well}
		})
		stop := run(d)
		time.Sleep(time.Second)
		start := time.Now()
		stop()
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("drained in %v, want the grace of 10s", took)
		}
		if len(causes) != 2 || causes[0] != nil || !errors.Is(causes[1], ErrDrain) {
			t.Errorf("causes %v, want one end and one ErrDrain", causes)
		}
		if f.rows[2].token != 0 {
			t.Error("an item was claimed during the drain")
		}
	})
}

// TestClaimInFlightAtShutdownIsGivenBack: a claim that commits while the
// shutdown begins is not attempted and not lost.
func TestClaimInFlightAtShutdownIsGivenBack(t *testing.T) {
	f := &fake{}
	f.add("a", time.Now())
	ctx, cancel := context.WithCancel(context.Background())
	d := dispatcher(f, nil, func(context.Context, Item[string]) Report { t.Error("attempted"); return Report{Health: Well} })
	d.Targets = func() map[string]Target { cancel(); return map[string]Target{"a": {Concurrency: 1}} }
	d.Run(ctx)
	if f.released != 1 {
		t.Errorf("released %d, want 1", f.released)
	}
}

// TestF41PanicAndErrors: neither a panic nor a store in trouble ends the loop.
func TestF41PanicAndErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{claimErr: errors.New("disk full")}
		f.add("a", time.Now())
		var mu sync.Mutex
		var told []string
		d := dispatcher(f, map[string]int{"a": 1}, func(_ context.Context, it Item[string]) Report {
			if it.Lease.Token == 1 {
				panic("poison")
			}
			_ = f.finish(it.Lease)
			return Report{Health: Well}
		})
		d.Trouble = func(doing string, err error) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, doing+": "+err.Error())
		}
		stop := run(d)
		time.Sleep(time.Second)
		f.mu.Lock()
		f.claimErr = nil
		f.mu.Unlock()
		time.Sleep(time.Minute)
		stop()
		if !f.rows[0].done {
			t.Error("the item was never finished")
		}
		want := []string{"claiming due deliveries: disk full", "attempting a delivery: panic: poison"}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}
