// Package limittest is the suite that every source of tokens has to pass. It
// runs in real time, for a few seconds; what it demands of time is what a busy
// machine can hold.
//
// Read limittest.go for the source by itself, then stage.go for the stage on top
// of it.
package limittest

import (
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/policy/limit"
)

// slack is how much later something may be on a busy machine.
const slack = 150 * time.Millisecond

// Run runs the suite. open returns a source that knows no bucket and ends with
// the test.
func Run(t *testing.T, open func(*testing.T) limit.Source) {
	for name, test := range map[string]func(*testing.T, limit.Source){
		"burst": burst, "rate": overTime, "order": inOrder, "crowd": crowd, "refusal": refusal, "back": back,
		"back from the queue": backFromQueue, "apart": apart, "reload": reload, "observe": observe, "cancel": cancelled, "unused": unused,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

var key = limit.Key{Provider: "example", Name: "published"}

// passes counts how many of n wishes are granted at once.
func passes(s limit.Source, k limit.Key, r limit.Rule, n int) (passed int) {
	for range n {
		if s.Reserve(k, r, 0).OK {
			passed++
		}
	}
	return passed
}

// near reports whether d is want, or less by the time that passed.
func near(t *testing.T, what string, d, want time.Duration) {
	t.Helper()
	if d > want+time.Millisecond || d < want-slack {
		t.Errorf("%s: %v, want %v", what, d, want)
	}
}

func burst(t *testing.T, s limit.Source) {
	r := limit.Rule{Rate: 1, Burst: 20}
	if got := passes(s, key, r, 25); got != 20 {
		t.Errorf("%d passed a bucket of 20", got)
	}
	p := s.Reserve(key, r, 0)
	near(t, "the wait that a refusal reports", p.Wait, time.Second)
	if p.OK || p.Back != nil || p.Left >= 1 {
		t.Errorf("%+v from an empty bucket", p)
	}
}

func overTime(t *testing.T, s limit.Source) {
	r := limit.Rule{Rate: 500, Burst: 10}
	start, passed := time.Now(), 0
	for time.Since(start) < time.Second {
		if s.Reserve(key, r, 0).OK {
			passed++
		} else {
			time.Sleep(500 * time.Microsecond)
		}
	}
	full := 500*time.Since(start).Seconds() + 10
	if float64(passed) > full*1.11 || float64(passed) < full*0.8 { // held tokens count for up to 0.1 s
		t.Errorf("%d passed, want about %.0f", passed, full)
	}
}

func inOrder(t *testing.T, s limit.Source) {
	r := limit.Rule{Rate: 20, Burst: 2}
	start := time.Now()
	for i := range 10 {
		p := s.Reserve(key, r, 5*time.Second)
		if !p.OK {
			t.Fatalf("place %d: %+v", i, p)
		}
		due, want := time.Since(start)+p.Wait, max(0, time.Duration(i-1))*50*time.Millisecond
		if due < want-time.Millisecond || due > want+slack {
			t.Errorf("place %d is at %v, want %v", i, due, want)
		}
	}
	p := s.Reserve(key, r, 50*time.Millisecond)
	if p.OK || p.Wait < 200*time.Millisecond {
		t.Errorf("%+v: want a refusal behind the queue", p)
	}
}

// crowd: callers at once get one place each.
func crowd(t *testing.T, s limit.Source) {
	r := limit.Rule{Rate: 100, Burst: 5}
	start := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	granted, last := 0, time.Duration(0)
	for range 16 {
		wg.Go(func() {
			for range 5 {
				p := s.Reserve(key, r, 600*time.Millisecond)
				if !p.OK {
					continue
				}
				time.Sleep(p.Wait)
				mu.Lock()
				granted++
				last = max(last, time.Since(start))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if most := 100*last.Seconds() + 5 + 11; float64(granted) > most || granted < 60 {
		t.Errorf("%d were granted in %v, want at most %.0f", granted, last, most)
	}
}

// refusal: what is refused takes nothing.
func refusal(t *testing.T, s limit.Source) {
	r := limit.Rule{Rate: 1, Burst: 1}
	start := time.Now()
	if !s.Reserve(key, r, 0).OK {
		t.Fatal("a full bucket gave nothing")
	}
	for range 200 {
		if p := s.Reserve(key, r, 100*time.Millisecond); p.OK {
			t.Fatalf("%+v after %v", p, time.Since(start))
		}
	}
	p := s.Reserve(key, r, 2*time.Second)
	near(t, "the wait after refusals", p.Wait+time.Since(start), time.Second+slack/2)
	if !p.OK {
		t.Errorf("%+v", p)
	}
}

func back(t *testing.T, s limit.Source) {
	r := limit.Rule{Rate: 0.01, Burst: 3}
	first := s.Reserve(key, r, 0)
	if got := passes(s, key, r, 5); !first.OK || got != 2 {
		t.Fatalf("%v and %d passed a bucket of 3", first.OK, got)
	}
	first.Back()
	if got := passes(s, key, r, 5); got != 1 {
		t.Errorf("%d passed after one was given back", got)
	}
}

func backFromQueue(t *testing.T, s limit.Source) {
	r := limit.Rule{Rate: 0.5, Burst: 1}
	s.Reserve(key, r, 0)
	p := s.Reserve(key, r, time.Minute)
	near(t, "the first place in the queue", p.Wait, 2*time.Second)
	p.Back()
	p = s.Reserve(key, r, time.Minute)
	near(t, "the same place, given back", p.Wait, 2*time.Second)
}

func apart(t *testing.T, s limit.Source) {
	r := limit.Rule{Rate: 0.01, Burst: 2}
	for _, k := range []limit.Key{
		key,
		{Provider: "example", Name: "published", By: "acct_1"},
		{Provider: "example", Name: "published", By: "acct_2"},
		{Provider: "example", Name: "published", Route: "GET /v1/**"},
		{Provider: "example", Name: "published", Route: "GET /v1/**", By: "acct_1"},
		{Provider: "example", Name: "other"},
		{Provider: "another", Name: "published"},
	} {
		if got := passes(s, k, r, 4); got != 2 {
			t.Errorf("%+v: %d passed a bucket of 2", k, got)
		}
	}
}

// reload: another rule holds at once, and the tokens that are left stay.
func reload(t *testing.T, s limit.Source) {
	slow, fast := limit.Rule{Rate: 0.01, Burst: 10}, limit.Rule{Rate: 100, Burst: 10}
	if got := passes(s, key, slow, 20); got != 10 {
		t.Fatalf("%d passed a bucket of 10", got)
	}
	if p := s.Reserve(key, fast, 0); p.OK && p.Wait == 0 && p.Left > 5 || p.Wait > 20*time.Millisecond {
		t.Errorf("%+v: a new rate has to hold at once, and is no new burst", p)
	}
	time.Sleep(300 * time.Millisecond)
	if got := passes(s, key, fast, 20); got < 10 || got > 12+int(slack/(10*time.Millisecond)) {
		t.Errorf("%d passed after the new rate filled the bucket of 10", got)
	}
	time.Sleep(300 * time.Millisecond)
	small := limit.Rule{Rate: 0.01, Burst: 4}
	if got := passes(s, key, small, 20); got != 4 {
		t.Errorf("%d passed under a new burst of 4", got)
	}
	if got := passes(s, key, limit.Rule{Rate: 0.01, Burst: 50}, 20); got != 0 {
		t.Errorf("%d passed an empty bucket because its burst was raised", got)
	}
}

// unused: what nobody wants any more is there again, and no more than that.
func unused(t *testing.T, s limit.Source) {
	r := limit.Rule{Rate: 50, Burst: 50}
	var places []limit.Place
	for range 40 {
		places = append(places, s.Reserve(key, r, 0))
	}
	for _, p := range places {
		if !p.OK {
			t.Fatalf("%+v from a bucket of 50", p)
		}
		p.Back()
	}
	time.Sleep(1500 * time.Millisecond)
	start := time.Now()
	if got, most := passes(s, key, r, 100), 50+int(50*time.Since(start).Seconds()+1); got < 50 || got > most {
		t.Errorf("%d passed a full bucket of 50, want at most %d", got, most)
	}
}
