package policy

import (
	"net/http"
	"testing"
)

// TestDoubtful: a call is in doubt if nobody can tell whether it had its effect,
// and a repeat might have a second one.
func TestDoubtful(t *testing.T) {
	sent := Attempt{Dialled: true, Connected: true, Written: 9, Complete: true}
	answered := func(status int, o Outcome) Attempt {
		a := sent
		a.Answered, a.Status, a.Outcome = true, status, o
		return a
	}
	earlier := func(a Attempt) Attempt { a.Earlier = true; return a }
	for _, c := range []struct {
		name   string
		now    Attempt
		x      Exchange // beside that
		method string
		want   bool
	}{
		{"nothing sent", Attempt{}, Exchange{}, "POST", false},
		{"sent, no answer", sent, Exchange{}, "POST", true},
		{"sent, no answer, safe to repeat", sent, Exchange{}, "PUT", false},
		{"sent, no answer, with a key", sent, Exchange{Key: Key{Value: "k"}}, "POST", false},
		{"sent, no answer, with a key that only Postern knows", sent, Exchange{Key: Key{Value: "k", Local: true}}, "POST", true},
		{"sent, no answer, found", sent, Exchange{Done: true}, "POST", false},
		{"sent, no answer, an upsert", sent, Exchange{Converges: true}, "POST", false},
		{"done", answered(201, OK), Exchange{}, "POST", false},
		{"a success that is an error", answered(200, ServerError), Exchange{}, "POST", true},
		{"server error", answered(500, ServerError), Exchange{}, "POST", true},
		{"a late back end", answered(408, Timeout), Exchange{}, "POST", true},
		{"refused", answered(422, Validation), Exchange{}, "POST", false},
		{"limited", answered(429, RateLimited), Exchange{}, "POST", false},
		{"refused after one that was lost", earlier(answered(409, Conflict)), Exchange{}, "POST", true},
		{"limited after one that was lost", earlier(answered(429, RateLimited)), Exchange{}, "POST", true},
		{"done after one that was lost", earlier(answered(201, OK)), Exchange{}, "POST", false},
		{"not sent after one that was lost", earlier(Attempt{}), Exchange{}, "POST", true},
		{"redirected", answered(303, Redirect), Exchange{}, "POST", false},
		{"redirected after one that was lost", earlier(answered(307, Redirect)), Exchange{}, "POST", true},
		{"not sent, but by an earlier call", Attempt{}, Exchange{Unsure: true}, "POST", true},
		{"done, whatever an earlier call did", answered(201, OK), Exchange{Unsure: true}, "POST", false},
	} {
		x := c.x
		x.Now, x.Outcome, x.Request = c.now, c.now.Outcome, &http.Request{Method: c.method}
		if c.now.Answered {
			x.Response = &http.Response{StatusCode: c.now.Status}
		}
		if x.Doubtful() != c.want {
			t.Errorf("%s: doubtful is %v", c.name, !c.want)
		}
	}
}
