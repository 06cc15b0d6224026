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
		// ISO 8601 (P22): a time with its zone, a duration.
		{"2026-11-23T12:00:30Z", "", 30 * time.Second, true},
		{"2026-11-23T12:00:30.5Z", "", 30500 * time.Millisecond, true},
		{"2026-11-23t13:00:30+01:00", "", 30 * time.Second, true},
		{"2026-11-23 12:00:30Z", "", 30 * time.Second, true},
		{"2026-11-23T12:01Z", "", time.Minute, true},
		{"20261123T120030Z", "", 30 * time.Second, true},
		{"2026-11-23T12:10:30Z", "Mon, 23 Nov 2026 12:10:00 GMT", 30 * time.Second, true},
		{"2026-11-23T11:00:00Z", "", 0, true},
		{"2099-11-23T12:00:00Z", "", limit, true},
		{"9999-12-31T23:59:59Z", "", limit, true},
		{"2026-11-23T12:00:30", "", 0, false}, // of no zone
		{"2026-13-23T12:00:30Z", "", 0, false},
		{"2026-11-23", "", 0, false},
		{"PT30S", "", 30 * time.Second, true},
		{"PT0.5S", "", 500 * time.Millisecond, true},
		{"PT0,5S", "", 500 * time.Millisecond, true},
		{"PT1M30S", "", 90 * time.Second, true},
		{"-PT30S", "", 0, true},
		{"P1DT12H", "", limit, true},
		{"P2W", "", limit, true},
		{"P1Y2M", "", limit, true},
		{"PT99999999999999999999999999H", "", limit, true},
		{"P", "", 0, false},
		{"PT", "", 0, false},
		{"P1DT", "", 0, false},
		{"PT5", "", 0, false},
		{"PT5S5S", "", 0, false},
		{"PT5S1M", "", 0, false},
		{"PT1e3S", "", 0, false},
		{"P30S", "", 0, false},
		{"PT-30S", "", 0, false},
		{"6m0s", "", 0, false}, // no format of Retry-After
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

// TestRetryAfterMs: milliseconds come first, and what is none of them is passed by.
func TestRetryAfterMs(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		ms, after string
		want      time.Duration
		ok        bool
	}{
		{"1500", "9", 1500 * time.Millisecond, true},
		{"1500.5", "", 1500500 * time.Microsecond, true},
		{"0", "9", 0, true},
		{"-1", "9", 0, true},
		{"99999999999999999999", "9", time.Hour, true},
		{"soon", "9", 9 * time.Second, true},
		{"0x10", "", 0, false},
		{"", "9", 9 * time.Second, true},
	} {
		h := http.Header{"Retry-After-Ms": {tt.ms}}
		if tt.after != "" {
			h.Set("Retry-After", tt.after)
		}
		if got, ok := RetryAfter(h, now, time.Hour); got != tt.want || ok != tt.ok {
			t.Errorf("%q, %q: %v, %v, want %v, %v", tt.ms, tt.after, got, ok, tt.want, tt.ok)
		}
	}
}

// TestP22Reset is a table of the units in which providers write the end of a wait.
func TestP22Reset(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) // 1795435200
	const longest = time.Duration(math.MaxInt64)
	for _, tt := range []struct {
		value string
		unit  Unit
		want  time.Duration
		ok    bool
	}{
		{"1795435230", EpochSeconds, 30 * time.Second, true},            // GitHub, SendGrid, Intercom
		{"1795435230.25", EpochSeconds, 30250 * time.Millisecond, true}, // Discord
		{"1795435100", EpochSeconds, 0, true},
		{"0", EpochSeconds, 0, true},
		{"-1", EpochSeconds, 0, true},
		{"1795435230000", EpochSeconds, longest, true}, // in milliseconds: beyond every cap, and no guess
		{"99999999999999999999999999", EpochSeconds, longest, true},
		{"2026-11-23T12:00:30Z", EpochSeconds, 0, false},
		{"1.8e9", EpochSeconds, 0, false},
		{"0x6b0d2a00", EpochSeconds, 0, false},
		{"", EpochSeconds, 0, false},
		{"1795435230000", EpochMS, 30 * time.Second, true}, // Linear
		{"1795435200001", EpochMS, time.Millisecond, true},
		{"1795435230", EpochMS, 0, true},
		{"soon", EpochMS, 0, false},
		{"30", DeltaSeconds, 30 * time.Second, true}, // RateLimit-Reset, Klaviyo
		{"0.3", DeltaSeconds, 300 * time.Millisecond, true},
		{"-30", DeltaSeconds, 0, true},
		{"1000000000000", DeltaSeconds, longest, true},
		{"30s", DeltaSeconds, 0, false},
		{"6m0s", Duration, 6 * time.Minute, true}, // OpenAI
		{"1s", Duration, time.Second, true},
		{"20ms", Duration, 20 * time.Millisecond, true},
		{"1h30m0.5s", Duration, 90*time.Minute + 500*time.Millisecond, true},
		{"1d2h", Duration, 26 * time.Hour, true},
		{"250us", Duration, 250 * time.Microsecond, true},
		{"250µs", Duration, 250 * time.Microsecond, true},
		{"-5s", Duration, 0, true},
		{"99999999999999999h", Duration, longest, true},
		{"3.5s", Duration, 3500 * time.Millisecond, true}, // google.rpc.RetryInfo
		{"5", Duration, 0, false},                         // of no unit
		{"5s1m", Duration, 0, false},
		{"5s5s", Duration, 0, false},
		{"5 s", Duration, 0, false},
		{"s", Duration, 0, false},
		{".5s", Duration, 0, false},
		{"5.s", Duration, 0, false},
		{"1e3s", Duration, 0, false},
		{"5fortnights", Duration, 0, false},
		{"--5s", Duration, 0, false},
		{"2026-11-23T12:00:30Z", RFC3339, 30 * time.Second, true}, // Anthropic, Atlassian
		{"2026-11-23T12:00:30.123456Z", RFC3339, 30123456 * time.Microsecond, true},
		{"2026-11-23T07:00:30-05:00", RFC3339, 30 * time.Second, true},
		{"2026-11-23T11:59:00Z", RFC3339, 0, true},
		{"2526-11-23T11:59:00Z", RFC3339, longest, true},
		{"30", RFC3339, 0, false},
		{"Mon, 23 Nov 2026 12:00:30 GMT", RFC3339, 0, false},
		{"PT30S", EpochSeconds, 30 * time.Second, true}, // can be nothing else
		{"PT30S", RFC3339, 30 * time.Second, true},
		{"PT30S", Duration, 30 * time.Second, true},
	} {
		if got, ok := Reset(tt.value, tt.unit, now); got != tt.want || ok != tt.ok {
			t.Errorf("%q in %v: %v, %v, want %v, %v", tt.value, tt.unit, got, ok, tt.want, tt.ok)
		}
	}
}

func TestUnitText(t *testing.T) {
	for _, word := range []string{"epoch_seconds", "epoch_ms", "delta_seconds", "duration", "rfc3339"} {
		var u Unit
		if err := u.UnmarshalText([]byte(word)); err != nil || u.String() != word {
			t.Errorf("%s: %v, %v", word, u, err)
		}
	}
	for _, word := range []string{"", "seconds", "RFC3339"} {
		var u Unit
		if err := u.UnmarshalText([]byte(word)); err == nil {
			t.Errorf("%q was accepted", word)
		}
	}
}

// FuzzReset: never negative, never a wait out of nothing, and the same wait from
// the same text.
func FuzzReset(f *testing.F) {
	for _, s := range []string{"1795435230", "1795435230.25", "30", "6m0s", "20ms", "1d2h", "P1DT12H", "PT0,5S", "2026-11-23T12:00:30+01:00", "20261123T120030Z", "-5", "0x10"} {
		f.Add(s, byte(0), int64(1795435200))
	}
	f.Fuzz(func(t *testing.T, value string, unit byte, now int64) {
		at, u := time.Unix(now%(1<<36), 0), Unit(unit%6)
		d, ok := Reset(value, u, at)
		if d < 0 || !ok && d != 0 {
			t.Fatalf("%q in %v: %v, %v", value, u, d, ok)
		}
		if again, _ := Reset(" "+value+"\t", u, at); ok && again != d {
			t.Fatalf("%q in %v: %v with spaces, %v without", value, u, again, d)
		}
		if want, err := time.ParseDuration(value); err == nil && u == Duration && ok && (d-max(want, 0)).Abs() > time.Duration(float64(want.Abs())*1e-9)+time.Nanosecond {
			t.Fatalf("%q: %v, Go says %v", value, d, want)
		}
	})
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
