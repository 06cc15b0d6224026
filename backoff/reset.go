package backoff

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Unit is how a provider writes the end of a wait.
type Unit uint8

// The units of the policy language. A number never says by itself whether it is
// a time or a wait, so that nothing is guessed.
const (
	Natural      Unit = iota // as in Retry-After: seconds from now, an HTTP date, ISO 8601
	EpochSeconds             // seconds since 1970: 1795953600, 1795953600.5
	EpochMS                  // milliseconds since 1970
	DeltaSeconds             // seconds from now
	Duration                 // from now: 6m0s, 20ms, 1d12h, PT30S
	RFC3339                  // a time: 2026-11-29T12:00:00Z
)

var unitNames = [...]string{
	Natural: "", EpochSeconds: "epoch_seconds", EpochMS: "epoch_ms", DeltaSeconds: "delta_seconds", Duration: "duration", RFC3339: "rfc3339",
}

// String returns the word that the policy language has for u.
func (u Unit) String() string {
	if int(u) < len(unitNames) {
		return unitNames[u]
	}
	return fmt.Sprintf("Unit(%d)", uint8(u))
}

// UnmarshalText accepts epoch_seconds, epoch_ms, delta_seconds, duration and
// rfc3339.
func (u *Unit) UnmarshalText(text []byte) error {
	for i, name := range unitNames {
		if i > 0 && string(text) == name {
			*u = Unit(i)
			return nil
		}
	}
	return fmt.Errorf("unknown unit %q: use epoch_seconds, epoch_ms, delta_seconds, duration or rfc3339", text)
}

// Reset returns the wait from now until the time that value means, such as that
// of X-RateLimit-Reset. It is never negative, and the longest Duration where it is
// longer than that. An ISO 8601 duration (PT30S) is one in every unit, because it
// can be nothing else. ok is false for what is not written in the unit. For a
// value from an answer now is [Dated].
func Reset(value string, unit Unit, now time.Time) (wait time.Duration, ok bool) {
	text := strings.Trim(value, " \t")
	if seconds, ok := isoDuration(text); ok {
		return seconds.wait(), true
	}
	switch unit {
	case EpochSeconds:
		at, ok := parseSeconds(text)
		return (at - secondsOf(now)).wait(), ok
	case EpochMS:
		at, ok := parseSeconds(text)
		return ((at - 1000*secondsOf(now)) / 1000).wait(), ok
	case DeltaSeconds:
		s, ok := parseSeconds(text)
		return s.wait(), ok
	case Duration:
		s, ok := sum(text, clockUnits)
		return s.wait(), ok
	case RFC3339:
		return until(text, now, isoTime)
	}
	if s, ok := parseSeconds(text); ok {
		return s.wait(), true
	}
	if d, ok := until(text, now, isoTime); ok {
		return d, true
	}
	return until(text, now, http.ParseTime)
}

// Dated returns the time at which an answer was made: that of its own Date field
// (RFC 9110 section 6.6.1), so that a peer whose clock is wrong still means the
// wait it meant, and now where it has none.
func Dated(h http.Header, now time.Time) time.Time {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		return date
	}
	return now
}

// until is the wait until the time that text says, by one grammar.
func until(text string, now time.Time, parse func(string) (time.Time, error)) (time.Duration, bool) {
	at, err := parse(text)
	if err != nil {
		return 0, false
	}
	return max(at.Sub(now), 0), true // Sub saturates
}

// seconds is a span of time that may be larger than a Duration holds.
type seconds float64

func secondsOf(t time.Time) seconds {
	return seconds(t.Unix()) + seconds(t.Nanosecond())/1e9
}

// wait is s as a Duration that is not negative.
func (s seconds) wait() time.Duration {
	switch ns := math.Round(float64(s) * 1e9); {
	case !(ns > 0): // also NaN
		return 0
	case ns >= math.MaxInt64:
		return math.MaxInt64
	default:
		return time.Duration(ns)
	}
}

// parseSeconds reads -?DIGITS(.DIGITS)? and nothing else: no exponent, no hex,
// no plus sign. A number too large for a float64 is +Inf.
func parseSeconds(text string) (seconds, bool) {
	digits := strings.TrimPrefix(text, "-")
	whole, fraction, dot := strings.Cut(digits, ".")
	if !allDigits(whole) || dot && !allDigits(fraction) {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	return seconds(f), true
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
