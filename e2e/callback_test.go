package e2e

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/e2e/op"
)

// person is somebody with a browser, made of net/http: it keeps cookies, and follows a redirect when it is told to.
type person struct {
	t *testing.T
	*http.Client
}

func newPerson(t *testing.T) *person {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &person{t, &http.Client{Jar: jar, Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// goes makes one request, with a form where there is one, and returns the status, where it leads, and the page.
func (p *person) goes(method, address string, form url.Values) (status int, to, page string) {
	p.t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := p.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Location"), string(b)
}

// agrees follows a link to the provider, agrees there, and returns where the provider sends the browser: the callback.
func (p *person) agrees(link string) *url.URL {
	p.t.Helper()
	status, to, page := p.goes(http.MethodPost, link, nil)
	if status != http.StatusSeeOther {
		p.t.Fatalf("the link: %d %s", status, page)
	}
	status, to, page = p.goes(http.MethodPost, to, url.Values{"user": {"ada"}, "answer": {"allow"}, "granted": op.Scopes})
	back, err := url.Parse(to)
	if err != nil || status != http.StatusSeeOther || back.Query().Get("code") == "" {
		p.t.Fatalf("the provider: %d %q %s", status, to, page)
	}
	return back
}

// startWithOP starts a Postern whose customers grant access at fosite's authorization server.
func startWithOP(t *testing.T) *connecting {
	t.Helper()
	harness.Binary(t)
	s := authServer(t, op.Config{})
	return startConnecting(t, s.Server, `issuer = "`+s.Issuer()+`"`, func(redirects ...string) {
		if err := s.Client("app", clientSecret, redirects...); err != nil {
			t.Fatal(err)
		}
	})
}

// with changes the query of a callback; a nil value takes a parameter away.
func with(u *url.URL, path string, more url.Values) string {
	out, q := *u, u.Query()
	if path != "" {
		out.Path = path
	}
	for name, values := range more {
		if q[name] = values; values == nil {
			q.Del(name)
		}
	}
	out.RawQuery = q.Encode()
	return out.String()
}

// rejected are the callbacks that are none, made of a good one: good is the browser's own, other is somebody else's who
// is just as far.
var rejected = []struct {
	name   string
	from   func(good, other *url.URL) string
	spends bool // the state was right, so that the good callback is over too
}{
	{"no state", func(good, _ *url.URL) string { return with(good, "", url.Values{"state": nil}) }, false},
	{"an empty state", func(good, _ *url.URL) string { return with(good, "", url.Values{"state": {""}}) }, false},
	{"two states", func(good, other *url.URL) string {
		return with(good, "", url.Values{"state": {good.Query().Get("state"), other.Query().Get("state")}})
	}, false},
	{"the same state twice", func(good, _ *url.URL) string {
		return with(good, "", url.Values{"state": {good.Query().Get("state"), good.Query().Get("state")}})
	}, false},
	{"an unknown state", func(good, _ *url.URL) string {
		return with(good, "", url.Values{"state": {"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}})
	}, false},
	{"a state with another end", func(good, _ *url.URL) string {
		state := good.Query().Get("state")
		end := "A" // 256 bits take 43 characters: the last one has four, and two that are nothing
		if strings.HasSuffix(state, "A") {
			end = "E"
		}
		return with(good, "", url.Values{"state": {state[:len(state)-1] + end}})
	}, false},
	{"half a state", func(good, _ *url.URL) string {
		state := good.Query().Get("state")
		return with(good, "", url.Values{"state": {state[:len(state)/2]}})
	}, false},
	{"another browser's state", func(good, other *url.URL) string {
		return with(good, "", url.Values{"state": {other.Query().Get("state")}})
	}, false},
	{"another browser's callback", func(_, other *url.URL) string { return other.String() }, false},
	{"another issuer", func(good, _ *url.URL) string {
		return with(good, "", url.Values{"iss": {"https://evil.example"}})
	}, true},
	{"no issuer", func(good, _ *url.URL) string { return with(good, "", url.Values{"iss": nil}) }, true},
	{"two issuers", func(good, _ *url.URL) string {
		return with(good, "", url.Values{"iss": {good.Query().Get("iss"), "https://evil.example"}})
	}, true},
	{"another provider's path", func(good, _ *url.URL) string { return with(good, "/callback/another", nil) }, true},
	{"a path of no provider", func(good, _ *url.URL) string { return with(good, "/callback/nobody", nil) }, true},
	{"no code", func(good, _ *url.URL) string { return with(good, "", url.Values{"code": nil}) }, true},
	{"an empty code", func(good, _ *url.URL) string { return with(good, "", url.Values{"code": {""}}) }, true},
	{"two codes", func(good, other *url.URL) string {
		return with(good, "", url.Values{"code": {good.Query().Get("code"), other.Query().Get("code")}})
	}, true},
	{"an error beside a code", func(good, _ *url.URL) string { return with(good, "", url.Values{"error": {"access_denied"}}) }, true},
	{"an error", func(good, _ *url.URL) string {
		return with(good, "", url.Values{"code": nil, "error": {"server_error"}})
	}, true},
}

// TestC57RejectedCallbacks: a callback that does not fit in every part makes no call to the token endpoint, as the
// authorization server counts, connects nothing, and sends the browser nowhere.
func TestC57RejectedCallbacks(t *testing.T) {
	g := startWithOP(t)
	for i, tt := range rejected {
		t.Run(tt.name, func(t *testing.T) {
			mine, theirs := newPerson(t), newPerson(t)
			account := fmt.Sprint("mine ", i)
			good, other := mine.agrees(g.link(t, account, g.app+"/x").URL), theirs.agrees(g.link(t, account+" theirs", "").URL)
			g.auth.Forget()
			status, to, page := mine.goes(http.MethodGet, tt.from(good, other), nil)
			if status < 400 || to != "" || strings.Contains(page, good.Query().Get("code")) || strings.Contains(page, good.Query().Get("state")) {
				t.Errorf("%d, sent to %q: %s", status, to, page)
			}
			if n := len(g.auth.RequestsTo("/token")); n != 0 {
				t.Errorf("the token endpoint was asked %d times", n)
			}
			for _, name := range []string{account, account + " theirs"} {
				if c := g.connection(t, name); c.State != "pending" || c.Generation != 0 {
					t.Errorf("%s: %+v", name, c)
				}
			}
			// What a state is good for ends with its first use, right or wrong, and with nothing else.
			status, to, _ = mine.goes(http.MethodGet, good.String(), nil)
			n := len(g.auth.RequestsTo("/token"))
			if taken := n == 1 && status == http.StatusSeeOther && strings.HasPrefix(to, g.app+"/x?"); taken == tt.spends || n > 1 {
				t.Errorf("the good one after it: %d, sent to %q, the token endpoint was asked %d times", status, to, n)
			}
		})
	}
}

// TestC57Cookie: the cookie that goes with a state has to be there, and the very one.
func TestC57Cookie(t *testing.T) {
	g := startWithOP(t)
	for name, change := range map[string]func(*http.Cookie){
		"taken away":    func(c *http.Cookie) { c.MaxAge = -1 },
		"another value": func(c *http.Cookie) { c.Value = c.Value[1:] + "A" },
		"empty":         func(c *http.Cookie) { c.Value = "" },
	} {
		p := newPerson(t)
		good := p.agrees(g.link(t, name, g.app+"/x").URL)
		cookies := p.Jar.Cookies(good)
		if len(cookies) != 1 {
			t.Fatalf("cookies %v", cookies)
		}
		cookies[0].Path = "/"
		change(cookies[0])
		p.Jar.SetCookies(good, cookies)
		if status, to, page := p.goes(http.MethodGet, good.String(), nil); status != http.StatusForbidden || to != "" {
			t.Errorf("%s: %d, sent to %q: %s", name, status, to, page)
		}
		if c := g.connection(t, name); c.State != "pending" {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if n := len(g.auth.RequestsTo("/token")); n != 0 {
		t.Errorf("the token endpoint was asked %d times", n)
	}
}

// TestC57StateWorksOnce: of callbacks that are made again, one after the other or all at once, one is taken; a look by
// HEAD takes none, and nor does a person's "no".
func TestC57StateWorksOnce(t *testing.T) {
	g := startWithOP(t)
	p := newPerson(t)
	good := p.agrees(g.link(t, "once", "").URL).String()
	if status, _, _ := p.goes(http.MethodHead, good, nil); status != http.StatusMethodNotAllowed {
		t.Errorf("HEAD: %d", status)
	}
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if resp, err := p.Get(good); err != nil {
				t.Error(err)
			} else if resp.Body.Close(); resp.StatusCode == http.StatusSeeOther {
				taken.Add(1)
			}
		})
	}
	wg.Wait()
	if status, to, _ := p.goes(http.MethodGet, good, nil); status != http.StatusBadRequest || to != "" {
		t.Errorf("replayed: %d, sent to %q", status, to)
	}
	if n := grants(g.auth); taken.Load() != 1 || n["authorization_code"] != 1 {
		t.Errorf("%d were taken, the token endpoint was asked %v", taken.Load(), n)
	}

	link := g.link(t, "no", g.app+"/x").URL
	_, to, _ := p.goes(http.MethodPost, link, nil)
	_, to, _ = p.goes(http.MethodPost, to, url.Values{"user": {"ada"}, "answer": {"deny"}})
	status, _, page := p.goes(http.MethodGet, to, nil)
	if status != http.StatusForbidden || !strings.Contains(page, html.EscapeString(g.app+"/x?account=no&connected=0")) {
		t.Errorf("declined: %d %s", status, page)
	}
	_, number, _ := strings.Cut(page, "<code>") // by which the operator finds the line that says why
	number, _, _ = strings.Cut(number, "</code>")
	var told []string
	for deadline := time.Now().Add(10 * time.Second); len(told) == 0 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for line := range strings.Lines(g.Stdout() + g.Stderr()) {
			if strings.Contains(line, `"id":"`+number+`"`) {
				told = append(told, line)
			}
		}
	}
	if len(told) != 1 || strings.Count(told[0], `"id":`) != 1 || !strings.Contains(told[0], "Not connected") {
		t.Errorf("the number %q is that of %q", number, told)
	}
	if status, _, _ := p.goes(http.MethodPost, link, nil); status != http.StatusNotFound {
		t.Errorf("the link a second time: %d", status)
	}
	if n := grants(g.auth); n["authorization_code"] != 1 {
		t.Errorf("the token endpoint was asked %v", n)
	}
}

// TestC59ReturnTo: whatever an application is made to ask for, a browser ends at the application or on a page of ours.
func TestC59ReturnTo(t *testing.T) {
	g := startWithOP(t)
	host := strings.TrimPrefix(g.app, "http://")
	for _, trick := range []string{
		"//evil.example", "//evil.example/x", `/\evil.example`, `\\evil.example`, `/\/evil.example`, "https:evil.example", "https:/evil.example", "https:///evil.example",
		"/%2f%2fevil.example", "/%2F/evil.example", "/%5cevil.example", "/%252f%252fevil.example", "/x//evil.example", "https://evil.example",
		g.app + "@evil.example", "http://" + host + ".evil.example", "http://evil.example#" + g.app, "http://evil.example?" + g.app, `http://evil.example\@` + host,
		"http://user:pass@" + host + "/", "javascript:alert(1)", "data:text/html,x", " https://evil.example", "/\t/evil.example", "/\n//evil.example", "http:\\" + host,
		"http://[::1]@evil.example", "https://" + host, "ftp://" + host, "evil.example", "x", "?x", "#x", "http://evil.example\x00" + host, "/" + strings.Repeat("x", 3000),
		"http://" + strings.ToUpper("evil.example"), "http://127.0.0.1:1/", "//" + host, "/ü",
	} {
		s := g.link(t, "acct", trick)
		if s.Ignored == "" {
			t.Errorf("%q is accepted", trick)
		}
		p := newPerson(t)
		status, to, page := p.goes(http.MethodGet, p.agrees(s.URL).String(), nil)
		if status != http.StatusSeeOther || to != g.public("/connect/done") {
			t.Errorf("%q: %d, sent to %q: %s", trick, status, to, page)
		}
	}
	for given, want := range map[string]string{
		"":                       g.public("/connect/done"),
		"/welcome":               g.public("/welcome?"),
		g.app + "/a%20b?c=%2F#d": g.app + "/a%20b?c=%2F&",
	} {
		s := g.link(t, "acct", given)
		p := newPerson(t)
		status, to, page := p.goes(http.MethodGet, p.agrees(s.URL).String(), nil)
		if s.Ignored != "" || status != http.StatusSeeOther || !strings.HasPrefix(to, want) {
			t.Errorf("%q: ignored because %q, %d, sent to %q: %s", given, s.Ignored, status, to, page)
		}
	}
}
