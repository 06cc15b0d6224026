package backoff

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RetryAfter returns the wait that the Retry-After field of h asks for (RFC
// 9110 section 10.2.3), clamped to [0, limit]. It accepts whole and fractional
// seconds, a leading minus sign (which clamps to zero) and an HTTP date. A date
// is measured against the answer's own Date field, so that a peer whose clock
// is wrong still means the wait it meant, and against now where there is none.
// ok is false when the field is absent, repeated with different values, or
// anything else: the caller then uses its own backoff.
func RetryAfter(h http.Header, now time.Time, limit time.Duration) (d time.Duration, ok bool) {
	values := h.Values("Retry-After")
	if len(values) == 0 {
		return 0, false
	}
	for _, v := range values[1:] {
		if v != values[0] {
			return 0, false
		}
	}
	limit = max(limit, 0)
	text := strings.Trim(values[0], " \t")
	if seconds, ok := parseSeconds(text); ok {
		if seconds <= 0 {
			return 0, true
		}
		if seconds >= limit.Seconds() {
			return limit, true
		}
		return min(time.Duration(seconds*float64(time.Second)), limit), true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), limit), true
}

// parseSeconds reads -?DIGITS(.DIGITS)? and nothing else: no exponent, no hex,
// no plus sign. A number too large for a float64 is +Inf.
func parseSeconds(text string) (float64, bool) {
	digits := strings.TrimPrefix(text, "-")
	whole, fraction, dot := strings.Cut(digits, ".")
	if !allDigits(whole) || dot && !allDigits(fraction) {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
