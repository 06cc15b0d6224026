package queue

import (
	"maps"
	"math"
	"time"

	"golang.org/x/time/rate"
)

// Target says what a target takes.
type Target struct {
	Concurrency int           // attempts at once
	Rate        float64       // attempts a second that this process begins; 0 sets no limit
	Pause       time.Duration // the longest that it may ask to be left alone
	Place       string        // where it is reached, with others maybe; "" if that tells nothing
}

// Condition is how a target stands.
type Condition struct {
	Paused   bool      // nothing is claimed for it, but for one attempt at a time after Until
	Since    time.Time // it is paused
	Until    time.Time // it is left alone
	Window   int       // attempts that it takes at once now
	InFlight int
}

// state is what is known of one target.
type state struct {
	window
	breaker
	limit *rate.Limiter // nil if there is none
	place string
	full  bool // it took nothing when it was last asked, and no attempt has ended since
}

// newest says how many attempts a burst may have: what comes in a tenth of a
// second.
func burst(perSecond float64) int { return max(int(math.Ceil(perSecond/10)), 1) }

// meter sets the limit of the rate.
func (s *state) meter(perSecond float64) {
	switch {
	case perSecond <= 0:
		s.limit = nil
	case s.limit == nil:
		s.limit = rate.NewLimiter(rate.Limit(perSecond), burst(perSecond))
	case s.limit.Limit() != rate.Limit(perSecond):
		s.limit.SetLimit(rate.Limit(perSecond))
		s.limit.SetBurst(burst(perSecond))
	}
}

// takes returns how many attempts may start now, and when it may be more without
// the end of one; zero if it will not.
func (s *state) takes(now time.Time, t Target) (n int, next time.Time) {
	n = s.free(t.Concurrency)
	most, until := s.breaker.takes(now)
	if most == 0 {
		return 0, until
	}
	if most > 0 {
		n = most
	}
	if s.limit == nil || n == 0 {
		return n, time.Time{}
	}
	tokens := s.limit.TokensAt(now)
	if float64(n) <= tokens {
		return n, time.Time{}
	}
	lacks := math.Floor(tokens) + 1 - tokens
	next = now.Add(time.Duration(math.Ceil(lacks / float64(s.limit.Limit()) * float64(time.Second))))
	return min(n, max(int(tokens), 0)), next
}

// begin takes note of an attempt, and tells it what it is.
func (s *state) begin(now time.Time) (probe, revived bool) {
	s.inflight++
	if s.limit != nil {
		s.limit.AllowN(now, 1)
	}
	if s.open && !s.probing && !now.Before(s.until) {
		s.probing = true
		return true, s.down
	}
	return false, false
}

// end takes note of what an attempt says, and reports whether the target is
// paused now, or no longer.
func (s *state) end(now time.Time, key int64, probe bool, r Report, t Target) (changed bool) {
	s.inflight--
	s.full = false
	if probe {
		s.probing = false
	}
	switch r.Health {
	case Silent:
		return false
	case Well:
		if changed = s.breaker.well(now); !changed {
			s.window.well(now, r.Took, t.Concurrency)
		}
	default:
		s.window.trouble()
		if asked := min(r.Pause, t.Pause); asked > 0 || probe || r.Health != Busy {
			changed = s.breaker.trouble(now, key, r.Health == Down, probe, asked)
		}
	}
	if changed {
		s.shut(now)
	}
	return changed
}

// reached has those tried at once that could not be reached at the same place as s,
// which has been. d.mu is held.
func (d *Dispatcher[T]) reached(s *state, now time.Time) {
	for _, other := range d.states {
		if s.place != "" && other.place == s.place && other.open && other.down && !other.asked {
			other.until = now
		}
	}
}

func (s *state) condition() Condition {
	return Condition{Paused: s.open, Since: s.since, Until: s.until, Window: s.width(), InFlight: s.inflight}
}

// Conditions says how each target stands for which there was work.
func (d *Dispatcher[T]) Conditions() map[string]Condition {
	d.prepare()
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make(map[string]Condition, len(d.states))
	for name, s := range d.states {
		all[name] = s.condition()
	}
	return all
}

// demand returns how many items each target takes now, leaving out those that
// take none, and when that changes by itself, zero if it does not.
func (d *Dispatcher[T]) demand(targets map[string]Target) (want map[string]int, next time.Time) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.states, func(t string, s *state) bool {
		_, known := targets[t]
		return !known && s.inflight == 0
	})
	want = make(map[string]int, len(targets))
	for name, t := range targets {
		s := d.states[name]
		if s == nil {
			s = &state{window: newWindow()}
			d.states[name] = s
		}
		s.meter(t.Rate)
		s.place = t.Place
		n, later := s.takes(now, t)
		s.full = n == 0
		if n > 0 {
			want[name] = n
		}
		if !later.IsZero() && (next.IsZero() || later.Before(next)) {
			next = later
		}
	}
	return want, next
}
