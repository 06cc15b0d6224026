package inbound_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// upstream is a provider that is asked for the latest state.
type upstream struct {
	mu    sync.Mutex
	asked []*http.Request
	as    []string // the accounts
	plan  func(n int, r *http.Request) *http.Response
}

func says(status int, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func (u *upstream) egress(provider, account string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		u.mu.Lock()
		u.asked, u.as = append(u.asked, r), append(u.as, provider+"/"+account)
		n := len(u.asked)
		u.mu.Unlock()
		if resp := u.plan(n, r); resp != nil {
			return resp, nil
		}
		return nil, errors.New("there is no token")
	}
}

func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.asked)
}

// latestBox is an inbox that reads from u; more are lines of the latest block.
func latestBox(t *testing.T, a *app, u *upstream, more string, blocks ...string) *box {
	src := ordered(a.URL, "provider = \"shop\"\nlatest {\nget = \"/v1/things/${event.key}\"\n"+more+"\n}\n"+strings.Join(blocks, "\n"))
	return serve(t, mustLoad(t, src), func(o *inbound.Options) { o.Egress = u.egress })
}

// TestLatestEnvelope: the state is read as the account of the event, at an encoded
// path, and delivered beside the event, both as they are.
func TestLatestEnvelope(t *testing.T) {
	a := newApp(t, nil)
	raw := "{\"n\": 1.0e2,  \"big\":9007199254740993 }"
	u := &upstream{plan: func(int, *http.Request) *http.Response { return says(200, raw) }}
	b := latestBox(t, a, u, `debounce = "0s"`)
	b.run()
	body := "{\"id\":\"1\",  \"key\":\"a/../b?c\",\"account\":\"acct\",\"x\":1.00}"
	b.post("/hook", body, set("Content-Type", "application/json; charset=utf-8"))
	got := a.nth(t, 1)
	asOf := got.header.Get("Postern-As-Of")
	if want := `{"event": ` + body + `, "latest": ` + raw + `, "as_of": "` + asOf + `"}`; string(got.body) != want {
		t.Errorf("delivered %s, want %s", got.body, want)
	}
	if at, err := time.Parse(time.RFC3339Nano, asOf); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("as of %q", asOf)
	}
	if u.asked[0].URL.String() != "/v1/things/a%2F..%2Fb%3Fc" || u.as[0] != "shop/acct" {
		t.Errorf("asked for %s as %s", u.asked[0].URL, u.as[0])
	}
	if got.header.Get("Postern-Verified") != "latest" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("%v", got.header)
	}
	b.state("1", inbound.Applied)
}

// TestLatestNotJSON: what is not JSON cannot get out of its place in the envelope.
func TestLatestNotJSON(t *testing.T) {
	a := newApp(t, nil)
	u := &upstream{plan: func(int, *http.Request) *http.Response {
		return says(200, `1}, "as_of": "x", {"`, "Content-Type", "text/plain")
	}}
	b := serve(t, mustLoad(t, ordered(a.URL, "provider = \"shop\"\nlatest {\nget = \"/state\"\nunchanged = \"deliver\"\ndebounce = \"0s\"\n}")), func(o *inbound.Options) { o.Egress = u.egress })
	b.run()
	for i, body := range []string{"\x00\xff", `null}, "latest": {"admin": true`} {
		b.post("/hook", body, nil)
		var e struct{ Event, Latest any }
		if err := json.Unmarshal(a.nth(t, i+1).body, &e); err != nil {
			t.Fatal(err)
		}
		if e.Latest != `1}, "as_of": "x", {"` || i == 1 && e.Event != body || i == 0 && fmt.Sprint(e.Event) != "map[base64:AP8=]" {
			t.Errorf("%+v", e)
		}
	}
}

// TestLatestBody: the state in place of the event; what is gone is null.
func TestLatestBody(t *testing.T) {
	a := newApp(t, nil)
	u := &upstream{plan: func(n int, _ *http.Request) *http.Response {
		if n == 1 {
			return says(200, " {} ", "Content-Type", "application/vnd.api+json")
		}
		return says(410, "no such thing")
	}}
	b := latestBox(t, a, u, "debounce = \"0s\"\nas = \"body\"")
	b.run()
	b.post("/hook", `{"id":"1","key":"k"}`, nil)
	if d := a.nth(t, 1); string(d.body) != " {} " || d.header.Get("Content-Type") != "application/vnd.api+json" {
		t.Errorf("%s as %s", d.body, d.header.Get("Content-Type"))
	}
	b.post("/hook", `{"id":"2","key":"k"}`, nil)
	if d := a.nth(t, 2); string(d.body) != "null" || d.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s as %s", d.body, d.header.Get("Content-Type"))
	}
	b.post("/hook", `{"id":"3","key":"k"}`, nil)
	if e := b.state("3", inbound.Ignored); !strings.HasPrefix(because(e), "unchanged: ") {
		t.Errorf("%q", because(e))
	}
}

// TestLatestUnchanged: by ETag, which is asked for; by what version says; by a digest.
// A replay is delivered all the same.
func TestLatestUnchanged(t *testing.T) {
	for name, c := range map[string]struct {
		more string
		plan func(int, *http.Request) *http.Response
	}{
		"etag": {"", func(n int, r *http.Request) *http.Response {
			if asked := r.Header.Get("If-None-Match"); n != 2 && asked != "" { // of a replay the answer would be a state without a body
				t.Errorf("etag: asked with %q the %d. time", asked, n)
			}
			if n == 2 {
				if r.Header.Get("If-None-Match") != `"v1"` {
					t.Errorf("etag: asked with %v", r.Header)
				}
				return says(304, "")
			}
			return says(200, fmt.Sprint(n), "ETag", `"v1"`)
		}},
		"version": {"version = response.body.v", func(n int, _ *http.Request) *http.Response {
			return says(200, fmt.Sprintf(`{"v":7,"read":%d}`, n))
		}},
		"digest": {"", func(int, *http.Request) *http.Response { return says(200, `{"same":true}`) }},
	} {
		a := newApp(t, nil)
		b := latestBox(t, a, &upstream{plan: c.plan}, "debounce = \"0s\"\n"+c.more)
		b.run()
		b.post("/hook", `{"id":"1","key":"k"}`, nil)
		first := b.state("1", inbound.Applied)
		b.post("/hook", `{"id":"2","key":"k"}`, nil)
		if e := b.state("2", inbound.Ignored); !strings.HasPrefix(because(e), "unchanged: ") || e.Deliveries[0].Attempt != 0 {
			t.Errorf("%s: %+v", name, e.Deliveries)
		}
		if _, err := b.Act(t.Context(), inbound.ActReplay, inbound.Filter{IDs: []string{first.ID}}, "ann"); err != nil {
			t.Fatal(err)
		}
		a.nth(t, 2)
		b.post("/hook", `{"id":"3","key":"other"}`, nil)
		a.nth(t, 3)
	}
}

// TestLatestFails: a failure to read is no attempt of the application, and the reason
// says what is wrong.
func TestLatestFails(t *testing.T) {
	a := newApp(t, nil)
	u := &upstream{plan: func(n int, _ *http.Request) *http.Response {
		switch n {
		case 1:
			return nil
		case 2:
			return says(503, "")
		case 3:
			return says(200, strings.Repeat("x", 101))
		case 4:
			return says(200, "{}", "Postern-Source", "fallback")
		case 5:
			return says(200, "{}", "Content-Encoding", "gzip")
		}
		return says(200, "{}")
	}}
	b := latestBox(t, a, u, "debounce = \"0s\"\nmax = \"100B\"")
	b.run()
	b.post("/hook", `{"id":"1","key":"k"}`, nil)
	e := b.state("1", inbound.Applied)
	if got := a.nth(t, 1).header.Get("Postern-Attempt"); got != "1" {
		t.Errorf("attempt %s", got)
	}
	r, err := b.Show(t.Context(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	var why []string
	for _, m := range r.Trail {
		if m.To == inbound.Retrying {
			why = append(why, strings.TrimPrefix(m.Reason, "the latest state cannot be read: "))
		}
	}
	want := []string{"there is no token", "it answered 503 Service Unavailable", "it is larger than 100B", "it was answered from what is kept (fallback)", "it is compressed, and was asked for as it is"}
	if strings.Join(why, "|") != strings.Join(want, "|") {
		t.Errorf("%q", why)
	}
}

// TestLatestGivesUp: reading is tried for so long; what makes no path is never asked.
func TestLatestGivesUp(t *testing.T) {
	a := newApp(t, nil)
	u := &upstream{plan: func(int, *http.Request) *http.Response { return says(401, "") }}
	b := latestBox(t, a, u, "debounce = \"0s\"\nwithin = \"50ms\"")
	b.run()
	b.post("/hook", `{"id":"1","key":"k"}`, nil)
	if e := b.state("1", inbound.Failed); !strings.HasPrefix(because(e), "given up after 50ms: the latest state cannot be read: it answered 401") {
		t.Errorf("%q", because(e))
	}
	n := u.count()
	b.post("/hook", `{"id":"2"}`, nil)
	b.post("/hook", `{"id":"3","key":".."}`, nil)
	for _, id := range []string{"2", "3"} {
		if e := b.state(id, inbound.Failed); !strings.Contains(because(e), "does not say what to ask for") {
			t.Errorf("%s: %q", id, because(e))
		}
	}
	if u.count() != n || len(a.deliveries()) != 0 {
		t.Errorf("asked %d times, delivered %d", u.count(), len(a.deliveries()))
	}
}

// TestLatestNamesNoHost: an event cannot have another host asked by leaving out a part
// of the path.
func TestLatestNamesNoHost(t *testing.T) {
	a, u := newApp(t, nil), &upstream{plan: func(int, *http.Request) *http.Response { return says(200, "{}") }}
	b := serve(t, mustLoad(t, ordered(a.URL, "provider = \"shop\"\nlatest {\nget = \"/${body.shop}/${body.thing}\"\ndebounce = \"0s\"\n}")), func(o *inbound.Options) { o.Egress = u.egress })
	b.run()
	b.post("/hook", `{"id":"1","shop":"","thing":"evil.test"}`, nil)
	if e := b.state("1", inbound.Failed); !strings.Contains(because(e), "does not say what to ask for") || u.count() != 0 {
		t.Errorf("%q, asked %d times", because(e), u.count())
	}
}

// TestLatestWhen: events for which the state is not read go as they are.
func TestLatestWhen(t *testing.T) {
	a := newApp(t, nil)
	u := &upstream{plan: func(int, *http.Request) *http.Response { return says(200, "{}") }}
	b := latestBox(t, a, u, `when = event.type == "thing"`)
	b.run()
	b.post("/hook", `{"id":"1","key":"k","type":"other"}`, nil)
	b.state("1", inbound.Applied)
	if d := a.nth(t, 1); string(d.body) != `{"id":"1","key":"k","type":"other"}` || d.header.Get("Postern-Verified") != "no" || u.count() != 0 {
		t.Errorf("%s, %v, asked %d times", d.body, d.header, u.count())
	}
}

// TestLatestShared: many signs of one account share one reading, and one that comes
// while it is read causes another: no update is lost.
func TestLatestShared(t *testing.T) {
	reading, go1 := make(chan struct{}), make(chan struct{})
	a := newApp(t, nil)
	u := &upstream{}
	u.plan = func(n int, _ *http.Request) *http.Response {
		if n == 1 {
			close(reading)
			<-go1
		}
		return says(200, fmt.Sprintf(`{"read":%d}`, n))
	}
	src := ordered(a.URL, "provider = \"shop\"\nlatest {\nget = \"/changes\"\ndebounce = \"150ms\"\n}")
	b := serve(t, mustLoad(t, src), func(o *inbound.Options) { o.Egress = u.egress })
	b.run()
	for i := range 10 {
		b.post("/hook", fmt.Sprintf(`{"id":"%d","account":"acct"}`, i), nil)
	}
	<-reading
	for i := range 5 { // these may be about what the reading has missed
		b.post("/hook", fmt.Sprintf(`{"id":"late%d","account":"acct"}`, i), nil)
	}
	close(go1)
	b.state("late0", inbound.Applied)
	first := b.state("0", inbound.Applied)
	for i := 1; i < 10; i++ {
		if e := b.state(fmt.Sprint(i), inbound.Ignored); because(e) != "overtaken: its state was delivered with "+first.ID {
			t.Errorf("%d: %q", i, because(e))
		}
	}
	for i := 1; i < 5; i++ {
		b.state(fmt.Sprintf("late%d", i), inbound.Ignored)
	}
	if u.count() != 2 || len(a.deliveries()) != 2 {
		t.Errorf("read %d times, delivered %d", u.count(), len(a.deliveries()))
	}
}

// TestLatestRefused: what makes no sense is said where it stands.
func TestLatestRefused(t *testing.T) {
	for _, c := range []struct{ head, latest, want string }{
		{"", `get = "/x"`, "say whose webhook this is by provider"},
		{"provider = \"p\"", ``, "get"},
		{"provider = \"p\"", `get = "/x/${event.key}"`, "by key in the event block"},
		{"provider = \"p\"", `get = "https://elsewhere.example/x"`, "begin"},
		{"provider = \"p\"", "get = \"/x\"\nas = \"list\"", "use envelope or body"},
		{"provider = \"p\"", "get = \"/x\"\nunchanged = \"maybe\"", "use skip or deliver"},
		{"provider = \"p\"", "get = \"/x\"\nwithin = \"0s\"", "ithin must be more than nothing"},
		{"provider = \"p\"", "get = \"/x\"\ndebounce = \"2h\"", "at most an hour"},
		{"provider = \"p\"", "get = \"/x\"\nversion = body.v", "There is no body"},
	} {
		src := fmt.Sprintf("webhook \"hook\" {\npath = \"/hook\"\n%s\nverify \"none\" {}\ndeliver { to = \"http://127.0.0.1:1/\" }\nlatest {\n%s\n}\n}\n", c.head, c.latest)
		if _, diags := load(src); !diags.HasErrors() || !strings.Contains(diags.Error(), c.want) {
			t.Errorf("%s, %s: %v, want %q", c.head, c.latest, diags, c.want)
		}
	}
}
