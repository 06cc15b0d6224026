package backoff

import (
	"math"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDelayWithoutJitter(t *testing.T) {
	b := Backoff{First: 500 * time.Millisecond, Factor: 2, Max: 3 * time.Second, Jitter: None}
	for i, want := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second} {
		if got := b.Delay(i+1, 0, nil); got != want {
			t.Errorf("attempt %d: %v, want %v", i+1, got, want)
		}
	}
}

func TestJitterRanges(t *testing.T) {
	b := Backoff{First: time.Second, Factor: 2, Max: time.Minute}
	tests := []struct {
		jitter    Jitter
		prev      time.Duration
		low, high time.Duration
	}{
		{Full, 0, 0, 4 * time.Second},
		{None, 0, 4 * time.Second, 4 * time.Second},
		{Equal, 0, 2 * time.Second, 4 * time.Second},
		{Decorrelated, 0, time.Second, 3 * time.Second},
		{Decorrelated, 5 * time.Second, time.Second, 15 * time.Second},
		{Decorrelated, 50 * time.Second, time.Second, time.Minute},
	}
	for _, tt := range tests {
		b.Jitter = tt.jitter
		low := b.Delay(3, tt.prev, func() float64 { return 0 })
		high := b.Delay(3, tt.prev, func() float64 { return 1 })
		if low != tt.low || high != tt.high {
			t.Errorf("%v after %v: [%v, %v], want [%v, %v]", tt.jitter, tt.prev, low, high, tt.low, tt.high)
		}
	}
}

// TestDelayBounds: never negative, never above Max, whatever the block says.
func TestDelayBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Backoff{
			First:  time.Duration(rapid.Int64().Draw(t, "first")),
			Factor: rapid.Float64().Draw(t, "factor"),
			Max:    time.Duration(rapid.Int64().Draw(t, "max")),
			Jitter: Jitter(rapid.IntRange(0, 3).Draw(t, "jitter")),
		}
		if rapid.Bool().Draw(t, "nan") {
			b.Factor = math.NaN()
		}
		prev := time.Duration(rapid.Int64().Draw(t, "prev"))
		rnd := rapid.OneOf(rapid.Float64Range(0, 1), rapid.Float64()).Draw(t, "rnd")
		d := b.Delay(rapid.Int().Draw(t, "attempt"), prev, func() float64 { return rnd })
		if d < 0 || d > max(b.Max, 0) {
			t.Fatalf("%+v: %v", b, d)
		}
	})
}

// TestDelayGrows: with the same luck a later attempt never waits less.
func TestDelayGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Backoff{
			First:  time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "first")),
			Factor: rapid.Float64Range(1, 100).Draw(t, "factor"),
			Max:    time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "max")),
			Jitter: Jitter(rapid.IntRange(0, 2).Draw(t, "jitter")),
		}
		f := rapid.Float64Range(0, 1).Draw(t, "rnd")
		rnd := func() float64 { return f }
		for n := range 40 {
			if a, c := b.Delay(n, 0, rnd), b.Delay(n+1, 0, rnd); c < a {
				t.Fatalf("attempt %d waits %v, attempt %d %v", n, a, n+1, c)
			}
		}
	})
}

func TestJitterText(t *testing.T) {
	for _, word := range []string{"none", "full", "equal", "decorrelated"} {
		var j Jitter
		if err := j.UnmarshalText([]byte(word)); err != nil || j.String() != word {
			t.Errorf("%s: %v, %v", word, j, err)
		}
	}
	var j Jitter
	if err := j.UnmarshalText([]byte("Full")); err == nil {
		t.Error("Full with a capital was accepted")
	}
}

// TestF23RetryAfter is the table of fault F23.
func TestF23RetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	const limit = time.Hour
	tests := []struct {
		value, date string
		want        time.Duration
		ok          bool
	}{
		{"0", "", 0, true},
		{"-5", "", 0, true},
		{"120", "", 2 * time.Minute, true},
		{" 120 ", "", 2 * time.Minute, true},
		{"0.25", "", 250 * time.Millisecond, true},
		{"1000000000", "", limit, true},
		{"2147483648000", "", limit, true},
		{"9999999999999999999999999999", "", limit, true},
		{"-9999999999999999999999999999", "", 0, true},
		{"0x10", "", 0, false},
		{"1e3", "", 0, false},
		{"+5", "", 0, false},
		{"1_000", "", 0, false},
		{".5", "", 0, false},
		{"5.", "", 0, false},
		{"120, 60", "", 0, false},
		{"", "", 0, false},
		{"soon", "", 0, false},
		{"NaN", "", 0, false},
		{"Inf", "", 0, false},
		{"Mon, 23 Nov 2026 12:00:30 GMT", "", 30 * time.Second, true},
		{"Monday, 23-Nov-26 12:00:30 GMT", "", 30 * time.Second, true},
		{"Mon Nov 23 12:00:30 2026", "", 30 * time.Second, true},
		{"Mon, 23 Nov 2026 11:00:00 GMT", "", 0, true},
		{"Sun, 06 Nov 2099 08:49:37 GMT", "", limit, true},
		{"Mon, 23 Nov 2026 12:00:30 CET", "", 0, false},
		// The peer's clock is ten minutes ahead: the wait is what it meant.
		{"Mon, 23 Nov 2026 12:10:30 GMT", "Mon, 23 Nov 2026 12:10:00 GMT", 30 * time.Second, true},
		{"Mon, 23 Nov 2026 12:00:30 GMT", "yesterday", 30 * time.Second, true},
	}
	for _, tt := range tests {
		h := http.Header{"Retry-After": {tt.value}}
		if tt.date != "" {
			h.Set("Date", tt.date)
		}
		if got, ok := RetryAfter(h, now, limit); got != tt.want || ok != tt.ok {
			t.Errorf("%q (Date %q): %v, %v, want %v, %v", tt.value, tt.date, got, ok, tt.want, tt.ok)
		}
	}
	if _, ok := RetryAfter(http.Header{}, now, limit); ok {
		t.Error("an absent field was read")
	}
	if _, ok := RetryAfter(http.Header{"Retry-After": {"1", "2"}}, now, limit); ok {
		t.Error("two different fields were read")
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"0", "-5", "120", "1.5", "9999999999999999999", "0x10", "120, 60", "Mon, 23 Nov 2026 12:00:30 GMT"} {
		f.Add(s, "Mon, 23 Nov 2026 12:00:00 GMT")
	}
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value, date string) {
		limit := time.Duration(rand.Int64N(int64(24 * time.Hour)))
		d, ok := RetryAfter(http.Header{"Retry-After": {value}, "Date": {date}}, now, limit)
		if d < 0 || d > limit || !ok && d != 0 {
			t.Fatalf("%q: %v, %v", value, d, ok)
		}
	})
}
