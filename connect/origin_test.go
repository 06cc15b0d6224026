package connect

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// tricks are addresses by which a browser, or somebody who reads it in another
// way than we do, might be led to evil.example.
var tricks = []string{
	"//evil.example", "///evil.example", "////evil.example/x", `/\evil.example`, `\\evil.example`, `\/evil.example`, `/\/evil.example`,
	"https:evil.example", "https:/evil.example", "https:///evil.example", "https:////evil.example", `https:\\evil.example`, "https:",
	"%2f%2fevil.example", "/%2f%2fevil.example", "/%2Fevil.example", "/%5cevil.example", "/%5Cevil.example", "/%252f%252fevil.example", "/%255cevil.example",
	"/x//evil.example", "/x/..//evil.example", "/.//evil.example", "/%2e%2e//evil.example", "/x/%2f%2fevil.example",
	"https://app.example.com@evil.example", "https://app.example.com:443@evil.example", "https://app.example.com:x@evil.example/", `https://app.example.com\@evil.example`,
	"https://user@app.example.com", "https://user:pass@app.example.com/", "https://@app.example.com/",
	"https://evil.example", "https://evil.example/https://app.example.com", "https://evil.example?https://app.example.com", "https://evil.example#https://app.example.com",
	"https://app.example.com.evil.example", "https://app.example.com%2eevil.example", "https://app.example.com%00.evil.example", "https://evilapp.example.com", "https://app.example.comevil.example",
	"https://app.example.com.", "https://app.example.com:8443", "https://sub.app.example.com", "https://app。example.com", "https://аpp.example.com", // the last has a Cyrillic letter
	"http://app.example.com", "HTTP://app.example.com", "ftp://app.example.com", "wss://app.example.com",
	"javascript:alert(1)", "JavaScript://app.example.com/%0aalert(1)", "data:text/html,x", "vbscript:x", "blob:https://app.example.com/x", "file:///etc/passwd", "about:blank", "view-source:https://app.example.com",
	"app.example.com", "app.example.com/x", "evil.example", "x", ".", "..", "?x", "#x", "/ x", " /x", "/x ", "\t/x", "/\tx", "/x\r\nLocation: https://evil.example", "/x\x00", "/\n/evil.example", "/\t/evil.example", "h\nttps://evil.example",
	"/é", "/\u202e", "/x\u2028", "/%zz", "/%", "https://[::1", "https://[app.example.com]", "https://app.example.com:99999999",
	"/" + strings.Repeat("x", maxReturnTo),
}

func returnConfig(t *testing.T) *Config {
	return mustDecode(t, `connect {
  public_url = "https://connect.example.com"
  return_to  = ["https://app.example.com", "https://app.example.com:8444", "http://localhost:3000"]
}`)
}

func TestC59ReturnTo(t *testing.T) {
	c := returnConfig(t)
	for text, want := range map[string]string{
		"/":                                    "https://connect.example.com/",
		"/done":                                "https://connect.example.com/done",
		"/done?x=1&next=https%3A%2F%2Fa%2Fb#f": "https://connect.example.com/done?x=1&next=https%3A%2F%2Fa%2Fb#f",
		"/done?next=//evil.example":            "https://connect.example.com/done?next=//evil.example", // data of the application's own
		"/a%20b/%C3%A9":                        "https://connect.example.com/a%20b/%C3%A9",
		"https://connect.example.com/x":        "https://connect.example.com/x",
		"https://app.example.com":              "https://app.example.com",
		"https://APP.example.com:443/x?y#z":    "https://app.example.com/x?y#z",
		"https://app.example.com:/":            "https://app.example.com/",
		"HTTPS://app.example.com/":             "https://app.example.com/",
		"https://app.example.com:8444/":        "https://app.example.com:8444/",
		"http://localhost:3000/x":              "http://localhost:3000/x",
	} {
		u, err := c.destination(text)
		if err != nil || u.String() != want {
			t.Errorf("%s: %v, %v, want %s", text, u, err, want)
		}
	}
	if u, err := c.destination(""); u != nil || err != nil {
		t.Errorf("nothing: %v, %v", u, err)
	}
	for _, text := range tricks {
		if u, err := c.destination(text); err == nil {
			t.Errorf("%q is taken for %s", text, u)
		} else if !strings.Contains(err.Error(), "return_to") {
			t.Errorf("%q: %v does not say what it is about", text, err)
		}
	}
}

// FuzzC59ReturnTo: whatever is let through is a URL of a listed origin, by the
// reading of Go and by a generous one.
func FuzzC59ReturnTo(f *testing.F) {
	for _, text := range tricks {
		f.Add(text)
	}
	for _, text := range []string{"/", "/done?x#y", "https://app.example.com/x", "http://localhost:3000"} {
		f.Add(text)
	}
	c, diags := decode(`connect {
  public_url = "https://connect.example.com"
  return_to  = ["https://app.example.com", "http://localhost:3000"]
}`)
	if diags.HasErrors() {
		f.Fatal(diags)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := c.destination(text)
		if err != nil || u == nil {
			return
		}
		out := arrived(u, true, &link{Provider: "acme", Account: text})
		ok := false
		for _, origin := range append(c.ReturnTo, c.PublicURL) {
			rest, found := strings.CutPrefix(out, origin)
			ok = ok || found && (rest == "" || strings.ContainsAny(rest[:1], "/?#"))
		}
		path, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(out, "https://"), "http://"), "?")
		if !ok || strings.ContainsAny(out, "\\\t\r\n ") || strings.Contains(path, "//") {
			t.Fatalf("%q leads to %q", text, out)
		}
		again, err := url.Parse(out)
		if err != nil || again.User != nil || again.Query().Get("connected") != "1" && !strings.Contains(u.RawQuery, "connected") && !strings.Contains(u.RawQuery, ";") {
			t.Fatalf("%q leads to %q: %v", text, out, err)
		}
	})
}

// TestC59LandsOnTheDefaultPage goes the whole way with every trick.
func TestC59LandsOnTheDefaultPage(t *testing.T) {
	r := newRig(t, "https", `return_to = ["https://app.example.com"]`)
	for _, text := range tricks {
		s := r.open(Request{Account: "a", ReturnTo: text})
		if s.ReturnTo != "" || s.ReturnToIgnored == "" {
			t.Errorf("%q: the application is told %q, %q", text, s.ReturnTo, s.ReturnToIgnored)
		}
		b := r.browser()
		a := b.ask("GET", b.agree(b.depart(s.URL)).String())
		if got := a.Header.Get("Location"); a.StatusCode != http.StatusSeeOther || got != r.url+"/connect/done" {
			t.Errorf("%q: %d, sent to %q", text, a.StatusCode, got)
		}
	}
}

// TestC59DecidedTwice: what the policy allowed when the link was made, it may
// not allow any more when the customer is done.
func TestC59DecidedTwice(t *testing.T) {
	r := newRig(t, "https", `return_to = ["https://app.example.com"]`)
	for _, c := range []struct{ rest, want string }{
		{`return_to = ["https://app.example.com"]`, "https://app.example.com/x?y=1&account=a+b&connected=1&provider=acme#z"},
		{`return_to = ["https://other.example.com"]`, r.url + "/connect/done"},
	} {
		s := r.open(Request{Account: "a b", ReturnTo: "https://app.example.com/x?y=1#z"})
		if s.ReturnToIgnored != "" || s.ReturnTo != "https://app.example.com/x?y=1#z" {
			t.Fatalf("%+v", s)
		}
		b := r.browser()
		back := b.agree(b.depart(s.URL))
		r.Swap(r.block(c.rest))
		if got := b.ask("GET", back.String()).Header.Get("Location"); got != c.want {
			t.Errorf("%s: sent to %q, want %q", c.rest, got, c.want)
		}
	}
}
