package retry

import (
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/postern-proxy/postern/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestP19NoSecondCharge goes through all combinations of evidence: what may
// have had an effect is sent again only if the method or a key makes that safe,
// if all of the body can be, and if there are attempts left.
func TestP19NoSecondCharge(t *testing.T) {
	flags := []bool{false, true}
	n, again := 0, 0
	for _, o := range policy.Outcomes() {
		for _, status := range []int{0, 101, 200, 202, 302, 400, 401, 408, 409, 421, 425, 429, 500, 502, 503, 504} {
			for _, executed := range []policy.Executed{policy.No, policy.Maybe, policy.Yes} {
				for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH", "LOCK", "get"} {
					for bits := range 1 << 5 {
						on := func(bit int) bool { return flags[bits>>bit&1] }
						for _, left := range []int{-1, 0, 1} {
							e := evidence{
								outcome: o, status: status, executed: executed, method: method, left: left,
								keyed: on(0), final: on(0) && on(1), spooled: on(2), asked: on(3), vetoed: on(4),
							}
							n++
							v := decide(e)
							if !v.again {
								continue
							}
							again++
							idle := status == 0 && executed == policy.No
							refused := status >= 400 && status < 500 && o != policy.ServerError && o != policy.Timeout && o != policy.Unreachable
							limited := status != 0 && (o == policy.RateLimited || o == policy.QuotaExhausted)
							repeatable := e.keyed || method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "PUT" || method == "DELETE"
							if !idle && !refused && !limited && !repeatable {
								t.Fatalf("%+v is sent again: a second charge", e)
							}
							if !e.spooled || left <= 0 || e.final || e.vetoed || !e.asked {
								t.Fatalf("%+v is sent again", e)
							}
						}
					}
				}
			}
		}
	}
	if again == 0 || again == n {
		t.Errorf("%d of %d are sent again: the test cannot see", again, n)
	}
}

// TestP27Fresh: a fresh credential is worth an attempt beside the others, but
// not one with half a body.
func TestP27Fresh(t *testing.T) {
	if v := decide(evidence{fresh: true, spooled: true, status: 401, method: "POST", executed: policy.Yes}); !v.again || !v.fresh {
		t.Error("a fresh credential is not used")
	}
	if decide(evidence{fresh: true, status: 401, method: "POST"}).again {
		t.Error("half a body is sent")
	}
}

// TestRetriable: what this program refused, and who left, is never retried.
func TestRetriable(t *testing.T) {
	for code := range policy.Codes() {
		want := code == policy.CodeUnreachable || code == policy.UpstreamTimeout
		if retriable(&policy.Denial{Code: code}) != want {
			t.Errorf("%s: retriable is %v", code, !want)
		}
	}
	if retriable(errors.New("x")) || retriable(policy.ErrRequestBody) {
		t.Error("an error that is no denial is retriable")
	}
}

// TestBudgetModel: over any ten seconds there are at most the minimum and the
// share in retries, whatever the clock of the wall does.
func TestBudgetModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var b budget
		share := rapid.Float64Range(0, 1).Draw(rt, "share")
		type event struct {
			at    time.Duration
			retry bool
		}
		var events []event
		start, at := time.Now(), time.Duration(0)
		for range rapid.IntRange(1, 150).Draw(rt, "n") {
			if !b.start.IsZero() { // seconds are counted from the first event
				at += time.Duration(rapid.IntRange(0, 1500).Draw(rt, "ms")) * time.Millisecond
			}
			if rapid.Bool().Draw(rt, "call") {
				b.call(start.Add(at))
				events = append(events, event{at, false})
				continue
			}
			took := b.take(start.Add(at), share)
			calls, retries := 0, 0 // of the ten slots of a second that are counted
			for _, e := range events {
				if e.at/time.Second > at/time.Second-windowSeconds {
					if e.retry {
						retries++
					} else {
						calls++
					}
				}
			}
			if want := retries < minimum || float64(retries+1) <= share*float64(calls); took != want {
				rt.Fatalf("at %v with %d calls and %d retries: %v", at, calls, retries, took)
			}
			if took {
				events = append(events, event{at, true})
			}
		}
	})
}
