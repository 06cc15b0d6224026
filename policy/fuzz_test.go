package policy_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// FuzzPattern: a pattern that is accepted matches the path that it spells, and
// nothing of another method.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"/", "GET /v1/customers/{id}", "/v1/**", "/a%20b/{x}/**", "POST /%7Bx%7D", "/a/", "/**", " /**"} {
		f.Add(s, "/v1/x")
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		var p policy.Pattern
		if p.UnmarshalText([]byte(text)) != nil {
			return
		}
		method, spelled, ok := strings.Cut(text, " ")
		if !ok {
			method, spelled = "GET", text
		}
		if spelled = strings.ReplaceAll(spelled, "**", "rest"); !p.Match(method, spelled) {
			t.Errorf("%q does not match %s %q", text, method, spelled)
		}
		if ok && p.Match(method+"X", path) {
			t.Errorf("%q matches another method", text)
		}
		if !p.Equal(&p) {
			t.Errorf("%q does not equal itself", text)
		}
		if u, err := url.ParseRequestURI(path); err == nil && !policy.Ambiguous(u.EscapedPath()) {
			p.Match(method, u.EscapedPath())
		}
	})
}

// FuzzHost: what is accepted is one host, spelled in the one way in which it
// is looked up.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"api.stripe.com", "*.example.com:8443", "[::1]:1", "127.0.0.1", "xn--bcher-kva.example", "a.b-c.d", "[2001:db8::1]", "bücher.de", "0x1", "[::", "[::1]8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var h policy.Host
		if h.UnmarshalText([]byte(s)) != nil {
			return
		}
		if string(h) != s || strings.ToLower(s) != s || strings.ContainsAny(s, " /@%_\x00\\?#") {
			t.Errorf("%q was accepted as %q", s, h)
		}
		u, err := url.Parse("https://" + strings.Replace(s, "*", "sub", 1) + "/")
		if err != nil {
			t.Fatalf("%q is no host of a URL: %v", s, err)
		}
		set := open(t, nil).compile("a: hosts = [\"" + s + "\"]").set
		if set.Find(u.Hostname(), u.Port()) == nil {
			t.Errorf("%q is accepted and not found", s)
		}
		if set.Find("x"+u.Hostname(), u.Port()) != nil && !strings.HasPrefix(s, "*") {
			t.Errorf("%q owns another host too", s)
		}
	})
}

// FuzzQuery: after setting a parameter no other of that name is left, and the
// others are as they were.
func FuzzQuery(f *testing.F) {
	f.Add("a=1&key=x;b=2&%6bey", "key", "v")
	f.Add("&&;=&%zz&key", "key", "a&b=c;d")
	f.Add("a=1;key=x;b=2", "key", "v")
	f.Fuzz(func(t *testing.T, raw, name, value string) {
		u := &url.URL{RawQuery: raw}
		policy.SetQuery(u, name, value)
		if got := policy.QueryValues(u.RawQuery, name); len(got) != 1 || got[0] != value {
			t.Errorf("%q: %q has %q", raw, u.RawQuery, got)
		}
		put := policy.PutQuery(raw, name, value)
		if got := policy.QueryValues(put, name); len(got) != 1 || got[0] != value {
			t.Errorf("%q: put: %q has %q", raw, put, got)
		}
		if !slices.Contains(strings.Split(put, "&"), url.QueryEscape(name)+"="+url.QueryEscape(value)) {
			t.Errorf("%q: put: not every server finds it in %q", raw, put)
		}
		if a, b := policy.DropQuery(raw, name), policy.DropQuery(put, name); strings.Trim(a, "&;") != strings.Trim(b, "&;") && !strings.Contains(raw, ";") {
			t.Errorf("%q became %q: the others are %q, were %q", raw, put, b, a)
		}
		if !strings.ContainsAny(raw, "&;") && len(policy.QueryValues(raw, name)) == 0 && !strings.HasPrefix(u.RawQuery, raw) {
			t.Errorf("%q became %q", raw, u.RawQuery)
		}
	})
}

// FuzzField: after setting a member of a JSON object there is one of that
// name, whatever escapes the object has, and it is still JSON.
func FuzzField(f *testing.F) {
	f.Add(`{"a":1,"k":2,"\u006b":3}`, "k", "v\"")
	f.Add(`{"a":{"k":1},"a":[1e400,9007199254740993]}`, "a", "")
	f.Fuzz(func(t *testing.T, body, name, value string) {
		out, ok := policy.SetField([]byte(body), name, value)
		if !ok || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return
		}
		members, ok := policy.Fields(out, name)
		if !ok || !block.ValidJSON(out) || len(members) != 1 || members[0].Str != value {
			t.Errorf("%s: %s has %v", body, out, members)
		}
	})
}
