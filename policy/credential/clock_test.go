package credential

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// dated is an answer by a clock that is so far ahead of ours.
func dated(status int, ahead time.Duration) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Date": {time.Now().Add(ahead).UTC().Format(http.TimeFormat)}}}
}

// TestClock: how the skew follows from answers. Each answer takes as long as it
// says, and its Date is that of the middle of that time.
func TestClock(t *testing.T) {
	type answer struct {
		ahead, took time.Duration
		status      int
		header      string // removed or added
	}
	const minute = time.Minute
	for _, c := range []struct {
		name    string
		answers []answer
		want    time.Duration
		told    int
	}{
		{"one is enough", []answer{{5 * minute, 0, 200, ""}}, 5 * minute, 1},
		{"behind", []answer{{-5 * minute, 2 * time.Second, 200, ""}}, -5 * minute, 1},
		{"less than what is trusted", []answer{{2 * time.Second, 0, 200, ""}}, 0, 1},
		{"of two the lesser", []answer{{5 * minute, 0, 200, ""}, {0, 0, 200, ""}}, 0, 2},
		{"one wrong answer changes nothing", []answer{{5 * minute, 0, 200, ""}, {5 * minute, 0, 200, ""}, {-60 * minute, 0, 200, ""}}, 5 * minute, 3},
		{"five count", []answer{{5 * minute, 0, 200, ""}, {5 * minute, 0, 200, ""}, {5 * minute, 0, 200, ""}, {0, 0, 200, ""}, {0, 0, 200, ""}, {0, 0, 200, ""}}, 0, 6},
		{"slow", []answer{{5 * minute, 4 * time.Second, 200, ""}}, 0, 0},
		{"of a cache", []answer{{5 * minute, 0, 200, "Age"}}, 0, 0},
		{"without a Date", []answer{{5 * minute, 0, 200, "Date"}}, 0, 0},
		{"of two Dates", []answer{{5 * minute, 0, 200, "two"}}, 0, 0},
		{"of no Date", []answer{{5 * minute, 0, 200, "bad"}}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := 0
				l := NewLive()
				l.Skew = func(provider string, _ float64) {
					if told++; provider != "p" {
						t.Errorf("told of %q", provider)
					}
				}
				clock := l.Clock("p")
				for _, a := range c.answers {
					start := time.Now()
					time.Sleep(a.took / 2)
					resp := dated(a.status, a.ahead)
					time.Sleep(a.took / 2)
					switch a.header {
					case "Age":
						resp.Header.Set("Age", "300")
					case "Date":
						resp.Header.Del("Date")
					case "two":
						resp.Header["Date"] = append(resp.Header["Date"], resp.Header["Date"][0])
					case "bad":
						resp.Header.Set("Date", "yesterday")
					}
					clock.measure(resp, start, time.Now())
					time.Sleep(2 * time.Second)
				}
				want := c.want
				if want != 0 {
					want += 500 * time.Millisecond // what Date leaves out, on average
				}
				if got := time.Until(clock.Now()); got != want {
					t.Errorf("corrected by %v, want %v", got, want)
				}
				if told != c.told {
					t.Errorf("told %d times, want %d", told, c.told)
				}
				if l.Clock("q").Now() != time.Now() || l.Clock("p") != clock {
					t.Error("clocks are mixed up")
				}
			})
		})
	}
}

// TestClockSeldom: an answer is looked at once a second, unless it is a refusal.
func TestClockSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		l := NewLive()
		l.Skew = func(string, float64) { told++ }
		clock := l.Clock("p")
		for range 100 {
			clock.measure(dated(200, time.Hour), time.Now(), time.Now())
		}
		if told != 1 {
			t.Errorf("%d of 100 answers were looked at", told)
		}
		clock.measure(dated(403, time.Hour), time.Now(), time.Now())
		time.Sleep(often)
		clock.measure(dated(200, time.Hour), time.Now(), time.Now())
		if told != 3 {
			t.Errorf("told %d times, want 3", told)
		}
	})
}

// TestClockSet: when this machine's clock is set, what was measured by it is
// void, for signing and for measuring.
func TestClockSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := NewLive().Clock("p")
		for range 3 {
			clock.take(time.Hour, time.Now())
		}
		if clock.shift(time.Now()) != time.Hour {
			t.Fatal("the skew is not known")
		}
		clock.wall = clock.wall.Add(-time.Hour) // as if it had been set forward by an hour since
		if got := clock.shift(time.Now()); got != 0 {
			t.Errorf("still shifted by %v", got)
		}
		clock.take(time.Hour, time.Now())
		clock.wall = clock.wall.Add(time.Hour)
		if got := clock.take(0, time.Now()); got != 0 {
			t.Errorf("%v was taken for the median", got)
		}
	})
}

// TestClockHint: a refusal that may be due to the time says so, once.
func TestClockHint(t *testing.T) {
	const behind = "The clock of this machine is 312 s behind the provider's: set it right."
	for _, c := range []struct {
		name          string
		skew          time.Duration
		status        int
		code, message string
		hint, want    string
	}{
		{"401", 312 * time.Second, 401, "", "", "", behind},
		{"403, with a hint", 312 * time.Second, 403, "", "", "Ask for a key.", behind + " Ask for a key."},
		{"ahead", -312 * time.Second, 401, "", "", "", "The clock of this machine is 312 s ahead of the provider's: set it right."},
		{"400 of AWS", 312 * time.Second, 400, "RequestTimeTooSkewed", "", "", behind},
		{"400 of Binance", 312 * time.Second, 400, "-1021", "Timestamp for this request is outside of the recvWindow.", "", behind},
		{"400 of something else", 312 * time.Second, 400, "missing_field", "name is required", "", ""},
		{"200", 312 * time.Second, 200, "", "", "", ""},
		{"404", 312 * time.Second, 404, "", "", "", ""},
		{"not beyond", 2 * time.Second, 401, "", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := NewLive().Clock("p")
				clock.take(c.skew, time.Now())
				x := &policy.Exchange{ProviderCode: c.code, ProviderMessage: c.message, Hint: c.hint}
				for range 2 { // two stacked credentials
					clock.blame(x, c.status, time.Now())
				}
				if x.Hint != c.want {
					t.Errorf("%q, want %q", x.Hint, c.want)
				}
			})
		})
	}
}

// TestClockCost: measuring costs a call no allocation.
func TestClockCost(t *testing.T) {
	l := NewLive()
	l.Skew = func(string, float64) {}
	clock, resp := l.Clock("p"), dated(401, time.Hour)
	x := &policy.Exchange{Hint: strings.Repeat("x", 8)}
	if n := testing.AllocsPerRun(100, func() {
		now := time.Now()
		clock.measure(resp, now, now)
		clock.blame(x, 200, now)
		_ = clock.Now()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
