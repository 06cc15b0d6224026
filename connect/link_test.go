package connect

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/oauth"
)

// TestConnect goes the whole way, as a customer does.
func TestConnect(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			r := newRig(t, scheme, "title = \"Shop & Sons\"\nreturn_to = [\"https://app.example.com\"]")
			s := r.open(Request{Account: "acct <1>", ReturnTo: "https://app.example.com/settings", By: "the test"})
			if !strings.HasPrefix(s.URL, r.url+"/connect/") || !slices.Equal(s.Scopes, []string{"read", "write"}) || s.Credential != "oauth2" || s.ReturnToIgnored != "" {
				t.Errorf("%+v", s)
			}
			if got := r.state("acct <1>"); got != connection.Pending {
				t.Errorf("asked for, it is %q", got)
			}
			b := r.browser()
			a := b.ask("GET", s.URL)
			for _, want := range []string{"Shop &amp; Sons asks for access to your Acme account", "acct &lt;1&gt;", "<li>read</li>", "<li>write</li>", "Continue to Acme", "<strong>127.0.0.1</strong>", `<form method="post" target="_top">`} {
				if !strings.Contains(a.body, want) {
					t.Errorf("the page lacks %q:\n%s", want, a.body)
				}
			}
			if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "text/html; charset=utf-8" || strings.Contains(a.body, "<script") {
				t.Errorf("%d %v", a.StatusCode, a.Header)
			}
			at := b.depart(s.URL)
			q := at.Query()
			if q.Get("redirect_uri") != r.url+"/callback/acme" || q.Get("code_challenge_method") != "S256" || len(q.Get("state")) != 43 || q.Get("scope") != "read write" {
				t.Errorf("sent to %s", at)
			}
			a = b.ask("GET", b.agree(at).String())
			if got, want := a.Header.Get("Location"), "https://app.example.com/settings?account=acct+%3C1%3E&connected=1&provider=acme"; a.StatusCode != http.StatusSeeOther || got != want {
				t.Errorf("%d, sent to %q, want %q", a.StatusCode, got, want)
			}
			if got := r.state("acct <1>"); got != connection.Active || r.at.counted() != 1 {
				t.Errorf("%s after %d calls", got, r.at.counted())
			}
			tok, _, err := r.keeper.Token(context.Background(), time.Time{}, r.keeper.Sources("acme")[0], "acct <1>")
			if err != nil || tok.Value != "canary-access" {
				t.Errorf("%v %v", tok, err)
			}
			if told := r.told(); strings.Contains(told, "canary") || !strings.Contains(told, "the customer has connected the account") {
				t.Errorf("told: %s", told)
			}
		})
	}
}

// TestLooksDoNotSpend: scanners of mails and messengers look at every link.
func TestLooksDoNotSpend(t *testing.T) {
	r := newRig(t, "https", "")
	s := r.open(Request{Account: "a"})
	for range 3 {
		for _, method := range []string{"GET", "HEAD"} {
			if a := r.browser().ask(method, s.URL); a.StatusCode != http.StatusOK || len(a.Cookies()) != 0 {
				t.Fatalf("%s: %d %v", method, a.StatusCode, a.Cookies())
			}
		}
	}
	r.browser().depart(s.URL)
}

// TestLinkWorksOnce: of many who press the button at once, one gets on, and
// afterwards the link looks like one that never was.
func TestLinkWorksOnce(t *testing.T) {
	r := newRig(t, "https", "")
	s := r.open(Request{Account: "a"})
	var mu sync.Mutex
	got := map[int]int{}
	var wg sync.WaitGroup
	for range 20 {
		b := r.browser()
		wg.Go(func() {
			a := b.ask("POST", s.URL)
			mu.Lock()
			defer mu.Unlock()
			got[a.StatusCode]++
		})
	}
	wg.Wait()
	if got[http.StatusSeeOther] != 1 || got[http.StatusNotFound] != 19 {
		t.Errorf("%v", got)
	}
	b := r.browser()
	want := b.ask("GET", s.URL)
	for what, to := range map[string]string{
		"made up": r.url + "/connect/" + oauth.NewVerifier(), "short": r.url + "/connect/x", "long": s.URL + "A", "another form of the same": s.URL[:len(s.URL)-1] + "=",
		"nothing": r.url + "/connect/", "no address of ours": r.url + "/x", "at the top": r.url + "/", "encoded": r.url + "/connect/%00", "below": s.URL + "/x",
	} {
		a := b.ask("GET", to)
		if a.StatusCode != http.StatusNotFound || a.body != want.body || a.Header.Get("Content-Security-Policy") != want.Header.Get("Content-Security-Policy") {
			t.Errorf("%s: %d, and it looks otherwise than a link that was used:\n%s", what, a.StatusCode, a.body)
		}
	}
	if told := r.told(); strings.Count(told, "told") != 0 {
		t.Errorf("guessing fills the log: %s", told)
	}
}

// TestLinkIsHeardOfNowhere: who can read the store has neither link nor state,
// and a secret of one kind is none of the other.
func TestLinkIsHeardOfNowhere(t *testing.T) {
	r := newRig(t, "https", "")
	kept := &tickets{Store: r.rows}
	r.opt.Store = kept
	s := r.open(Request{Account: "a", ReturnTo: "/canary-return"})
	b := r.browser()
	at := b.depart(s.URL)
	state := at.Query().Get("state")
	for _, k := range kept.all {
		for _, secret := range []string{s.URL[len(s.URL)-43:], state, "canary", "acme"} {
			if strings.Contains(string(k.Sealed)+string(k.ID)+hex.EncodeToString(k.ID), secret) {
				t.Errorf("the store has %q in clear text", secret)
			}
		}
	}
	if len(kept.all) != 2 || len(kept.all[0].ID) != 32 {
		t.Errorf("%d tickets", len(kept.all))
	}
	isGone(t, "the state as a link", b.ask("GET", r.url+"/connect/"+state))
	s = r.open(Request{Account: "a"})
	back, _ := url.Parse(r.url + "/callback/acme")
	back.RawQuery = url.Values{"state": {s.URL[len(s.URL)-43:]}, "code": {"x"}}.Encode()
	if a := b.ask("GET", back.String()); a.StatusCode < 400 || r.at.counted() != 0 {
		t.Errorf("the link as a state: %d, %d calls", a.StatusCode, r.at.counted())
	}
	// Whoever can write to the store cannot make one of the other either.
	kept.swap = true
	if a := b.ask("GET", r.open(Request{Account: "a"}).URL); a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a ticket under another id: %d", a.StatusCode)
	}
}

// tickets remembers what is kept.
type tickets struct {
	connection.Store
	all  []connection.Ticket
	swap bool // answer with the first
	fail error
}

func (k *tickets) Keep(ctx context.Context, t connection.Ticket) error {
	k.all = append(k.all, t)
	if k.fail != nil {
		return k.fail
	}
	return k.Store.Keep(ctx, t)
}

func (k *tickets) Look(ctx context.Context, id []byte) (connection.Ticket, error) {
	t, err := k.Store.Look(ctx, id)
	if k.swap {
		t.Sealed = k.all[0].Sealed
	}
	return t, err
}

func isGone(t *testing.T, what string, a answer) {
	t.Helper()
	if a.StatusCode != http.StatusNotFound {
		t.Errorf("%s: %d", what, a.StatusCode)
	}
}

// TestCrossSite: a page of somebody else cannot press the button.
func TestCrossSite(t *testing.T) {
	r := newRig(t, "https", "")
	s := r.open(Request{Account: "a"})
	for name, change := range map[string]func(*http.Request){
		"another site":         with("Sec-Fetch-Site", "cross-site"),
		"another host":         with("Sec-Fetch-Site", "same-site"),
		"old browser":          with("Origin", "https://evil.example"),
		"old browser, unknown": with("Origin", "null"),
	} {
		if a := r.browser().ask("POST", s.URL, change); a.StatusCode != http.StatusForbidden || len(a.Cookies()) != 0 {
			t.Errorf("%s: %d", name, a.StatusCode)
		}
	}
	for name, change := range map[string]func(*http.Request){"same origin": with("Sec-Fetch-Site", "same-origin"), "old browser": with("Origin", r.url)} {
		if a := r.browser().ask("POST", r.open(Request{Account: "a"}).URL, change); a.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: %d", name, a.StatusCode)
		}
	}
	r.browser().depart(s.URL) // still good
}

func TestCookie(t *testing.T) {
	for scheme, prefix := range map[string]string{"https": "__Host-postern-connect-", "http": "postern-connect-"} {
		r := newRig(t, scheme, "")
		one, two := r.browser().ask("POST", r.open(Request{}).URL), r.browser().ask("POST", r.open(Request{}).URL)
		k := one.Cookies()[0]
		if !strings.HasPrefix(k.Name, prefix) || k.Secure != (scheme == "https") || !k.HttpOnly || k.SameSite != http.SameSiteLaxMode || k.Path != "/" || k.Domain != "" || k.MaxAge != 600 || len(k.Value) != 43 {
			t.Errorf("%s: %v", scheme, k)
		}
		if other := two.Cookies()[0]; other.Name == k.Name || other.Value == k.Value {
			t.Errorf("%s: two ways with one cookie: %v", scheme, other)
		}
	}
}

// TestTwoWindows: one does not disturb the other.
func TestTwoWindows(t *testing.T) {
	r := newRig(t, "https", "")
	b := r.browser()
	one, two := b.depart(r.open(Request{Account: "one"}).URL), b.depart(r.open(Request{Account: "two"}).URL)
	for _, at := range []*url.URL{two, one} {
		if a := b.ask("GET", b.agree(at).String()); a.Header.Get("Location") != r.url+"/connect/done" {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
	if r.state("one") != connection.Active || r.state("two") != connection.Active {
		t.Errorf("%s, %s", r.state("one"), r.state("two"))
	}
	if left := b.http.Jar.Cookies(one); len(left) != 0 {
		t.Errorf("cookies are left: %v", left)
	}
}

func TestOpenRefuses(t *testing.T) {
	r := newRig(t, "https", "")
	app := &connection.Source{Provider: "machine", Credential: "oauth2_client_credentials"}
	route := func(name string) *connection.Source {
		s := r.at.source("routed", nil)
		s.Credential = name
		return s
	}
	broken := r.at.source("broken", nil)
	broken.Link = func(_, _, _, _ string) (string, error) { return "", errors.New("[secret env:ID] is not set") }
	r.keeper.Swap([]*connection.Source{r.at.source("acme", nil), app, route("oauth2 GET /a"), route("oauth2 GET /b"), broken, r.at.source("nowhere", func(s *oauth.Server) { s.AuthorizeURL = "" })})
	for _, c := range []struct {
		q       Request
		unknown bool
		want    string
	}{
		{Request{Provider: "acne"}, true, "no provider \"acne\""},
		{Request{Provider: ""}, true, "no provider"},
		{Request{Provider: "acme", Credential: "oauth2 GET /"}, true, "no credential"},
		{Request{Provider: "machine"}, false, "nobody's grant"},
		{Request{Provider: "routed"}, false, "none is named"},
		{Request{Provider: "broken"}, false, "[secret env:ID] is not set"},
		{Request{Provider: "nowhere"}, false, "no link"},
		{Request{Provider: "acme", Account: "a\nb"}, false, "no name"},
		{Request{Provider: "acme", Account: " a"}, false, "no name"},
		{Request{Provider: "acme", Account: "\xff"}, false, "no name"},
		{Request{Provider: "acme", Account: strings.Repeat("x", 257)}, false, "no name"},
	} {
		_, err := r.Open(context.Background(), c.q)
		var bad *connection.RequestError
		if !errors.As(err, &bad) || bad.Unknown != c.unknown || !strings.Contains(bad.Why, c.want) || bad.Hint == "" {
			t.Errorf("%+v: %v (%+v), want %q", c.q, err, bad, c.want)
		}
	}
	if rows, err := r.rows.List(context.Background(), connection.Filter{}); len(rows) != 0 || err != nil {
		t.Errorf("something is known of what was refused: %v %v", rows, err)
	}
	s := r.open(Request{Provider: "routed", Credential: "oauth2 GET /b"})
	if s.Credential != "oauth2 GET /b" {
		t.Errorf("%+v", s)
	}
	r.opt.Store = &tickets{Store: r.rows, fail: errors.New("disk is full")}
	if _, err := r.Open(context.Background(), Request{Provider: "acme"}); err == nil || errors.As(err, new(*connection.RequestError)) {
		t.Errorf("a store that fails: %v", err)
	}
}

// TestProvidersOwn: where routes have grants of their own, the provider's is
// meant.
func TestProvidersOwn(t *testing.T) {
	r := newRig(t, "https", "")
	own, route := r.at.source("acme", nil), r.at.source("acme", nil)
	route.Credential = "oauth2 GET /a"
	r.keeper.Swap([]*connection.Source{route, own})
	if s := r.open(Request{}); s.Credential != "oauth2" {
		t.Errorf("%+v", s)
	}
}

func TestHeaders(t *testing.T) {
	r := newRig(t, "http", "")
	b := r.browser()
	s := r.open(Request{Account: "a"})
	for _, to := range []string{s.URL, r.url + "/connect/done", r.url + "/connect/style.css", r.url + "/x", r.url + "/callback/acme"} {
		a := b.ask("GET", to)
		for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", to, name, got)
			}
		}
		form, referrer := "'none'", "no-referrer"
		if to == s.URL {
			form, referrer = "'self' https: "+r.at.URL, "same-origin"
		}
		want := "default-src 'none'; style-src 'self'; base-uri 'none'; form-action " + form + "; frame-ancestors 'none'"
		if got := a.Header.Get("Content-Security-Policy"); got != want || a.Header.Get("Referrer-Policy") != referrer || a.Header.Get("Postern-Id") == "" {
			t.Errorf("%s: %v", to, a.Header)
		}
	}
	r.Swap(r.block(`return_to = ["http://localhost:3000"]`)) // a browser that the provider sends back at once comes by there
	a := b.ask("GET", r.open(Request{Account: "a", ReturnTo: "http://localhost:3000/x"}).URL)
	if got := a.Header.Get("Content-Security-Policy"); !strings.Contains(got, "form-action 'self' https: "+r.at.URL+" http://localhost:3000; ") {
		t.Errorf("%v", a.Header)
	}
	r.Swap(r.block(`embed = ["https://app.example.com", "https://two.example.com"]`))
	a = b.ask("GET", s.URL)
	if got := a.Header.Get("Content-Security-Policy"); !strings.HasSuffix(got, "; frame-ancestors https://app.example.com https://two.example.com") || a.Header.Get("X-Frame-Options") != "" {
		t.Errorf("%v", a.Header)
	}
}

func TestHost(t *testing.T) {
	r := newRig(t, "http", "")
	r.Swap(mustDecode(t, "connect {\nlisten = \"gate.internal:8083\"\npublic_url = \"https://connect.example.com\"\n}"))
	b := r.browser()
	for host, ok := range map[string]bool{
		"connect.example.com": true, "Connect.Example.com:443": true, "gate.internal:8083": true, "127.0.0.1:8083": true, "[::1]": true, "10.1.2.3": true,
		"evil.example": false, "connect.example.com.evil.example": false, "xconnect.example.com": false, "localhost": false, "x@connect.example.com": false,
	} {
		a := b.ask("GET", r.url+"/connect/done", func(q *http.Request) { q.Host = host })
		if ok != (a.StatusCode == http.StatusOK) || !ok && a.StatusCode != http.StatusMisdirectedRequest && a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", host, a.StatusCode)
		}
	}
}

func TestMethods(t *testing.T) {
	r := newRig(t, "https", "")
	b := r.browser()
	for _, c := range []struct{ method, path, allow string }{
		{"PUT", "/connect/x", "GET, HEAD, POST"},
		{"POST", "/connect/done", "GET, HEAD"},
		{"DELETE", "/connect/style.css", "GET, HEAD"},
		{"POST", "/callback/acme", "GET"},
		{"HEAD", "/callback/acme", "GET"},
		{"OPTIONS", "/callback/acme", "GET"},
	} {
		if a := b.ask(c.method, r.url+c.path); a.StatusCode != http.StatusMethodNotAllowed || a.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %d, %q", c.method, c.path, a.StatusCode, a.Header.Get("Allow"))
		}
	}
	if a := b.ask("GET", r.url+"/connect/style.css"); a.Header.Get("Content-Type") != "text/css; charset=utf-8" || !strings.Contains(a.body, "--page") {
		t.Errorf("%v", a.Header)
	}
}

// TestCrowd: more than some at once are told to come again, and cost nothing.
func TestCrowd(t *testing.T) {
	r := newRig(t, "https", "")
	s := r.open(Request{Account: "a"})
	for range maxInFlight {
		r.slots <- struct{}{}
	}
	b := r.browser()
	if a := b.ask("POST", s.URL); a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d", a.StatusCode)
	}
	if a := b.ask("GET", r.url+"/connect/done"); a.StatusCode != http.StatusOK {
		t.Errorf("%d", a.StatusCode)
	}
	<-r.slots
	b.depart(s.URL)
}

// TestTroubleSpendsNothing: what goes wrong here leaves the link good.
func TestTroubleSpendsNothing(t *testing.T) {
	r := newRig(t, "https", "")
	s := r.open(Request{Account: "a"})
	good := r.keeper.Sources("acme")[0]
	bad := *good
	bad.Link = func(_, _, _, _ string) (string, error) { return "", errors.New("[secret env:ID] is not set") }
	b := r.browser()
	r.keeper.Swap([]*connection.Source{&bad})
	for _, method := range []string{"GET", "POST"} {
		if a := b.ask(method, s.URL); a.StatusCode != http.StatusServiceUnavailable || strings.Contains(a.body, "secret") || !strings.Contains(a.body, a.Header.Get("Postern-Id")) {
			t.Errorf("%s: %d %s", method, a.StatusCode, a.body)
		}
		if last := r.lastStep(); last.Err == nil || !strings.Contains(last.Err.Error(), "is not set") || last.Provider != "acme" || last.Account != "a" {
			t.Errorf("%+v", last)
		}
	}
	r.keeper.Swap(nil)
	if a := b.ask("POST", s.URL); a.StatusCode != http.StatusConflict {
		t.Errorf("without the provider: %d", a.StatusCode)
	}
	r.keeper.Swap([]*connection.Source{good})
	sound := r.opt.Store
	r.opt.Store = &tickets{Store: sound, fail: errors.New("disk is full")}
	if a := b.ask("POST", s.URL); a.StatusCode != http.StatusServiceUnavailable || len(a.Cookies()) != 0 {
		t.Errorf("a store that fails: %d", a.StatusCode)
	}
	r.opt.Store = sound
	b.depart(s.URL)
}
