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
)

// TestF33LateTimer: in a process that was stopped past its lease, whoever looks
// at the context of an attempt, or derives one for a call, finds it ended although
// the timer has not fired yet.
func TestF33LateTimer(t *testing.T) {
	for name, ended := range map[string]func(ctx context.Context) bool{
		"Err":  func(ctx context.Context) bool { return ctx.Err() != nil },
		"Done": func(ctx context.Context) bool { <-ctx.Done(); return true },
		"derived": func(ctx context.Context) bool {
			call, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			return call.Err() != nil && errors.Is(context.Cause(call), ErrStale)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHold(t.Context(), time.Now().Add(time.Hour))
			defer h.end()
			if h.Err() != nil {
				t.Fatal("ended before its time")
			}
			h.timer.Stop() // it will be late
			past := time.Now().Add(-time.Nanosecond)
			h.ends.Store(&past)
			if !ended(h) || !errors.Is(context.Cause(h), ErrStale) {
				t.Errorf("not ended: %v, %v", h.Err(), context.Cause(h))
			}
			if h.extend(time.Now().Add(time.Hour)); h.Err() == nil {
				t.Error("went on after its end")
			}
		})
	}
}

// outage runs one long attempt while the source behaves as broken says, and
// returns when the attempt ended and why.
func outage(t *testing.T, f *fake, broken func(at time.Duration)) (ended time.Duration, cause error) {
	f.add("a", time.Now())
	start, done := time.Now(), make(chan struct{})
	d := dispatcher(f, map[string]int{"a": 1}, func(ctx context.Context, it Item[string]) Report {
		if it.Lease.Token > 1 {
			_ = f.finish(it.Lease)
			return Report{Health: Well}
		}
		defer close(done)
		select {
		case <-ctx.Done():
			ended, cause = time.Since(start), context.Cause(ctx)
		case <-time.After(5 * time.Minute):
			ended = time.Since(start)
			_ = f.finish(it.Lease)
		}
		return Report{Health: Trouble}
	})
	stop := run(d)
	for at := time.Duration(0); at < 10*time.Minute; at += time.Second {
		broken(at)
		time.Sleep(time.Second)
	}
	stop()
	<-done
	return ended, cause
}

// TestF33NoRenewal: while the store cannot be reached an attempt goes on as long
// as its lease holds for sure, counted from before the last renewal was sent.
func TestF33NoRenewal(t *testing.T) {
	down := errors.New("connection refused")
	for name, tt := range map[string]struct {
		from, to time.Duration
		want     time.Duration
	}{
		"never renewed":     {0, time.Hour, 27 * time.Second},
		"renewed once":      {15 * time.Second, time.Hour, 37 * time.Second},
		"back in time":      {15 * time.Second, 35 * time.Second, 5 * time.Minute},
		"back a bit late":   {15 * time.Second, 38 * time.Second, 37 * time.Second},
		"nothing is broken": {time.Hour, time.Hour, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{}
				ended, cause := outage(t, f, func(at time.Duration) {
					f.mu.Lock()
					defer f.mu.Unlock()
					f.renewErr, f.claimErr = nil, nil
					if at >= tt.from && at < tt.to {
						f.renewErr = down
						if at > 0 {
							f.claimErr = down
						}
					}
				})
				if ended != tt.want || errors.Is(cause, ErrStale) != (tt.want < time.Minute) {
					t.Errorf("ended after %v because %v, want after %v", ended, cause, tt.want)
				}
			})
		})
	}
}

// slow is a Source that answers late.
type slow struct {
	*fake
	claim, renew time.Duration
}

func (s *slow) Claim(ctx context.Context, want map[string]int, lease time.Duration) ([]Item[string], time.Time, error) {
	items, next, err := s.fake.Claim(ctx, want, lease)
	if len(items) > 0 {
		time.Sleep(s.claim)
	}
	return items, next, err
}

func (s *slow) Renew(ctx context.Context, leases []Lease, lease time.Duration) ([]Lease, error) {
	lost, err := s.fake.Renew(ctx, leases, lease)
	select {
	case <-time.After(s.renew):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return lost, err
}

// TestF33SlowStore: a lease is counted from before it was asked for, however late
// the answer; what arrives after its lease is given back and not attempted.
func TestF33SlowStore(t *testing.T) {
	for name, tt := range map[string]struct {
		claim, renew time.Duration
		want         []time.Duration // ends of attempts since the beginning
	}{
		"slow claim":           {20 * time.Second, time.Hour, []time.Duration{27 * time.Second}},
		"claim after its time": {28 * time.Second, 0, nil},
		"renewal takes a while": {
			0, 9 * time.Second, []time.Duration{2 * time.Minute},
		},
		"renewals hang": {0, time.Hour, []time.Duration{27 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, start := &fake{}, time.Now()
				f.add("a", start)
				var mu sync.Mutex
				var ends []time.Duration
				d := dispatcher(f, map[string]int{"a": 1}, func(ctx context.Context, it Item[string]) Report {
					select {
					case <-ctx.Done():
					case <-time.After(2*time.Minute - time.Since(start)):
					}
					_ = f.finish(it.Lease)
					mu.Lock()
					ends = append(ends, time.Since(start))
					mu.Unlock()
					return Report{Health: Well}
				})
				d.Source = &slow{f, tt.claim, tt.renew}
				stop := run(d)
				time.Sleep(10 * time.Minute)
				stop()
				if !slices.Equal(ends, tt.want) {
					t.Errorf("ended at %v, want %v", ends, tt.want)
				}
				if tt.want == nil && f.released == 0 {
					t.Error("not given back")
				}
			})
		})
	}
}

// TestLaneIsCarried: what an item is in order with reaches its attempt.
func TestLaneIsCarried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.add("a", time.Now())
		f.rows[0].lane = "l"
		var got []string
		d := dispatcher(f, map[string]int{"a": 1}, func(_ context.Context, it Item[string]) Report {
			got = append(got, fmt.Sprint(it.Target, it.Lane))
			_ = f.finish(it.Lease)
			return Report{Health: Well}
		})
		stop := run(d)
		time.Sleep(time.Second)
		if stop(); !slices.Equal(got, []string{"al"}) {
			t.Errorf("attempted %v", got)
		}
	})
}
