package retry

import (
	"errors"
	"fmt"
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
	reached := []policy.Attempt{
		{},
		{Dialled: true},
		{Connected: true},
		{Connected: true, Written: 1},
		{Connected: true, Written: 9, Complete: true},
		{Connected: true, Written: 9, Refused: true},
		{Connected: true, Written: 9, Complete: true, Begun: true},
		{Connected: true, Written: 9, Complete: true, Answered: true},
	}
	n, again := 0, 0
	for _, o := range policy.Outcomes() {
		for _, a := range reached {
			for _, status := range []int{0, 101, 200, 202, 302, 400, 401, 408, 409, 421, 425, 429, 500, 502, 503, 504} {
				if a.Answered != (status != 0) {
					continue
				}
				for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH", "LOCK", "get"} {
					for bits := range 1 << 6 {
						on := func(bit int) bool { return bits>>bit&1 == 1 }
						for _, word := range []word{silent, yes, no} {
							for _, left := range []int{-1, 0, 1} {
								e := evidence{
									attempt: a, method: method, left: left, word: word,
									keyed: on(0), final: on(0) && on(1), spooled: on(2), on: on(3), twice: on(4),
								}
								e.attempt.Status, e.attempt.Outcome, e.attempt.Earlier = status, o, on(5)
								if n++; decide(e).again {
									again++
									charged(t, e)
								}
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

// charged fails the test if e must not be sent again.
func charged(t *testing.T, e evidence) {
	t.Helper()
	a := e.attempt
	idle := !a.Answered && (!a.Connected || a.Written == 0 || a.Refused)
	refused := a.Status >= 400 && a.Status < 500 && a.Outcome != policy.ServerError && a.Outcome != policy.Timeout && a.Outcome != policy.Unreachable
	limited := a.Answered && a.Outcome == policy.RateLimited
	repeatable := e.keyed || e.method == "GET" || e.method == "HEAD" || e.method == "OPTIONS" || e.method == "PUT" || e.method == "DELETE"
	if !repeatable && (a.Earlier || !idle && !refused && !limited) {
		t.Fatalf("%+v is sent again: a second charge", e)
	}
	wanted := e.word == yes || e.on || (a.Status == 421 || a.Status == 425) && !e.twice
	if !e.spooled || e.left <= 0 || e.final || e.word == no || !wanted || a.Outcome == policy.QuotaExhausted {
		t.Fatalf("%+v is sent again", e)
	}
}

// TestP27Fresh: a fresh credential is worth an attempt beside the others, but
// not one with half a body.
func TestP27Fresh(t *testing.T) {
	a := policy.Attempt{Answered: true, Status: 401, Outcome: policy.Auth}
	if v := decide(evidence{fresh: true, spooled: true, attempt: a, method: "POST"}); !v.again || !v.fresh {
		t.Error("a fresh credential is not used")
	}
	if decide(evidence{fresh: true, attempt: a, method: "POST"}).again {
		t.Error("half a body is sent")
	}
}

// TestFaults: what this program refused, and who left, is never retried.
func TestFaults(t *testing.T) {
	for code := range policy.Codes() {
		want := foreign
		if code == policy.CodeUnreachable || code == policy.UpstreamTimeout {
			want = passing
		}
		if faultOf(&policy.Denial{Code: code}) != want {
			t.Errorf("%s: not %v", code, want)
		}
	}
	for _, err := range []error{errors.New("x"), policy.ErrRequestBody} {
		if faultOf(err) != foreign {
			t.Errorf("%v: an error that is no denial may pass", err)
		}
	}
	for _, f := range []fault{untrusted, foreign} {
		if decide(evidence{fault: f, on: true, spooled: true, left: 1, method: "GET"}).again {
			t.Errorf("fault %v is sent again", f)
		}
	}
}

// TestBudgetModel: over any ten seconds there are at most the minimum and the
// share in retries, whatever the clock of the wall does.
func TestBudgetModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBudget()
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
			if rapid.IntRange(0, 4).Draw(rt, "sdk") == 0 { // an SDK's retry is never refused, and counted
				b.spend(start.Add(at))
				events = append(events, event{at, true})
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

// TestBudgetKeys: a failed key is known for a minute at least and two at most, as
// one of that client and account; their number is bounded.
func TestBudgetKeys(t *testing.T) {
	b, now := newBudget(), time.Now()
	key := caller{"billing", "acct_1", "order-7"}
	if b.repeated(key, now) {
		t.Error("a key that nobody used is known")
	}
	b.failed(key, now)
	for at, want := range map[time.Duration]bool{0: true, time.Second: true, memory - 1: true} {
		if b.repeated(key, now.Add(at)) != want {
			t.Errorf("after %v: not %v", at, want)
		}
	}
	for _, other := range []caller{{"billing", "acct_2", "order-7"}, {"shop", "acct_1", "order-7"}, {"billing", "acct_1", "order-8"}, {"billingacct_1", "", "order-7"}} {
		if b.repeated(other, now) {
			t.Errorf("%v is taken for %v", other, key)
		}
	}
	if !b.repeated(key, now.Add(memory)) {
		t.Error("forgotten after a minute")
	}
	if b.repeated(key, now.Add(3*memory)) {
		t.Error("known for ever")
	}
	for i := range 3 * maxKeys {
		b.failed(caller{key: fmt.Sprint(i)}, now.Add(4*memory))
	}
	if n := len(b.fresh) + len(b.stale); n > 2*maxKeys {
		t.Errorf("%d keys are remembered", n)
	}
}
