package policy_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/policy"
)

// TestC5Hosts: what a policy may name, and which hosts it then owns.
func TestC5Hosts(t *testing.T) {
	for _, ok := range []string{"api.stripe.com", "*.example.com", "localhost", "a-b.example", "api.example.com:8443", "127.0.0.1", "127.0.0.1:9000", "[2001:db8::1]", "[::1]:8443", "xn--bcher-kva.example", "r3---sn-x.example"} {
		var h policy.Host
		if err := h.UnmarshalText([]byte(ok)); err != nil || string(h) != ok {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for bad, want := range map[string]string{
		"API.stripe.com": `write "api.stripe.com"`, "bücher.example": `"xn--bcher-kva.example"`, "api.*.com": "only in front", "*api.com": "only in front", "*.*.com": "only in front",
		"": "not a host", "*.": "not a host", ".com": "not a host", "a..b": "not a host", "api.example.com.": "not a host", "a b": "not a host", "a_b.com": "not a host",
		"user@a.com": "not a host", "a.com/x": "not a host", "a%2eb": "not a host", "a\x00b": "not a host", "-a.com": "not a host", "xn--abc-.com": "not a host", "https://a.com": "",
		"a.com:0": "port", "a.com:99999": "port", "a.com:x": "port", "a.com:": "port", "127.1": "not a host", "0x7f.1": "not a host", "0177.0.0.1": "not a host", "*.127.0.0.1": "not a host",
		"::1": `"[::1]"`, "[::ffff:127.0.0.1]": "address", "[::1%eth0]": "address", "[a.com]": "address", "[::1]x": "address", "[::1": "closing bracket", "[0:0::1]": `"[::1]"`,
		strings.Repeat("a", 64) + ".com": "not a host",
	} {
		var h policy.Host
		if err := h.UnmarshalText([]byte(bad)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", bad, err, want)
		}
	}
	set := open(t, nil).compile(
		`a: hosts = ["api.example.com", "*.x.com", "[::1]", "[::1]:8443"]`,
		`b: hosts = ["b.x.com", "api.example.com:8443", "*.y.x.com"]`,
	).set
	for host, want := range map[string]string{
		"api.example.com 443": "a", "api.example.com 80": "a", "api.example.com 8443": "b", "api.example.com 8080": "", "evil-api.example.com 443": "", "api.example.com.evil.com 443": "",
		"q.x.com 443": "a", "q.r.x.com 443": "a", "x.com 443": "", "evilx.com 443": "", ".x.com 443": "", "b.x.com 443": "b", "z.y.x.com 443": "b", "y.x.com 443": "a", "q.x.com 8080": "",
		"::1 443": "a", "::1 8443": "a", "::1 22": "",
	} {
		name, port, _ := strings.Cut(host, " ")
		got := ""
		if p := set.Find(name, port); p != nil {
			got = p.Name
		}
		if got != want {
			t.Errorf("%s belongs to %q, want %q", host, got, want)
		}
	}
	for _, twice := range []string{`hosts = ["api.example.com:443"]`, `hosts = ["api.example.com"]`, `hosts = ["*.x.com"]`, `hosts = ["*.x.com:443"]`, `hosts = ["[::1]"]`} {
		if _, diags := open(t, nil).try(`a: hosts = ["api.example.com", "*.x.com", "[::1]"]`, "b: "+twice); !diags.HasErrors() {
			t.Errorf("%s has two owners", twice)
		}
	}
}

// TestC6Paths: a path that could be read in two ways is refused where a rule
// decides, and goes out byte for byte where none does.
func TestC6Paths(t *testing.T) {
	odd := []string{"/v1/a%2fb", "/v1/a%5cb", "/v1/%2e%2e/x", "/v1//x", "/v1/./x", "/v1/../x", "/v1/a;b", "/v1/%00", "/v1/%ff", `/v1/a\b`, "/v1/%252e", "/v1/%3bx"}
	for _, p := range odd {
		if !policy.Ambiguous(p) {
			t.Errorf("%q is taken for clear", p)
		}
	}
	for _, p := range []string{"/", "/v1/charges", "/v1/a.b", "/v1/..a", "/v1/a%20b", "/v1/%C3%A9", "/v1/"} {
		if policy.Ambiguous(p) {
			t.Errorf("%q is taken for ambiguous", p)
		}
	}
	s := play(t, step{status: 200})
	allowing := compile(t, s.RoundTrip, `allow { requests = ["/v1/**"] }`)
	plain := compile(t, s.RoundTrip, ``)
	for _, p := range odd {
		if _, err := url.Parse("https://p.example" + p); err != nil || strings.Contains(p, `\`) {
			continue
		}
		_, _, err := allowing.do(call{method: "GET", path: p})
		denied(t, err, policy.BadRequest)
		_, resp, err := plain.do(call{method: "GET", path: p})
		finish(t, resp, err)
		if got := s.sent[len(s.sent)-1].URL.EscapedPath(); got != p {
			t.Errorf("%q went out as %q", p, got)
		}
	}
	routed := compile(t, s.RoundTrip, `route "POST /v1/charges" {
		idempotency {
			header   = "Idempotency-Key"
			required = true
		}
	}`)
	for _, p := range []string{"/v1/x/%2e%2e/charges", "/v1//charges", "/v1%2fcharges", "/v1/charges;a", "/v1%252fcharges", "/v1/./charges"} {
		_, _, err := routed.do(call{method: "POST", path: p})
		denied(t, err, policy.BadRequest)
	}
	_, resp, err := routed.do(call{method: "POST", path: "/v1/files/a%2Fb"})
	finish(t, resp, err)
}

// TestPatterns: the most specific one wins, and two equal ones are an error.
func TestPatterns(t *testing.T) {
	src := `endpoints = ["/a/**", "/a", "/a/{x}", "/a/b", "/a/{x}/c", "GET /a/b", "/a/b/**", "/sp%20ace/{x}", "/**"]`
	p := compile(t, nil, src).set.Provider("p")
	for call, want := range map[string]string{
		"POST /a": "/a", "POST /a/": "/a/**", "GET /a/b": "GET /a/b", "POST /a/b": "/a/b", "POST /a/z": "/a/{x}", "POST /a/b/c": "/a/b/**", "POST /a/z/c": "/a/{x}/c",
		"POST /a/z/d": "/a/**", "POST /z": "/**", "POST /": "/**", "POST /sp%20ace/1": "/sp%20ace/{x}", "POST /%61/%62": "/a/b", "POST /a/b%2e": "/a/{x}",
	} {
		method, path, _ := strings.Cut(call, " ")
		if m, err := p.Match(method, path); err != nil || m.Endpoint != want {
			t.Errorf("%s is %q, %v; want %q", call, m.Endpoint, err, want)
		}
	}
	for _, bad := range []string{
		`endpoints = ["/a/{x}", "/a/{y}"]`, `endpoints = ["/a", "/%61"]`, `allow { requests = ["GET /a", "GET /a"] }`, `endpoints = ["a"]`, `endpoints = ["get /a"]`, `endpoints = [" /a"]`, `endpoints = ["\tGET /a"]`, `endpoints = ["/a?b"]`,
		`endpoints = ["/a/**/b"]`, `endpoints = ["/a*"]`, `endpoints = ["/a//b"]`, `endpoints = ["/a/../b"]`, `endpoints = ["/{}"]`, `endpoints = ["/a/{rest...}"]`,
		"route \"/a/{x}\" {}\nroute \"/a/{y}\" {}",
	} {
		if _, diags := open(t, nil).try(bad); !diags.HasErrors() {
			t.Errorf("%s was accepted", bad)
		}
	}
}

// TestAllow: what is not named does not leave; observed, it leaves with a note.
func TestAllow(t *testing.T) {
	s := play(t, step{status: 200})
	src := "requests = [\"GET /v1/**\", \"POST /v1/charges\"]\n"
	h := compile(t, s.RoundTrip, "allow {\n"+src+"}")
	for _, c := range []struct {
		method, path string
		ok           bool
	}{{"GET", "/v1/x", true}, {"POST", "/v1/charges", true}, {"POST", "/v1/charges/", false}, {"DELETE", "/v1/x", false}, {"GET", "/v2", false}, {"get", "/v1/x", false}} {
		_, _, err := h.do(call{method: c.method, path: c.path})
		if c.ok != (err == nil) {
			t.Errorf("%s %s: %v", c.method, c.path, err)
		}
	}
	if len(s.sent) != 2 {
		t.Errorf("%d left", len(s.sent))
	}
	h = compile(t, s.RoundTrip, "allow {\n"+src+"mode = \"observe\"\n}")
	x, _, err := h.do(call{method: "DELETE", path: "/v1//x"})
	if err != nil || !noted(x, "allow", "would_refuse") {
		t.Errorf("%v %v", err, x.Notes)
	}
}
