package policy_test

import (
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// summary is what explain shows of a stage.
func summary(t *testing.T, p *policy.Plan, name string) string {
	t.Helper()
	for _, st := range p.Stages {
		if st.Name == name {
			return st.Summary
		}
	}
	return ""
}

// TestOverlay: catalogue, provider, route: attribute by attribute; credentials
// replace the set, own outcomes come first.
func TestOverlay(t *testing.T) {
	ctx := block.NewContext("test", block.NewSecrets(environ))
	w := layers(t, "p", ctx, `
		hosts = ["catalogue.example"]
		endpoints = ["/c"]
		timeout {
			connect = "1s"
			attempt = "2s"
			total   = "3s"
		}
		retry {
			attempts = 5
			backoff {
				first = "1s"
				max   = "9s"
			}
		}
		limit "a" { rate = "1/s" }
		outcome "not_found" { when = response.status == 418 }
		credential "header" {
			name  = "X-Old"
			value = env("OLD")
		}
	`, `
		hosts = ["p.example"]
		timeout { attempt = "4s" }
		retry {
			backoff { first = "2s" }
		}
		limit "b" { rate = "2/s" }
		outcome "conflict" { when = response.status == 418 }
		credential "bearer" { token = env("NEW") }
		route "/r" {
			timeout { total = "7s" }
			outcome "forbidden" { when = response.status == 418 }
			credential "query" {
				name  = "key"
				value = env("THIRD")
			}
		}
		route "/plain" {
			timeout { idle = "8s" }
		}
	`)
	var seen *http.Request
	set, diags := policy.Compile([]policy.Written{w}, features(t, nil), ctx, policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
		seen = r
		return &http.Response{StatusCode: 418, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}, nil
	}))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	p := set.Provider("p")
	if set.Find("catalogue.example", "443") != nil || set.Find("p.example", "443") != p {
		t.Error("hosts of the catalogue are not replaced")
	}
	whole, route, plain := p.Plans()[0], p.Plans()[1], p.Plans()[2]
	if route.Route != "/r" {
		route, plain = plain, route
	}
	for _, c := range []struct {
		plan       *policy.Plan
		name, want string
	}{
		{whole, "timeout", "connect 1s, attempt 4s, total 3s"},
		{route, "timeout", "connect 1s, attempt 4s, total 7s"},
		{whole, "retry", "up to 5 attempts"},
		{whole, "retry", "2s times 2 up to 9s"},
		{route, "retry", "2s times 2 up to 9s"},
		{whole, `limit "a"`, "1/s"},
		{route, `limit "b"`, "2/s"},
		{whole, "outcome", "2 rules"},
		{route, "outcome", "3 rules"},
		{whole, `credential "bearer"`, "Bearer"},
		{route, `credential "query"`, "key"},
		{plain, `credential "bearer"`, "Bearer"},
	} {
		if got := summary(t, c.plan, c.name); !strings.Contains(got, c.want) {
			t.Errorf("%s %s: %q, want %q", c.plan.Route, c.name, got, c.want)
		}
	}
	if summary(t, whole, `credential "header"`) != "" || summary(t, route, `credential "bearer"`) != "" {
		t.Error("credentials were added instead of replaced")
	}
	h := &house{t: t, set: set}
	for path, want := range map[string]policy.Outcome{"/x": policy.Conflict, "/r": policy.Forbidden, "/plain": policy.Conflict} {
		x, _, err := h.do(call{method: "GET", path: path})
		if err != nil || x.Outcome != want {
			t.Errorf("%s: %s, %v; want %s", path, x.Outcome, err, want)
		}
		if (seen.Header.Get("Authorization") == "") != (path == "/r") || (seen.URL.Query().Get("key") != "") != (path == "/r") || seen.Header.Get("X-Old") != "" {
			t.Errorf("%s: %v %s", path, seen.Header, seen.URL)
		}
	}
}

// TestOfferedCredentials: what the catalogue says of a kind of credential holds
// where a policy names that kind, and nowhere else; a route's lies over the
// provider's.
func TestOfferedCredentials(t *testing.T) {
	const catalogue = `
		hosts = ["p.example"]
		credential "header" { name = "X-First" }
		credential "header" { name = "X-Second" }
		credential "bearer" { scheme = "Token" }
	`
	for _, c := range []struct {
		name, src, path string
		want            map[string]string
	}{
		{"none is named", ``, "/x", nil},
		{"one", `credential "header" { value = env("NEW") }`, "/x", map[string]string{"X-First": "new-key-0123456789"}},
		{
			"each by its place", "credential \"header\" { value = env(\"NEW\") }\ncredential \"header\" { value = env(\"OLD\") }", "/x",
			map[string]string{"X-First": "new-key-0123456789", "X-Second": "old-key-9876543210"},
		},
		{"another kind", `credential "bearer" { token = env("NEW") }`, "/x", map[string]string{"Authorization": "Token new-key-0123456789"}},
		{"the policy's word", "credential \"bearer\" {\ntoken = env(\"NEW\")\nscheme = \"Key\"\n}", "/x", map[string]string{"Authorization": "Key new-key-0123456789"}},
		{"a kind of one's own", "credential \"query\" {\nname = \"k\"\nvalue = env(\"NEW\")\n}", "/x", map[string]string{"k": "new-key-0123456789"}},
		{
			"route over provider", "credential \"bearer\" {\ntoken = env(\"NEW\")\nscheme = \"Key\"\n}\nroute \"/r\" {\ncredential \"bearer\" { token = env(\"OLD\") }\n}", "/r",
			map[string]string{"Authorization": "Key old-key-9876543210"},
		},
		{"route over catalogue", "route \"/r\" {\ncredential \"bearer\" { token = env(\"OLD\") }\n}", "/r", map[string]string{"Authorization": "Token old-key-9876543210"}},
		{"beside that route", "route \"/r\" {\ncredential \"bearer\" { token = env(\"OLD\") }\n}", "/x", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := play(t, step{status: 200})
			ctx := block.NewContext("test", block.NewSecrets(environ))
			set, diags := policy.Compile([]policy.Written{layers(t, "p", ctx, catalogue, c.src)}, features(t, nil), ctx, s)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			_, resp, err := (&house{t: t, set: set}).do(call{method: "GET", path: c.path})
			finish(t, resp, err)
			got := map[string]string{}
			for name := range s.sent[0].Header {
				got[name] = s.sent[0].Header.Get(name)
			}
			for name, v := range s.sent[0].URL.Query() {
				got[name] = v[0]
			}
			if !maps.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// witness is a kind of credential that sees what the others put.
type witness struct{ seen *[]string }

func (w *witness) Stage(policy.Scope) (policy.Stage, error) {
	return policy.Stage{Wrap: func(next http.RoundTripper) http.RoundTripper {
		return policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
			*w.seen = append(*w.seen, r.Header.Get("Authorization"))
			return next.RoundTrip(r)
		})
	}}, nil
}

// TestLastCredential: a feature that comes last sees what all other kinds put,
// wherever it is written.
func TestLastCredential(t *testing.T) {
	for _, src := range []string{
		"credential \"witness\" {}\ncredential \"bearer\" { token = env(\"NEW\") }",
		"credential \"bearer\" { token = env(\"NEW\") }\ncredential \"witness\" {}",
	} {
		for _, last := range []bool{true, false} {
			var seen []string
			h := open(t, play(t, step{status: 200}))
			h.features = append(h.features, policy.Feature{Name: "credential", Kind: "witness", Last: last, New: func() policy.Block { return &witness{&seen} }})
			_, resp, err := h.compile(src).do(call{method: "GET", path: "/x"})
			finish(t, resp, err)
			if want := last || strings.HasPrefix(src, `credential "bearer"`); (seen[0] == "Bearer new-key-0123456789") != want {
				t.Errorf("%s (last: %v): saw %q", src, last, seen)
			}
		}
	}
}

// TestCompileRefuses: two things in one place, and things that are not there.
func TestCompileRefuses(t *testing.T) {
	for _, src := range []string{
		"credential \"bearer\" { token = env(\"NEW\") }\ncredential \"basic\" { username = env(\"OLD\") }",
		"retry {}\nretry {}", "limit \"a\" { rate = \"1/s\" }\nlimit \"a\" { rate = \"1/s\" }", "limit \"a\" {}",
		"limit \"a\" {\nrate = \"1/s\"\nconcurrency = 3\n}", `limit "a" { concurrency = -1 }`, `limit "a" { burst = 3 }`, `limit "a" { from = "headers" }`,
		"limit \"a\" {\nconcurrency = 1\nburst = 3\n}", "limit \"a\" {\nconcurrency = 1\nqueue = -3\n}", "limit \"a\" {\nfrom = \"ratelimit\"\nremaining = response.header[\"X\"]\n}",
		"limit \"a\" {\nremaining = response.header[\"X\"]\nreset = response.header[\"Y\"]\n}", "limit \"a\" {\nremaining = response.header[\"X\"]\nunit = \"epoch_ms\"\n}",
		"limit \"a\" {\nremaining = response.header[\"X\"]\nreset = response.header[\"Y\"]\nunit = \"minutes\"\n}", "limit \"a\" {\nrate = \"1/s\"\nreset = response.header[\"Y\"]\nunit = \"epoch_ms\"\n}",
		"limit \"a\" {\nrate = \"1/s\"\ncost = 3\n}", "limit \"a\" {\nremaining = response.header[\"X\"]\nrefill = 2\nreset = response.header[\"Y\"]\nunit = \"epoch_ms\"\n}",
		`fallback {}`, `fallback { stale = "10ms" }`, `hosts = []`, `listen = "8091"`, `upstream = "http://:80"`, `upstream = "ftp://x"`, `credential "mtls" {}`, `credential "berer" {}`,
		"version {\nheader = \"A B\"\npin = \"1\"\n}", "version {\npath = \"v1\"\npin = \"1\"\n}", `idempotency {}`, "idempotency {\nheader = \"Content-Length\"\n}",
		"credential \"header\" {\nname = \"Host\"\nvalue = env(\"NEW\")\n}", `outcome "ratelimited" { when = true }`, `retry { on = ["ok"] }`, `breaker { failures = 2 }`,
	} {
		if _, diags := open(t, nil).try(src); !diags.HasErrors() {
			t.Errorf("%s was accepted", src)
		}
	}
	if _, diags := open(t, nil).try("a: listen = \"127.0.0.1:1\"\n", "b: listen = \"127.0.0.1:1\"\n"); !diags.HasErrors() {
		t.Error("two providers on one port were accepted")
	}
}

// TestVersion: the pinned version stands in its place and nowhere else.
func TestVersion(t *testing.T) {
	for _, c := range []struct{ src, path, want string }{
		{`path = "v{version}"`, "/v1/charges", "/v2026-10/charges"},
		{`path = "v{version}"`, "/videos/1", "/videos/1"},
		{`path = "v{version}"`, "/", "/"},
		{`path = "admin/api/{version}"`, "/admin/api/2024-01/orders%2Fx", "/admin/api/2026-10/orders%2Fx"},
		{`path = "admin/api/{version}"`, "/admin/other", "/admin/other"},
		{`query = "api-version"`, "/x?api-version=1&a=%zz&api%2dversion=2", "/x?a=%zz&api-version=2026-10"},
		{`header = "X-Version"`, "/x", "/x"},
	} {
		s := play(t, step{status: 200, header: map[string]string{"X-Version": "2020"}})
		h := compile(t, s.RoundTrip, "version {\n"+c.src+"\npin = \"2026-10\"\necho = response.header[\"X-Version\"]\n}")
		x, resp, err := h.do(call{method: "GET", path: c.path, header: http.Header{"x-version": {"raw"}}})
		finish(t, resp, err)
		if got := s.sent[0].URL.RequestURI(); got != c.want {
			t.Errorf("%s: %s went out as %s, want %s", c.src, c.path, got, c.want)
		}
		if strings.HasPrefix(c.src, "header") && (s.sent[0].Header.Get("X-Version") != "2026-10" || len(spelt(s.sent[0].Header, "x-version")) != 1) {
			t.Errorf("%v", s.sent[0].Header)
		}
		if !noted(x, "version", "answered_with") {
			t.Error("another version in the answer was not noted")
		}
	}
}

// TestOutcomeBody: a rule reads the beginning of a JSON answer, gzip too, and
// the application still gets every byte; a stream is never waited for.
func TestOutcomeBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := oneTry + `outcome "rate_limited" { when = response.body.error == "ratelimited" }
			error { code = response.body.error }`
		body := `{"ok":false,"error":"ratelimited"}`
		s := play(t, step{status: 200, header: map[string]string{"Content-Type": "application/json"}, body: body})
		x, resp, err := compile(t, s.RoundTrip, src).do(call{method: "GET", path: "/x"})
		if got := finish(t, resp, err); got != body || x.Outcome != policy.RateLimited || x.ProviderCode != "ratelimited" || !x.Plan.ReadsAnswer {
			t.Errorf("%q, %s, %q", got, x.Outcome, x.ProviderCode)
		}
		for _, header := range []map[string]string{{"Content-Type": "text/event-stream"}, {"Content-Type": "application/json", "Content-Encoding": "br"}, {"Content-Type": "application/octet-stream"}} {
			pr, pw := io.Pipe() // nobody ever writes
			h := compile(t, func(*http.Request) (*http.Response, error) {
				hd := http.Header{}
				for k, v := range header {
					hd.Set(k, v)
				}
				return &http.Response{StatusCode: 200, Header: hd, ContentLength: -1, Body: pr}, nil
			}, src)
			if x, _, err := h.do(call{method: "GET", path: "/x"}); err != nil || x.Outcome != policy.OK {
				t.Errorf("%v: %s, %v", header, x.Outcome, err)
			}
			pw.Close()
		}
		long := `{"a":"` + strings.Repeat("x", policy.PeekLimit) + `","error":"ratelimited"}`
		s = play(t, step{status: 200, header: map[string]string{"Content-Type": "application/json"}, body: long})
		_, resp, err = compile(t, s.RoundTrip, src).do(call{method: "GET", path: "/x"})
		if got := finish(t, resp, err); got != long {
			t.Errorf("%d bytes of %d came through", len(got), len(long))
		}
	})
}

// TestExpressionsOneWay: an expression reads the call as it is for the
// provider, whichever way it came in.
func TestExpressionsOneWay(t *testing.T) {
	s := play(t, step{status: 200})
	h := compile(t, s.RoundTrip, "idempotency {\nheader = \"K\"\nkey = \"${request.method} ${request.host}${request.path} ${request.query.a} ${request.header[\"x-b\"]}\"\n}")
	x, resp, err := h.do(call{method: "POST", path: "/v1/a%2Fb?a=1", header: http.Header{"X-B": {"2"}}})
	finish(t, resp, err)
	if x.Key.Value != "POST p.example/v1/a%2Fb 1 2" {
		t.Errorf("%+v", x.Key)
	}
}

// spelt lists the values of a header in every spelling of its name.
func spelt(h http.Header, name string) (values []string) {
	for k, v := range h {
		if strings.EqualFold(k, name) {
			values = append(values, v...)
		}
	}
	return values
}
