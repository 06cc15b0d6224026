package policy_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

const upserted = `
	idempotency { header = "Idempotency-Key" }
	retry {
		backoff {
			first  = "100ms"
			jitter = "none"
		}
	}
	route "POST /customers" {
		idempotency { methods = [] }
		upsert {
			lookup = "/customers?ref=${request.body.ref}"
			found  = length(response.body.data) > 0
			update {
				path = "/customers/${response.body.data[0].id}"
			}
		}
	}
`

func customer() call {
	return call{method: "POST", path: "/customers", body: `{"ref":"7","plan":"pro"}`, header: http.Header{"Content-Type": {"application/json"}, "X-Own": {"kept"}}}
}

// TestUpsert: what is there is updated, what is not there is created, and what
// is in doubt is looked for and then updated.
func TestUpsert(t *testing.T) {
	const (
		get   = "GET /customers?ref=7"
		post  = "POST /customers"
		patch = "PATCH /customers/9007199254740993"
	)
	created, updated := step{status: 201, body: "created"}, step{status: 200, header: jsonType, body: "updated"}
	for _, c := range []struct {
		name     string
		steps    []step
		sent     []string
		status   int
		body     string
		executed policy.Executed // if the call fails
		attempts int
	}{
		{"not there", []step{nothing, created}, []string{get, post}, 201, "created", "", 1},
		{"there", []step{there, updated}, []string{get, patch}, 200, "updated", "", 1},
		{"the look-up fails", []step{{status: 403}}, []string{get}, 0, "", policy.No, 0},
		{"the look-up has no list", []step{gives(`{}`)}, []string{get}, 0, "", policy.No, 0},
		{"another call was faster", []step{nothing, {status: 409}, there, updated}, []string{get, post, get, patch}, 200, "updated", "", 2},
		{"another call was faster, and shows late", []step{nothing, {status: 409}, nothing, there, updated}, []string{get, post, get, get, patch}, 200, "updated", "", 2},
		{"a conflict about something else", []step{nothing, {status: 409, body: "taken"}, nothing}, []string{get, post, get, get, get}, 409, "taken", "", 1},
		{"refused", []step{nothing, {status: 422, body: "bad"}}, []string{get, post}, 422, "bad", "", 1},
		{"the create is lost, found", []step{nothing, lost, there, updated}, []string{get, post, get, patch}, 200, "updated", "", 2},
		{"the create is lost, surely not there", []step{nothing, lost, nothing, nothing, nothing, created}, []string{get, post, get, get, get, post}, 201, "created", "", 2},
		{"the create is lost, nobody knows", []step{nothing, lost, {status: 403}}, []string{get, post, get, get, get}, 0, "", policy.Maybe, 1},
		{"500 after it was done", []step{nothing, {status: 500}, there, updated}, []string{get, post, get, patch}, 200, "updated", "", 2},
		{"the update is lost", []step{there, lost, updated}, []string{get, patch, patch}, 200, "updated", "", 2},
		{"the update is lost for good", []step{there, lost}, []string{get, patch, patch, patch}, 0, "", policy.Maybe, 3},
		{"the update is a 503", []step{there, {status: 503}, updated}, []string{get, patch, patch}, 200, "updated", "", 2},
		{"the create is lost, and the update cannot be sent", []step{nothing, lost, there, refused}, []string{get, post, get, patch, patch, patch}, 0, "", policy.Maybe, 2},
		{"the update cannot be sent", []step{there, refused}, []string{get, patch, patch, patch}, 0, "", policy.No, 1},
		{"the update is refused", []step{there, {status: 422, body: "bad"}}, []string{get, patch}, 422, "bad", "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := play(t, c.steps...)
				src := strings.Replace(upserted, `idempotency { header = "Idempotency-Key" }`, "", 1)
				src = strings.Replace(src, "idempotency { methods = [] }", "", 1)
				x, resp, err := compile(t, s.RoundTrip, src).do(customer())
				if got := s.requests(); !slices.Equal(got, c.sent) {
					t.Errorf("sent %q", got)
				}
				for i, r := range s.sent {
					if r.Header.Get("X-Own") != "kept" || r.Method != "GET" && i < len(s.body) && s.body[i] != `{"ref":"7","plan":"pro"}` && r.Header.Get("Content-Type") != "application/json" {
						t.Errorf("%s %v", r.Method, r.Header)
					}
				}
				if c.status == 0 {
					if d := denied(t, err, policy.CodeUnreachable); d.Executed != c.executed || x.Now.Executed() != c.executed {
						t.Errorf("executed %s and %s", d.Executed, x.Now.Executed())
					}
				} else if text := finish(t, resp, err); resp.StatusCode != c.status || text != c.body {
					t.Errorf("%d %q", resp.StatusCode, text)
				}
				if x.Attempts != c.attempts || x.Doubtful() {
					t.Errorf("%d attempts, doubtful %v", x.Attempts, x.Doubtful())
				}
				if c.status != 0 && x.Outcome != policy.OfStatus(c.status) {
					t.Errorf("outcome %s of %d", x.Outcome, c.status)
				}
				if s.open != 0 {
					t.Errorf("%d bodies left open", s.open)
				}
			})
		})
	}
}

// TestUpsertUpdate: what is sent instead of the create: its body or another
// one, to a path that data cannot change, and without its key.
func TestUpsertUpdate(t *testing.T) {
	for _, c := range []struct {
		update, found string
		header        http.Header
		want, kind    string // "" if it cannot be sent
	}{
		{`path = "/customers/${response.body.data[0].id}"`, `{"data":[{"id":"a/../b?x"}]}`, nil, "", ""},
		{`path = "/customers/${response.body.data[0].id}"`, `{"data":[{"id":"..","x":1}]}`, nil, "", ""},
		{`path = "/customers/${response.body.data[0].id}"`, `{"data":[{"x":1}]}`, nil, "", ""},
		{`path = "/customers?id=${response.body.data[0].id}"`, `{"data":[{"id":"a/../b?x&y"}]}`, nil, `PATCH /customers?id=a%2F..%2Fb%3Fx%26y {"ref":"7","plan":"pro"}`, "application/json"},
		{"method = \"POST\"\npath = \"/customers/${response.body.data[0].id}\"\nbody = { plan = request.body.plan }", `{"data":[{"id":"c"}]}`, nil, `POST /customers/c {"plan":"pro"}`, "application/json"},
		{"method = \"PUT\"\npath = \"/customers/${response.body.data[0].id}\"\nbody = request.body.none", `{"data":[{"id":"c"}]}`, nil, "", ""},
		{`path = "/customers/${response.body.data[0].id}"`, `{"data":[{"id":"c"}]}`, http.Header{"Idempotency-Key": {"the-key"}, "Content-Type": {"application/json; charset=utf-8"}}, `PATCH /customers/c {"ref":"7","plan":"pro"}`, "application/json; charset=utf-8"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, gives(c.found), step{status: 200, body: "updated"})
			one := customer()
			for name, v := range c.header {
				one.header[name] = v
			}
			src := strings.Replace(upserted, `path = "/customers/${response.body.data[0].id}"`, c.update, 1)
			_, resp, err := compile(t, s.RoundTrip, strings.Replace(src, "idempotency { methods = [] }", "", 1)).do(one)
			if c.want == "" {
				if d := denied(t, err, policy.CodeUnreachable); len(s.sent) != 1 || d.Executed != policy.No {
					t.Errorf("%s: sent %q, %v", c.update, s.requests(), d)
				}
				return
			}
			finish(t, resp, err)
			r := s.sent[1]
			if got := s.requests()[1] + " " + s.body[1]; got != c.want || r.Header.Get("Content-Type") != c.kind {
				t.Errorf("%s: sent %s, %v", c.update, got, r.Header)
			}
			if key := r.Header.Get("Idempotency-Key"); key == "the-key" || r.Method == "PATCH" && key != "" {
				t.Errorf("the update has the key %q", key)
			}
		})
	}
}

// TestUpsertInAnotherPlace: under a limit of concurrency the look and the update
// get the place that the conflict had.
func TestUpsertInAnotherPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, nothing, step{status: 409, header: map[string]string{"Content-Type": "text/html"}, body: "taken"}, there, gives("updated"))
		_, resp, err := compile(t, s.RoundTrip, "limit \"one at a time\" {\nconcurrency = 1\nwait = \"1s\"\n}\n"+upserted).do(customer())
		if text := finish(t, resp, err); text != "updated" || s.open != 0 {
			t.Errorf("%q after %q, %d open", text, s.requests(), s.open)
		}
	})
}

// TestUpsertUnsure: what an earlier call with the key may have done is found by
// the look that comes first anyway; if that fails, nobody knows.
func TestUpsertUnsure(t *testing.T) {
	for _, c := range []struct {
		steps    []step
		executed policy.Executed
	}{
		{[]step{{status: 403}}, policy.Maybe},
		{[]step{nothing, refused}, policy.No},
		{[]step{there, gives("updated")}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, c.steps...)
			h, one := compile(t, s.RoundTrip, upserted), customer()
			m, _ := h.set.Provider("p").Match("POST", "/customers")
			x := &policy.Exchange{Start: time.Now(), Plan: m.Plan, Unsure: true, Body: policy.NewBody(strings.NewReader(one.body), int64(len(one.body)), 1000)}
			r, _ := http.NewRequestWithContext(policy.With(t.Context(), x), "POST", "https://p.example/customers", nil)
			r.Header = one.header
			resp, err := m.Plan.RoundTrip(r)
			if c.executed == "" {
				finish(t, resp, err)
			} else if d := denied(t, err, policy.CodeUnreachable); d.Executed != c.executed {
				t.Errorf("executed %s: %v", d.Executed, d)
			}
			if x.Unsure != (c.executed == policy.Maybe) {
				t.Errorf("after %q: unsure is %v", s.requests(), x.Unsure)
			}
		})
	}
}

// TestUpsertRefuses: a call that cannot be looked up is not created.
func TestUpsertRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, step{status: 201})
		one := customer()
		one.body = `{"plan":"pro"}`
		_, _, err := compile(t, s.RoundTrip, upserted).do(one)
		if d := denied(t, err, policy.BadRequest); len(s.sent) != 0 || !strings.Contains(d.Hint, "request.body.ref") {
			t.Errorf("sent %q, %v", s.requests(), d)
		}
	})
	synctest.Test(t, func(t *testing.T) { // what the look-up ran into is what the application is told
		s := play(t, step{err: errBroke, now: unsent})
		_, _, err := compile(t, s.RoundTrip, upserted).do(customer())
		if d := denied(t, err, policy.CodeUnreachable); d.Executed != policy.No || !strings.Contains(d.Detail, "could not connect") {
			t.Errorf("%v", d)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		s := play(t, there, step{status: 503})
		time.AfterFunc(500*time.Millisecond, leave)
		one := customer()
		one.ctx = ctx
		if _, _, err := compile(t, s.RoundTrip, upserted).do(one); !errors.Is(err, context.Canceled) || len(s.sent) != 2 {
			t.Errorf("sent %q, %v", s.requests(), err)
		}
	})
}
