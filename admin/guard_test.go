package admin

import (
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const guarded = `admin { token = env("ADMIN_TOKEN") }`

const debugged = "admin {\n token = env(\"ADMIN_TOKEN\")\n pprof = true\n}"

// target is a path that a route serves.
func (r *route) target() string {
	return strings.NewReplacer("{$}", "", "{id}", "0190f3a2-7c11-7abc-8def-0123456789ab", "{name...}", "goroutine", "{provider}", "acme").Replace(r.path)
}

// isProblem checks that an answer is a problem of this status.
func isProblem(t *testing.T, what string, a answer, status int) {
	t.Helper()
	var p Problem
	if a.StatusCode != status || a.Header.Get("Content-Type") != "application/problem+json" || json.Unmarshal([]byte(a.body), &p) != nil ||
		p.Status != status || p.Title == "" || p.Detail == "" || p.Type != "about:blank" {
		t.Errorf("%s: %d %s %s, want a problem with status %d", what, a.StatusCode, a.Header.Get("Content-Type"), a.body, status)
	}
}

// TestC64EveryRoute asks for all routes there are, with and without the token.
func TestC64EveryRoute(t *testing.T) {
	l := serve(t, debugged, "ADMIN_TOKEN="+token)
	var open []string
	for _, r := range routes() {
		what := r.pattern()
		if r.open {
			open = append(open, r.path)
			if a := l.ask(r.method, r.target(), ""); a.StatusCode != http.StatusOK {
				t.Errorf("%s: %d without the token, though it is open", what, a.StatusCode)
			}
		} else {
			for name, change := range map[string]func(*http.Request){
				"no token":      func(*http.Request) {},
				"wrong token":   withToken("a-token-of-some-lengtH"),
				"shorter token": withToken(token[:len(token)-1]),
				"longer token":  withToken(token + "x"),
				"empty token":   withToken(""),
				"other scheme":  withHeader("Authorization", "Token "+token),
				"basic, as user": func(r *http.Request) {
					r.SetBasicAuth(token, "")
				},
				"in the query": func(r *http.Request) { r.URL.RawQuery = "token=" + token + "&access_token=" + token },
			} {
				a := l.ask(r.method, r.target(), "", change)
				isProblem(t, what+", "+name, a, http.StatusUnauthorized)
				if !strings.Contains(a.Header.Get("WWW-Authenticate"), "Bearer") || strings.Contains(a.body, token) {
					t.Errorf("%s, %s: %v %s", what, name, a.Header, a.body)
				}
			}
		}
		for name, change := range map[string]func(*http.Request){"bearer": withToken(token), "basic": func(r *http.Request) { r.SetBasicAuth("me", token) }} {
			if a := l.ask(r.method, r.target(), "", change); a.StatusCode == http.StatusUnauthorized || a.StatusCode == http.StatusMethodNotAllowed || a.StatusCode >= 500 {
				t.Errorf("%s, %s: %d %s", what, name, a.StatusCode, a.body)
			}
		}
		isProblem(t, what+" under another name", l.ask(r.method, r.target(), "", withToken(token), withHost("evil.example")), http.StatusMisdirectedRequest)
	}
	if want := []string{"/livez", "/readyz", "/startupz"}; !slices.Equal(open, want) {
		t.Errorf("%v are open, want only %v", open, want)
	}
	if l.reloads != 2 {
		t.Errorf("%d reloads, want the two that had the token", l.reloads)
	}
	for _, path := range []string{"/nothing", "/api/v1/nothing", "/debug/", "/%00", "/api/v1/inbox/events/"} {
		isProblem(t, path, l.ask("GET", path, ""), http.StatusUnauthorized)
		isProblem(t, path, l.ask("GET", path, "", withToken(token)), http.StatusNotFound)
	}
}

func TestC64WithoutTokenConfigured(t *testing.T) {
	l := serve(t, `admin {}`)
	for _, r := range routes() {
		a := l.ask(r.method, r.target(), "")
		if a.StatusCode == http.StatusUnauthorized {
			t.Errorf("%s asks for a token that is not configured", r.pattern())
		}
		if r.debug {
			isProblem(t, r.pattern(), a, http.StatusNotFound)
		}
	}
}

func TestC29Pprof(t *testing.T) {
	l := serve(t, guarded, "ADMIN_TOKEN="+token)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars"} {
		isProblem(t, path, l.ask("GET", path, "", withToken(token)), http.StatusNotFound)
	}
	l.Swap(mustDecode(t, debugged, "ADMIN_TOKEN="+token))
	for path, want := range map[string]string{"/debug/pprof/": "goroutine", "/debug/pprof/goroutine?debug=1": "goroutine profile", "/debug/pprof/cmdline": "admin", "/debug/pprof/symbol": "num_symbols"} {
		if a := l.ask("GET", path, "", withToken(token)); a.StatusCode != 200 || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %.100s", path, a.StatusCode, a.body)
		}
	}
	isProblem(t, "without the token", l.ask("GET", "/debug/pprof/", ""), http.StatusUnauthorized)
}

func TestC65Rebinding(t *testing.T) {
	local := mustDecode(t, "admin {\n listen = \"127.0.0.1:9000\"\n names = [\"Postern.internal\"]\n}")
	remote := mustDecode(t, "admin {\n listen = \"gate.example:9000\"\n token = env(\"T\")\n}")
	for _, c := range []struct {
		host          string
		local, remote bool
	}{
		{"127.0.0.1:9000", true, true},
		{"127.0.0.1", true, true},
		{"127.0.0.1:1234", true, true}, // forwarded to another port
		{"localhost:9000", true, true},
		{"LocalHost", true, true},
		{"[::1]:9000", true, true},
		{"[::1]", true, true},
		{"127.8.9.1:9000", true, true},
		{"postern.internal:9000", true, false},
		{"gate.example:9000", false, true},
		{"GATE.example", false, true},
		{"10.1.2.3:9000", false, true}, // an address is never rebound
		{"[2001:db8::1]:9000", false, true},
		{"evil.example", false, false},
		{"evil.example:9000", false, false},
		{"127.0.0.1.evil.example", false, false},
		{"localhost.evil.example", false, false},
		{"evil.localhost", false, false},
		{"127.0.0.1.", false, false},
		{"2130706433", false, false},
		{"0x7f.1", false, false},
		{"postern.internal.evil.example", false, false},
		{"", false, false},
		{":9000", false, false},
		{"127.0.0.1@evil.example", false, false},
		{"evil.example#127.0.0.1", false, false},
		{"[::1", true, true}, // no URL has it, and it is an address
	} {
		if got := local.called(c.host); got != c.local {
			t.Errorf("on loopback, %q: %t", c.host, got)
		}
		if got := remote.called(c.host); got != c.remote {
			t.Errorf("elsewhere, %q: %t", c.host, got)
		}
	}
}

func TestC65CrossOrigin(t *testing.T) {
	l := serve(t, `admin {}`)
	for name, c := range map[string]struct {
		change  []func(*http.Request)
		allowed bool
	}{
		"no browser":                   {nil, true},
		"same origin":                  {[]func(*http.Request){withHeader("Sec-Fetch-Site", "same-origin")}, true},
		"typed by the user":            {[]func(*http.Request){withHeader("Sec-Fetch-Site", "none")}, true},
		"another site":                 {[]func(*http.Request){withHeader("Sec-Fetch-Site", "cross-site")}, false},
		"another port":                 {[]func(*http.Request){withHeader("Sec-Fetch-Site", "same-site")}, false},
		"an old browser, another site": {[]func(*http.Request){withHeader("Origin", "https://evil.example")}, false},
		"an old browser, null":         {[]func(*http.Request){withHeader("Origin", "null")}, false},
		"an old browser, same origin":  {[]func(*http.Request){withHeader("Origin", l.url)}, true},
	} {
		before := l.reloads
		a := l.ask("POST", "/api/v1/reload", "", c.change...)
		if c.allowed != (a.StatusCode == 200) || c.allowed != (l.reloads > before) {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
		if !c.allowed {
			isProblem(t, name, a, http.StatusForbidden)
		}
		if a := l.ask("GET", "/livez", "", c.change...); a.StatusCode != 200 {
			t.Errorf("%s: reading is %d", name, a.StatusCode)
		}
	}
}

func TestC68HealthIsExact(t *testing.T) {
	l := serve(t, guarded, "ADMIN_TOKEN="+token)
	for _, path := range []string{"/livez/", "/LIVEZ", "/livez/x", "/livez;x", "/x/../metrics", "/livez/../metrics", "/livez%2f..%2fmetrics", "/livez%00", "/"} {
		a := l.ask("GET", path, "", withHeader("User-Agent", "kube-probe/1.30"), withHeader("X-Forwarded-For", "127.0.0.1"), withHeader("X-Original-URL", "/livez"))
		if a.StatusCode == 200 || strings.Contains(a.body, "postern_build_info") {
			t.Errorf("%s: %d %.80s", path, a.StatusCode, a.body)
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	l := serve(t, `admin {}`)
	for _, path := range []string{"/", "/livez", "/metrics", "/nothing", "/api/v1/status", "/style.css"} {
		a := l.ask("GET", path, "")
		for name, want := range headers {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
}

func TestMethods(t *testing.T) {
	l := serve(t, `admin {}`)
	for path, allow := range map[string]string{"/api/v1/reload": "POST", "/livez": "GET, HEAD", "/api/v1/inbox/replay": "POST", "/": "GET, HEAD"} {
		a := l.ask("DELETE", path, "")
		isProblem(t, path, a, http.StatusMethodNotAllowed)
		if a.Header.Get("Allow") != allow {
			t.Errorf("%s allows %q, want %q", path, a.Header.Get("Allow"), allow)
		}
	}
	if a := l.ask("HEAD", "/livez", ""); a.StatusCode != 200 || a.body != "" {
		t.Errorf("HEAD: %d %q", a.StatusCode, a.body)
	}
	isProblem(t, "unknown", l.ask("BREW", "/coffee", ""), http.StatusNotFound)
}

func TestToken(t *testing.T) {
	l := serve(t, guarded, "ADMIN_TOKEN=short")
	if err := l.Ready(); err == nil || !strings.Contains(err.Error(), "[secret env:ADMIN_TOKEN]") {
		t.Errorf("a short token: %v", err)
	}
	a := l.ask("GET", "/api/v1/status", "", withToken("short"))
	isProblem(t, "short", a, http.StatusServiceUnavailable)
	l.Swap(mustDecode(t, guarded))
	isProblem(t, "not set", l.ask("GET", "/api/v1/status", "", withToken("")), http.StatusServiceUnavailable)
	l.Swap(mustDecode(t, guarded, "ADMIN_TOKEN="+token))
	if err := l.Ready(); err != nil {
		t.Error(err)
	}
	if a := l.ask("GET", "/api/v1/status", "", withToken(token)); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	l.Swap(mustDecode(t, guarded, "ADMIN_TOKEN="+token+"2"))
	isProblem(t, "rotated", l.ask("GET", "/api/v1/status", "", withToken(token)), http.StatusUnauthorized)
}

func TestRequestLimit(t *testing.T) {
	l := serve(t, `admin {}`)
	isProblem(t, "long body", l.ask("POST", "/api/v1/inbox/replay", `{"filter":{"type":"`+strings.Repeat("x", maxRequest)+`"}}`), http.StatusRequestEntityTooLarge)
	h := l.HTTP()
	if h.Addr != "127.0.0.1:8082" || h.ReadHeaderTimeout == 0 || h.ReadTimeout == 0 || h.WriteTimeout == 0 || h.IdleTimeout == 0 || h.MaxHeaderBytes == 0 {
		t.Errorf("%+v", h)
	}
}

func FuzzHost(f *testing.F) {
	f.Add("127.0.0.1:1")
	f.Add("[::1]:1")
	f.Add("LOCALHOST")
	f.Add("localhost.evil.example")
	c := new(Config)
	c.Default()
	f.Fuzz(func(t *testing.T, host string) {
		if !c.called(host) {
			return
		}
		name := host
		if h, _, err := net.SplitHostPort(host); err == nil {
			name = h
		}
		if ip := net.ParseIP(strings.Trim(name, "[]")); !strings.EqualFold(name, "localhost") && (ip == nil || !ip.IsLoopback()) {
			t.Errorf("called %q", host)
		}
	})
}
