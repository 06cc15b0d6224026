package policy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/policy"
)

// egress is the handler's way for stages to call a provider: an exchange of its
// own, and Postern's headers on the answer.
func (h *house) egress(provider, account string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		x := &policy.Exchange{Start: time.Now(), Account: account, Request: r, Aside: true}
		m, err := h.set.Provider(provider).Match(r.Method, r.URL.EscapedPath())
		if err != nil {
			return nil, err
		}
		x.Total, _ = r.Context().Deadline()
		x.Plan, x.Body = m.Plan, policy.NewBody(r.Body, r.ContentLength, m.Plan.Buffer)
		out := r.Clone(policy.With(r.Context(), x))
		out.Body = nil
		resp, err := m.Plan.RoundTrip(out)
		if err != nil {
			return nil, err
		}
		if x.Source == "" {
			x.Source = policy.FromProvider
		}
		for name, value := range map[string]string{"Id": "look", "Source": string(x.Source), "Outcome": string(x.Outcome)} {
			resp.Header.Set("Postern-"+name, value)
		}
		return resp, nil
	}
}

// requests lists what was sent, as METHOD /path?query.
func (s *script) requests() (list []string) {
	for _, r := range s.sent {
		list = append(list, r.Method+" "+r.URL.RequestURI())
	}
	return list
}

const reconciled = `
	route "POST /orders" {
		retry {
			backoff {
				first  = "100ms"
				jitter = "none"
			}
		}
		timeout { attempt = "10s" }
		reconcile {
			get    = "/orders?ref=${request.body.ref}"
			found  = length(response.body.data) > 0
			answer = response.body.data[0]
			status = 201
		}
	}
`

var jsonType = map[string]string{"Content-Type": "application/json"}

func gives(body string) step { return step{status: 200, header: jsonType, body: body} }

var (
	lost    = step{err: errBroke, now: sent}
	refused = step{err: errBroke, now: unsent}
	nothing = gives(`{"data":[]}`)
	there   = gives(`{"data":[{"id":9007199254740993,"ref":"7"}]}`)
)

const row = `{"id":9007199254740993,"ref":"7"}`

func order(ref string) call {
	return call{method: "POST", path: "/orders", body: `{"ref":"` + ref + `"}`, header: http.Header{"Content-Type": {"application/json"}}}
}

// TestReconcile: what is found is the answer, what is surely not there is sent
// again, and everything else leaves the failure that there was.
func TestReconcile(t *testing.T) {
	slow := step{takes: 11 * time.Second, status: 201}
	const post, get = "POST /orders", "GET /orders?ref=7"
	for _, c := range []struct {
		name     string
		steps    []step
		sent     []string
		status   int // 0 if the call fails
		body     string
		source   policy.AnswerSource
		executed policy.Executed // if it fails
		doubtful bool
		takes    time.Duration
	}{
		{"answered", []step{{status: 201, body: "new"}}, []string{post}, 201, "new", "", "", false, 0},
		{"refused by the provider", []step{{status: 422}}, []string{post}, 422, "", "", "", false, 0},
		{"lost, found", []step{lost, there}, []string{post, get}, 201, row, policy.Reconciled, "", false, 0},
		{"timeout, found", []step{slow, there}, []string{post, get}, 201, row, policy.Reconciled, "", false, 10 * time.Second},
		{"500 after it was done", []step{{status: 500}, there}, []string{post, get}, 201, row, policy.Reconciled, "", false, 0},
		{"408", []step{{status: 408}, there}, []string{post, get}, 201, row, policy.Reconciled, "", false, 0},
		{"found late", []step{lost, nothing, nothing, there}, []string{post, get, get, get}, 201, row, policy.Reconciled, "", false, 3 * time.Second},
		{"not there, sent again", []step{lost, nothing, nothing, nothing, {status: 201, body: "new"}}, []string{post, get, get, get, post}, 201, "new", "", "", false, 3100 * time.Millisecond},
		{"sent again, in doubt again, found", []step{lost, nothing, nothing, nothing, lost, there}, []string{post, get, get, get, post, get}, 201, row, policy.Reconciled, "", false, 3100 * time.Millisecond},
		{"sent again, it was there after all", []step{lost, nothing, nothing, nothing, {status: 409}, there}, []string{post, get, get, get, post, get}, 201, row, policy.Reconciled, "", false, 3100 * time.Millisecond},
		{"not connected, then lost, found", []step{refused, lost, there}, []string{post, post, get}, 201, row, policy.Reconciled, "", false, 100 * time.Millisecond},
		{"never connected", []step{refused}, []string{post, post, post}, 0, "", "", policy.No, false, 300 * time.Millisecond},
		{"no attempts are left", []step{lost, nothing, nothing, nothing, lost, nothing, nothing, nothing, lost, nothing}, []string{post, get, get, get, post, get, get, get, post, get, get, get}, 0, "", "", policy.Maybe, true, 9300 * time.Millisecond},
		{"the look-up is forbidden", []step{lost, {status: 403}}, []string{post, get, get, get}, 0, "", "", policy.Maybe, true, 3 * time.Second},
		{"the look-up says not found, which nobody asked for", []step{lost, {status: 404, header: jsonType, body: `{"data":[]}`}}, []string{post, get, get, get}, 0, "", "", policy.Maybe, true, 3 * time.Second},
		{"the look-up is a page", []step{lost, {status: 200, header: map[string]string{"Content-Type": "text/html"}, body: "<p>log in"}}, []string{post, get, get, get}, 0, "", "", policy.Maybe, true, 3 * time.Second},
		{"the look-up has no list", []step{lost, gives(`{"error":"x"}`)}, []string{post, get, get, get}, 0, "", "", policy.Maybe, true, 3 * time.Second},
		{"the look-up recovers", []step{lost, {status: 403}, nothing, there}, []string{post, get, get, get}, 201, row, policy.Reconciled, "", false, 3 * time.Second},
		{"the last look counts", []step{lost, nothing, nothing, {status: 403}}, []string{post, get, get, get}, 0, "", "", policy.Maybe, true, 3 * time.Second},
		{"a 503, and no look-up", []step{{status: 503, body: "busy"}, {status: 403}}, []string{post, get, get, get}, 503, "busy", "", "", true, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := play(t, c.steps...)
				start := time.Now()
				x, resp, err := compile(t, s.RoundTrip, reconciled).do(order("7"))
				if got := s.requests(); !slices.Equal(got, c.sent) {
					t.Errorf("sent %q", got)
				}
				if c.status != 0 {
					text := finish(t, resp, err)
					if resp.StatusCode != c.status || text != c.body || x.Source != c.source {
						t.Errorf("%d %q from %q", resp.StatusCode, text, x.Source)
					}
				} else if d := denied(t, err, policy.CodeUnreachable); d.Executed != c.executed || c.executed == policy.Maybe && d.Hint == "" {
					t.Errorf("executed %s, hint %q", d.Executed, d.Hint)
				}
				if x.Doubtful() != c.doubtful {
					t.Errorf("doubtful: %v", !c.doubtful)
				}
				if c.source == policy.Reconciled && (x.Outcome != policy.OK || x.Unretried != "" || resp.Header.Get("Content-Type") != "application/json" || resp.ContentLength != int64(len(c.body))) {
					t.Errorf("%s, %q, %v", x.Outcome, x.Unretried, resp.Header)
				}
				if took := time.Since(start); took != c.takes {
					t.Errorf("it took %v, not %v", took, c.takes)
				}
				if s.open != 0 {
					t.Errorf("%d bodies left open", s.open)
				}
			})
		})
	}
}

// TestReconcileNotLongerThanTheCall: looks end with the call, and what could not
// be looked for often enough is not sent again.
func TestReconcileNotLongerThanTheCall(t *testing.T) {
	for _, c := range []struct {
		total time.Duration
		steps []step
		looks int
	}{
		{2 * time.Second, []step{lost, nothing}, 2},
		{500 * time.Millisecond, []step{lost, nothing}, 1},
		{10 * time.Second, []step{{takes: 11 * time.Second}, nothing}, 1}, // no time is left at all
		{2 * time.Second, []step{lost, {takes: time.Minute}}, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, c.steps...)
			one := order("7")
			one.total = c.total
			start := time.Now()
			x, _, err := compile(t, s.RoundTrip, reconciled).do(one)
			var d *policy.Denial
			if !errors.As(err, &d) || d.Executed != policy.Maybe || !x.Doubtful() {
				t.Errorf("%v: %v", c.total, err)
			}
			if posts := slices.DeleteFunc(s.requests(), func(r string) bool { return !strings.HasPrefix(r, "POST") }); len(posts) != 1 || len(s.sent) > 1+c.looks {
				t.Errorf("%v: sent %q", c.total, s.requests())
			}
			if took := time.Since(start); took > c.total {
				t.Errorf("%v: it took %v", c.total, took)
			}
		})
	}
}

// TestReconcileByTheCallAlone: data of a call is no path, and a call without the
// id is not looked up.
func TestReconcileByTheCallAlone(t *testing.T) {
	byPath := strings.Replace(strings.Replace(reconciled, "?ref=$", "/$", 1), "length(response.body.data) > 0", "response.status == 200", 1)
	for _, c := range []struct{ policy, body, asked string }{
		{reconciled, `{"ref":"a&b=c/../#?%41 é"}`, "/orders?ref=a%26b%3Dc%2F..%2F%23%3F%2541%20%C3%A9"},
		{reconciled, `{"ref":9007199254740993}`, "/orders?ref=9007199254740993"},
		{reconciled, `{"ref":""}`, ""},
		{reconciled, `{}`, ""},
		{reconciled, `not json`, ""},
		{byPath, `{"ref":"7"}`, "/orders/7"},
		{byPath, `{"ref":".."}`, ""},
		{byPath, `{"ref":"a/b"}`, ""},
		{byPath, `{"ref":"."}`, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, lost, gives(`{"data":[{"id":1}]}`))
			one := order("")
			one.body = c.body
			x, resp, err := compile(t, s.RoundTrip, c.policy).do(one)
			if c.asked == "" {
				if d := denied(t, err, policy.CodeUnreachable); len(s.sent) != 1 || d.Executed != policy.Maybe || !strings.Contains(d.Hint, "looked up by") {
					t.Errorf("%s: sent %q, %v", c.body, s.requests(), d)
				}
				return
			}
			finish(t, resp, err)
			if len(s.sent) != 2 || s.sent[1].URL.RequestURI() != c.asked || s.sent[1].URL.Host != "p.example" || x.Source != policy.Reconciled {
				t.Errorf("%s: sent %q", c.body, s.requests())
			}
		})
	}
}

// TestReconcileNotThereByStatus: where the condition asks for it, a 404 says that
// there is nothing.
func TestReconcileNotThereByStatus(t *testing.T) {
	src := strings.Replace(reconciled, "length(response.body.data) > 0", "response.status == 200", 1)
	synctest.Test(t, func(t *testing.T) {
		s := play(t, lost, step{status: 404}, step{status: 410}, step{status: 404}, step{status: 201, body: "new"})
		_, resp, err := compile(t, s.RoundTrip, src).do(order("7"))
		if text := finish(t, resp, err); text != "new" || len(s.sent) != 5 {
			t.Errorf("%q, sent %q", text, s.requests())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := play(t, lost, step{status: 500})
		_, _, err := compile(t, s.RoundTrip, "retry { attempts = 1 }\n"+src).do(order("7"))
		if denied(t, err, policy.CodeUnreachable); slices.Contains(s.requests()[1:], "POST /orders") {
			t.Errorf("sent %q", s.requests())
		}
	})
}

// TestReconcileReads: what cannot be read, or is not the provider's word of now,
// says nothing, even where the condition would be false for it.
func TestReconcileReads(t *testing.T) {
	src := strings.Replace(reconciled, "length(response.body.data) > 0", "response.body.data != null", 1)
	for name, looked := range map[string]step{
		"a page":        {status: 200, header: map[string]string{"Content-Type": "text/html"}, body: "<p>log in"},
		"half of it":    {status: 200, header: jsonType, body: `{"data":[`},
		"nothing":       {status: 204},
		"too long":      {status: 200, header: jsonType, body: `{"x":"` + strings.Repeat("x", policy.PeekLimit) + `"}`},
		"another place": {status: 302, header: jsonType, body: `{}`},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, lost, looked)
			_, _, err := compile(t, s.RoundTrip, src).do(order("7"))
			if d := denied(t, err, policy.CodeUnreachable); d.Executed != policy.Maybe || slices.Contains(s.requests()[1:], "POST /orders") || s.open != 0 {
				t.Errorf("%s: %v, sent %q", name, d, s.requests())
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := play(t, lost, nothing)
		h := compile(t, func(r *http.Request) (*http.Response, error) {
			if policy.From(r.Context()).Aside {
				policy.From(r.Context()).Source = policy.Stale
			}
			return s.RoundTrip(r)
		}, reconciled)
		_, _, err := h.do(order("7"))
		if d := denied(t, err, policy.CodeUnreachable); slices.Contains(s.requests()[1:], "POST /orders") || !strings.Contains(d.Hint, "what is kept") {
			t.Errorf("%v, sent %q", d, s.requests())
		}
	})
}

// TestReconcileAnswers: the answer is what the expression says, as the provider
// wrote it. That it has no value changes nothing about the call.
func TestReconcileAnswers(t *testing.T) {
	for _, c := range []struct{ answer, looked, kind, want string }{
		{`response.body.data[0]`, `{"data":[ {"b":1.50,"a":"é\u00e9"} ]}`, "application/json; charset=utf-8", `{"b":1.50,"a":"é\u00e9"}`},
		{``, `{"data":[ {"b":1.50} ]}`, "application/json; charset=utf-8", `{"data":[ {"b":1.50} ]}`},
		{`merge(response.body.data[0], { ref = request.body.ref })`, `{"data":[{"b":1}]}`, "application/json; charset=utf-8", `{"b":1,"ref":"7"}`},
		{`response.body.data[0].id`, `{"data":[{"id":"cus_1"}]}`, "text/plain; charset=utf-8", `cus_1`},
		{`response.body.data[0].id`, `{"data":[{"x":1}]}`, "", ``},
		{`jsondecode(response.body.data[0].id)`, `{"data":[{"id":"{"}]}`, "", ``},
	} {
		synctest.Test(t, func(t *testing.T) {
			src := strings.Replace(reconciled, "answer = response.body.data[0]\n", "", 1)
			if c.answer != "" {
				src = strings.Replace(reconciled, "answer = response.body.data[0]\n", "answer = "+c.answer+"\n", 1)
			}
			s := play(t, lost, step{status: 200, header: map[string]string{"Content-Type": "application/json; charset=utf-8", "Set-Cookie": "a=b"}, body: c.looked})
			x, resp, err := compile(t, s.RoundTrip, src).do(order("7"))
			if c.want == "" {
				if d := denied(t, err, policy.CodeUnreachable); d.Executed != policy.Yes || x.Doubtful() || len(s.sent) != 2 {
					t.Errorf("%s: %v, sent %q", c.answer, d, s.requests())
				}
				return
			}
			if text := finish(t, resp, err); text != c.want || resp.Header.Get("Content-Type") != c.kind || resp.Header.Get("Set-Cookie") != "" || resp.Header.Get("Content-Length") != fmt.Sprint(len(c.want)) {
				t.Errorf("%s: %q, %v", c.answer, text, resp.Header)
			}
		})
	}
}

// TestReconcileUnsure: what an earlier call with the key may have done is looked
// for before anything is sent.
func TestReconcileUnsure(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []step
		sent  string
		want  string // "" if the call is refused
	}{
		{"found", []step{there}, "GET", row},
		{"not there", []step{nothing, nothing, nothing, {status: 201, body: "new"}}, "GET GET GET POST", "new"},
		{"not there, not connected", []step{nothing, nothing, nothing, refused}, "GET GET GET POST POST POST", "no"},
		{"unclear", []step{{status: 403}}, "GET GET GET", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, c.steps...)
			h := compile(t, s.RoundTrip, reconciled)
			one := order("7")
			m, _ := h.set.Provider("p").Match("POST", "/orders")
			x := &policy.Exchange{Start: time.Now(), Plan: m.Plan, Unsure: true, Body: policy.NewBody(strings.NewReader(one.body), int64(len(one.body)), 1000)}
			r, _ := http.NewRequestWithContext(policy.With(t.Context(), x), "POST", "https://p.example/orders", nil)
			r.Header = one.header
			resp, err := m.Plan.RoundTrip(r)
			var methods []string
			for _, r := range s.sent {
				methods = append(methods, r.Method)
			}
			if got := strings.Join(methods, " "); got != c.sent {
				t.Errorf("%s: sent %s", c.name, got)
			}
			if c.want == "" || c.want == "no" {
				d := denied(t, err, policy.CodeUnreachable)
				if (d.Executed == policy.Maybe) != (c.want == "") || x.Unknown() != (c.want == "") {
					t.Errorf("%s: %v", c.name, d)
				}
				if strings.Contains(d.Detail+d.Hint, "key") { // it has none
					t.Errorf("%s: %s. %s", c.name, d.Detail, d.Hint)
				}
			} else if text := finish(t, resp, err); text != c.want || x.Unknown() {
				t.Errorf("%s: %q", c.name, text)
			}
		})
	}
}

// TestReconcileWithKey: a call whose key the provider knows is repeated, and is
// looked up only when that has failed.
func TestReconcileWithKey(t *testing.T) {
	src := "idempotency { header = \"Idempotency-Key\" }\n" + reconciled
	synctest.Test(t, func(t *testing.T) {
		s := play(t, lost, lost, lost, there)
		x, resp, err := compile(t, s.RoundTrip, src).do(order("7"))
		if text := finish(t, resp, err); text != row || x.Attempts != 3 || x.Source != policy.Reconciled {
			t.Errorf("%q after %q", text, s.requests())
		}
		for _, r := range s.sent {
			if key := r.Header.Get("Idempotency-Key"); (key != "") != (r.Method == "POST") {
				t.Errorf("%s with key %q", r.Method, key)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := play(t, lost, step{status: 201, body: "new"})
		_, resp, err := compile(t, s.RoundTrip, src).do(order("7"))
		if text := finish(t, resp, err); text != "new" || len(s.sent) != 2 {
			t.Errorf("%q after %q", text, s.requests())
		}
	})
}

// TestReconcileKeepsToRetry: what is surely not there is sent again as often, and
// after such outcomes, as retry says; and not at all by a call whose client left.
func TestReconcileKeepsToRetry(t *testing.T) {
	for name, src := range map[string]string{
		"no attempts":                      strings.Replace(reconciled, "retry {", "retry {\nattempts = 1", 1),
		"other class":                      strings.Replace(reconciled, "retry {", "retry {\non = [\"rate_limited\"]", 1),
		"long body":                        strings.Replace(reconciled, "retry {", "retry {\nbuffer = \"4B\"", 1),
		"long body, looked up by a header": strings.Replace(strings.Replace(reconciled, "retry {", "retry {\nbuffer = \"4B\"", 1), "request.body.ref", `request.header["Content-Type"]`, 1),
		"short of time":                    strings.Replace(reconciled, `timeout { attempt = "10s" }`, `timeout { total = "3010ms" }`, 1),
	} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, lost, nothing)
			_, _, err := compile(t, s.RoundTrip, src).do(order("7"))
			if d := denied(t, err, policy.CodeUnreachable); d.Executed != policy.Maybe {
				t.Errorf("%s: %v", name, d)
			}
			if slices.Contains(s.requests()[1:], "POST /orders") {
				t.Errorf("%s: sent %q", name, s.requests())
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		s := play(t, lost, nothing)
		time.AfterFunc(1500*time.Millisecond, leave)
		one := order("7")
		one.ctx = ctx
		x, _, _ := compile(t, s.RoundTrip, reconciled).do(one)
		if len(s.sent) != 3 || !x.Doubtful() {
			t.Errorf("sent %q for nobody", s.requests())
		}
	})
	synctest.Test(t, func(t *testing.T) { // of methods that are repeated safely nobody is in doubt
		s := play(t, lost)
		src := strings.Replace(reconciled, `route "POST /orders"`, `route "/orders"`, 1)
		_, _, err := compile(t, s.RoundTrip, src).do(call{method: "PUT", path: "/orders", body: `{"ref":"7"}`, header: http.Header{"Content-Type": {"application/json"}}})
		if denied(t, err, policy.CodeUnreachable); len(s.sent) != 3 || slices.Contains(s.requests(), "GET /orders?ref=7") {
			t.Errorf("sent %q", s.requests())
		}
	})
}

// TestReconcileBrokenAnswer: an answer that breaks off is not passed on: what
// became of the call is looked up.
func TestReconcileBrokenAnswer(t *testing.T) {
	for _, c := range []struct {
		name     string
		status   int
		looked   step
		want     string
		executed policy.Executed
	}{
		{"201, found", 201, there, row, ""},
		{"201, not there yet", 201, nothing, "", policy.Yes},
		{"201, no look-up", 201, step{status: 403}, "", policy.Yes},
		{"409, which did nothing", 409, there, "", policy.No},
		{"500, found", 500, there, row, ""},
		{"500, no look-up", 500, step{status: 403}, "", policy.Maybe},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, step{status: c.status, header: jsonType, body: `{"id":`}, c.looked)
			base := func(r *http.Request) (*http.Response, error) {
				resp, err := s.RoundTrip(r)
				if err == nil && r.Method == "POST" {
					resp.Body = struct {
						io.Reader
						io.Closer
					}{io.MultiReader(resp.Body, cutOff{}), resp.Body}
				}
				return resp, err
			}
			x, resp, err := compile(t, base, reconciled).do(order("7"))
			if c.want != "" {
				if text := finish(t, resp, err); text != c.want || x.Source != policy.Reconciled {
					t.Errorf("%s: %q", c.name, text)
				}
			} else if d := denied(t, err, policy.CodeUnreachable); d.Executed != c.executed || x.Outcome != policy.Unreachable || x.Doubtful() != (c.executed == policy.Maybe) {
				t.Errorf("%s: %v, executed %s", c.name, d, d.Executed)
			}
			if s.open != 0 || slices.Contains(s.requests()[1:], "POST /orders") && c.executed == policy.Yes {
				t.Errorf("%s: sent %q, %d open", c.name, s.requests(), s.open)
			}
		})
	}
}

type cutOff struct{}

func (cutOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestReconcileWarnings: a look-up by what others may have, too, is told of.
func TestReconcileWarnings(t *testing.T) {
	for _, c := range []struct {
		get, found string
		warnings   int
	}{
		{`"/c?ref=${request.body.ref}"`, `length(response.body.data) > 0`, 0},
		{`"/c?ref=${request.body.metadata.order_id}&limit=1"`, `length(response.body.data) > 0`, 0},
		{`"/c?email=${request.body.email}"`, `length(response.body.data) > 0`, 1},
		{`"/c?q=${request.body.customer["E-Mail"]}"`, `length(response.body.data) > 0`, 1},
		{`"/c?q=${request.body.customer.Email_Address}"`, `length(response.body.data) > 0`, 1},
		{`"/c?q=${request.query.name}"`, `length(response.body.data) > 0`, 1},
		{`"/c?q=${request.header["X-Title"]}"`, `length(response.body.data) > 0`, 1},
		{`"/c?q=${request.body.ref}"`, `response.body.data[0].name == request.body.name`, 1},
		{`"/c?q=${request.body.title}"`, `response.body.data[0].name == request.body.name`, 2},
	} {
		src := "reconcile {\nget = " + c.get + "\nfound = " + c.found + "\n}"
		_, diags := open(t, nil).try(src)
		warned := 0
		for _, d := range diags {
			if d.Severity == hcl.DiagWarning && d.Subject != nil && d.Subject.Start.Line > 2 {
				warned++
			}
		}
		if diags.HasErrors() || warned != c.warnings {
			t.Errorf("%s: %d warnings, want %d: %v", src, warned, c.warnings, diags)
		}
	}
}

// TestReconcileInAnotherPlace: a look needs a place of its own under a limit of
// concurrency, and gets the one that the answer in doubt had.
func TestReconcileInAnotherPlace(t *testing.T) {
	src := "limit \"one at a time\" {\nconcurrency = 1\nwait = \"1s\"\n}\n" + reconciled
	for _, kind := range []string{"application/json", "text/html"} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, step{status: 500, header: map[string]string{"Content-Type": kind}, body: "busy"}, nothing, nothing, nothing, step{status: 500, header: map[string]string{"Content-Type": kind}, body: "busy"}, there)
			x, resp, err := compile(t, s.RoundTrip, src).do(order("7"))
			if text := finish(t, resp, err); text != row || x.Source != policy.Reconciled || s.open != 0 {
				t.Errorf("%s: %q after %q, %d open", kind, text, s.requests(), s.open)
			}
		})
		synctest.Test(t, func(t *testing.T) { // nor has retry to ask
			s := play(t, step{status: 500, header: map[string]string{"Content-Type": kind}, body: "busy"}, there)
			x, resp, err := compile(t, s.RoundTrip, strings.Replace(src, "retry {", "retry {\nattempts = 1", 1)).do(order("7"))
			if text := finish(t, resp, err); text != row || x.Source != policy.Reconciled || s.open != 0 {
				t.Errorf("%s: %q after %q, %d open", kind, text, s.requests(), s.open)
			}
		})
	}
}
