package admin

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/seal"
)

// failed stores a dead letter of the provider whose host is api.stripe.com.
func (l *listener) failed(id string, change ...func(*outbox.Call)) {
	l.t.Helper()
	c := &outbox.Call{
		ID: id, Kind: outbox.DeadLetter, Provider: "api.stripe.com", Client: "app", Account: "acct", Endpoint: "/v1/charges", Method: "POST", Target: "api.stripe.com",
		State: outbox.Failed, Outcome: policy.ServerError, Status: 503, Reason: "503 Service Unavailable",
	}
	ring, err := l.ring()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, f := range change {
		f(c)
	}
	keep := func(column string, what any) []byte {
		text, err := json.Marshal(what)
		if err != nil {
			l.t.Fatal(err)
		}
		return ring.Seal(text, "outbox", c.ID, string(c.Kind), c.Provider, c.Client, c.Account, column)
	}
	c.Request = keep("request", outbox.Request{Method: "POST", URL: []byte("https://api.stripe.com/v1/charges"), Header: map[string][]string{"Authorization": {"Bearer canary"}, "X-Order": {"7"}}, Body: []byte("amount=1"), Key: "order-7"})
	c.Result = keep("result", outbox.Result{Status: 503, Outcome: policy.ServerError, Executed: policy.Maybe, Attempts: 3, Body: []byte{0xff, 0}})
	if _, err := l.calls.Add(l.t.Context(), c); err != nil {
		l.t.Fatal(err)
	}
}

func TestCalls(t *testing.T) {
	l := serve(t, `admin {}`)
	l.failed("c1")
	l.failed("c2", func(c *outbox.Call) { c.State, c.Doubt = outbox.Unknown, time.Now() })
	l.failed("c3", func(c *outbox.Call) { c.Doubt = time.Now().Add(-48 * time.Hour) })

	var page CallPage
	a := l.ask("GET", "/api/v1/outbox/calls?provider=api.stripe.com&limit=2", "")
	if err := json.Unmarshal([]byte(a.body), &page); err != nil || len(page.Calls) != 2 || page.Calls[0].ID != "c3" || page.Next == "" {
		t.Fatalf("%s, %v", a.body, err)
	}
	if page := l.ask("GET", "/", "").body; !strings.Contains(page, "<h2>Outbox</h2>") || !strings.Contains(page, `<tr><td>api.stripe.com</td>`) || !strings.Contains(page, `<td class="count bad">2</td><td class="count bad">1</td>`) {
		t.Errorf("the page: %s", page)
	}
	a = l.ask("GET", "/api/v1/outbox/calls/c1", "")
	if strings.Contains(a.body, "canary") || strings.Contains(a.body, "amount=1") {
		t.Errorf("shown: %s", a.body)
	}
	var c Call
	if err := json.Unmarshal([]byte(a.body), &c); err != nil || c.Request.URL != "https://api.stripe.com/v1/charges" || c.Request.Key != "order-7" || c.Request.Size != 8 ||
		c.Result.Status != 503 || c.Result.Executed != "maybe" || c.Result.Encoding != "base64" || c.Result.Body != "/wA=" || c.Request.Header.Get("X-Order") != "7" || len(c.Trail) != 1 {
		t.Errorf("shown: %s, %v", a.body, err)
	}
	for path, want := range map[string]int{
		"/api/v1/outbox/calls/none": 404, "/api/v1/outbox/calls?colour=red": 400, "/api/v1/outbox/calls?status=nice": 400, "/api/v1/outbox/calls?kind=odd": 400,
		"/api/v1/outbox/calls?outcome=odd": 400, "/api/v1/outbox/calls?since=yesterday": 400, "/api/v1/outbox/calls?limit=0": 400, "/api/v1/outbox/calls?cursor=x": 400,
		"/api/v1/outbox/calls?account=a&account=b": 400,
	} {
		if a := l.ask("GET", path, ""); a.StatusCode != want {
			t.Errorf("%s: %d, want %d: %s", path, a.StatusCode, want, a.body)
		}
	}
}

func TestActOnCalls(t *testing.T) {
	l := serve(t, `admin {}`)
	l.failed("fine")
	l.failed("unknown", func(c *outbox.Call) { c.State, c.Doubt = outbox.Unknown, time.Now() })
	l.failed("late", func(c *outbox.Call) { c.Doubt = time.Now().Add(-48 * time.Hour) })
	l.failed("gone", func(c *outbox.Call) { c.Provider, c.Target = "elsewhere", "elsewhere" })
	act := func(what, body string) (done CallActed) {
		t.Helper()
		a := l.ask("POST", "/api/v1/outbox/"+what, body)
		if err := json.Unmarshal([]byte(a.body), &done); err != nil || a.StatusCode != 200 {
			t.Fatalf("%s %s: %d %s", what, body, a.StatusCode, a.body)
		}
		return done
	}
	state := func(id string) outbox.State {
		t.Helper()
		r, err := l.calls.Show(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return r.State
	}
	if done := act("replay", `{"all":true,"dry_run":true}`); done.Matched != 4 || done.Moved != 0 || state("fine") != outbox.Failed {
		t.Errorf("dry run: %+v", done)
	}
	done := act("replay", `{"all":true}`)
	if done.Moved != 1 || done.Held != 3 || len(done.Why) != 3 || state("fine") != outbox.Accepted {
		t.Errorf("replay: %+v", done)
	}
	for _, want := range []string{"unknown: nobody knows", "late: it may have had its effect", "gone: the policy has no provider elsewhere"} {
		if !strings.Contains(strings.Join(done.Why, "\n"), want) {
			t.Errorf("why %q does not say %q", done.Why, want)
		}
	}
	if a := l.ask("POST", "/api/v1/outbox/resolve", `{"filter":{"status":"unknown"}}`); a.StatusCode != 400 || !strings.Contains(a.body, "executed") || state("unknown") != outbox.Unknown {
		t.Errorf("resolve, and nobody says as what: %d %s", a.StatusCode, a.body)
	}
	if done := act("resolve", `{"filter":{"status":"unknown"},"executed":false}`); done.Moved != 1 || state("unknown") != outbox.Failed {
		t.Errorf("resolve: %+v", done)
	}
	if done := act("replay", `{"filter":{"ids":["unknown"]}}`); done.Moved != 1 {
		t.Errorf("replay of what was resolved: %+v", done)
	}
	if done := act("replay", `{"filter":{"ids":["late"]},"force":true}`); done.Moved != 1 || state("late") != outbox.Accepted {
		t.Errorf("forced: %+v", done)
	}
	if done := act("discard", `{"filter":{"ids":["late","gone","fine"]}}`); done.Moved != 3 || state("gone") != outbox.Discarded {
		t.Errorf("discard: %+v", done)
	}
	if done := act("discard", `{"filter":{"ids":["gone"]}}`); done.Moved != 0 || done.Skipped != 1 {
		t.Errorf("discard again: %+v", done)
	}
	for body, want := range map[string]int{`{}`: 400, `{"all":true,"limit":-1}`: 400, `{"filter":{"ids":[]}}`: 400, `{"filter":{"colour":"red"}}`: 400, `{"all":true,"cursor":"x"}`: 400} {
		if a := l.ask("POST", "/api/v1/outbox/discard", body); a.StatusCode != want {
			t.Errorf("%s: %d, want %d: %s", body, a.StatusCode, want, a.body)
		}
	}
	r, err := l.calls.Show(t.Context(), "late")
	if last := r.Trail[len(r.Trail)-1]; err != nil || !strings.HasPrefix(last.By, "admin API, from 127.0.0.1") {
		t.Errorf("by %q, %v", last.By, err)
	}
}

// TestSealedCalls: without the key a call is shown as far as it can be, and not
// replayed.
func TestSealedCalls(t *testing.T) {
	l := serve(t, `admin {}`)
	l.failed("c1")
	l.failed("c2", func(c *outbox.Call) { c.Account = "other" })
	l.Server.opt.Outbox = outbox.New(outbox.Options{
		Store: l.calls, Ring: func() (*seal.Ring, error) { return nil, errors.New("there is no key") }, Policy: l.Server.opt.Policy,
	})
	var c Call
	if err := json.Unmarshal([]byte(l.ask("GET", "/api/v1/outbox/calls/c1", "").body), &c); err != nil || !strings.Contains(c.Unopened, "there is no key") || c.Status != "failed" {
		t.Errorf("%+v, %v", c, err)
	}
	var done CallActed
	if err := json.Unmarshal([]byte(l.ask("POST", "/api/v1/outbox/replay", `{"all":true}`).body), &done); err != nil || done.Held != 2 || done.Moved != 0 {
		t.Errorf("%+v, %v", done, err)
	}
}
