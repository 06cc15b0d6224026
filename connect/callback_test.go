package connect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/store"
)

// edit is u with another query.
func edit(u *url.URL, change func(url.Values)) string {
	out, q := *u, u.Query()
	change(q)
	out.RawQuery = q.Encode()
	return out.String()
}

// TestC57RejectedCallbacks: whatever is wrong with a callback, nobody asks the
// token endpoint, and the customer is told what to do.
func TestC57RejectedCallbacks(t *testing.T) {
	for name, c := range map[string]struct {
		send   func(b *browser, back *url.URL) answer
		status int
		want   string // is told to the operator
	}{
		"no state": {func(b *browser, u *url.URL) answer {
			return b.ask("GET", edit(u, func(q url.Values) { q.Del("state") }))
		}, 400, "no state"},
		"nothing at all": {func(b *browser, u *url.URL) answer { return b.ask("GET", edit(u, func(q url.Values) { clear(q) })) }, 400, "no state"},
		"empty state": {func(b *browser, u *url.URL) answer {
			return b.ask("GET", edit(u, func(q url.Values) { q.Set("state", "") }))
		}, 400, "unknown"},
		"unknown state": {func(b *browser, u *url.URL) answer {
			return b.ask("GET", edit(u, func(q url.Values) { q.Set("state", oauth.NewVerifier()) }))
		}, 400, "unknown"},
		"tampered state": {func(b *browser, u *url.URL) answer {
			return b.ask("GET", edit(u, func(q url.Values) { q.Set("state", other(q.Get("state")[0])+q.Get("state")[1:]) }))
		}, 400, "unknown"},
		"cut state": {func(b *browser, u *url.URL) answer {
			return b.ask("GET", edit(u, func(q url.Values) { q.Set("state", q.Get("state")[:42]) }))
		}, 400, "unknown"},
		"two states": {func(b *browser, u *url.URL) answer { return b.ask("GET", u.String()+"&state=x") }, 400, "several"},
		"the same state twice": {func(b *browser, u *url.URL) answer {
			return b.ask("GET", u.String()+"&state="+u.Query().Get("state"))
		}, 400, "several"},
		"a query that cannot be read": {func(b *browser, u *url.URL) answer { return b.ask("GET", u.String()+"&x=%zz") }, 400, "no state"},
		"another browser":             {func(b *browser, u *url.URL) answer { return b.rig.browser().ask("GET", u.String()) }, 403, "did not bring the cookie"},
		"another browser's cookie": {func(b *browser, u *url.URL) answer {
			jar := b.http.Jar.Cookies(u)
			b.http.Jar = nil
			return b.ask("GET", u.String(), with("Cookie", jar[0].Name+"="+oauth.NewVerifier()))
		}, 403, "another browser"},
		"another window's cookie": {func(b *browser, u *url.URL) answer {
			name := b.http.Jar.Cookies(u)[0].Name
			b.http.Jar = nil
			other := b.ask("POST", b.open(Request{Account: "b"}).URL).Cookies()[0]
			return b.ask("GET", u.String(), with("Cookie", name+"="+other.Value))
		}, 403, "another browser"},
		"an empty cookie": {func(b *browser, u *url.URL) answer {
			name := b.http.Jar.Cookies(u)[0].Name
			b.http.Jar = nil
			return b.ask("GET", u.String(), with("Cookie", name+"="))
		}, 403, "another browser"},
		"another provider's path": {func(b *browser, u *url.URL) answer {
			return b.ask("GET", strings.Replace(u.String(), "/callback/acme", "/callback/other-one", 1))
		}, 400, "another provider"},
		"a path of nobody": {func(b *browser, u *url.URL) answer {
			return b.ask("GET", strings.Replace(u.String(), "/callback/acme", "/callback/nobody", 1))
		}, 400, "another provider"},
		"no code": {func(b *browser, u *url.URL) answer {
			return b.ask("GET", edit(u, func(q url.Values) { q.Del("code") }))
		}, 400, "neither a code nor an error"},
		"two codes": {func(b *browser, u *url.URL) answer { return b.ask("GET", u.String()+"&code=x") }, 400, "twice"},
		"a code that is none": {func(b *browser, u *url.URL) answer {
			return b.ask("GET", edit(u, func(q url.Values) { q.Set("code", "x\n") }))
		}, 400, "characters"},
		"declined": {func(b *browser, u *url.URL) answer {
			return b.ask("GET", edit(u, func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") }))
		}, 403, "access_denied"},
		"declined, with a code": {func(b *browser, u *url.URL) answer {
			return b.ask("GET", edit(u, func(q url.Values) { q.Set("error", "access_denied") }))
		}, 403, "access_denied"},
		"the provider fails": {func(b *browser, u *url.URL) answer {
			return b.ask("GET", edit(u, func(q url.Values) { q.Del("code"); q.Set("error", "server_error") }))
		}, 502, "server_error"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "https", "")
			b := r.browser()
			back := b.agree(b.depart(r.open(Request{Account: "a"}).URL))
			a := c.send(b, back)
			if a.StatusCode != c.status || r.at.counted() != 0 {
				t.Errorf("%d after %d calls, want %d after none", a.StatusCode, r.at.counted(), c.status)
			}
			id := a.Header.Get("Postern-Id")
			if id == "" || !strings.Contains(a.body, id) || !strings.Contains(a.body, "link") || a.Header.Get("Location") != "" {
				t.Errorf("the page says neither its number nor what to do:\n%s", a.body)
			}
			last := r.lastStep()
			if last.ID != id || last.Err == nil || !strings.Contains(last.Err.Error(), c.want) {
				t.Errorf("told: %+v, want %q", last, c.want)
			}
			for _, secret := range []string{back.Query().Get("state"), back.Query().Get("code")} {
				if strings.Contains(r.told(), secret) || strings.Contains(a.body, secret) {
					t.Errorf("%s is shown", secret)
				}
			}
			if got := r.state("a"); got != connection.Pending {
				t.Errorf("the connection is %s", got)
			}
		})
	}
}

// TestC57StateWorksOnce: neither after success nor after a failure, nor for two
// at once.
func TestC57StateWorksOnce(t *testing.T) {
	r := newRig(t, "https", "")
	b := r.browser()
	back := b.agree(b.depart(r.open(Request{Account: "a"}).URL))
	cookies := b.http.Jar.Cookies(back)
	b.http.Jar = nil // so that the cookie stays
	bring := with("Cookie", cookies[0].Name+"="+cookies[0].Value)
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[int]int{}
	for range 20 {
		wg.Go(func() {
			a := b.ask("GET", back.String(), bring)
			mu.Lock()
			defer mu.Unlock()
			got[a.StatusCode]++
		})
	}
	wg.Wait()
	if got[http.StatusSeeOther] != 1 || got[http.StatusBadRequest] != 19 || r.at.counted() != 1 {
		t.Errorf("%v, %d calls", got, r.at.counted())
	}

	b = r.browser()
	back = b.agree(b.depart(r.open(Request{Account: "a"}).URL))
	if a := r.browser().ask("GET", back.String()); a.StatusCode != http.StatusForbidden { // another browser
		t.Errorf("%d", a.StatusCode)
	}
	if a := b.ask("GET", back.String()); a.StatusCode != http.StatusBadRequest || r.at.counted() != 1 { // now spent
		t.Errorf("%d, %d calls", a.StatusCode, r.at.counted())
	}
}

// TestC58Issuer: the answer has to come from the server that was asked (RFC
// 9207).
func TestC58Issuer(t *testing.T) {
	for name, c := range map[string]struct {
		change func(url.Values)
		status int
		calls  int
	}{
		"right":      {func(q url.Values) { q.Set("iss", "https://auth.acme.example") }, 303, 1},
		"wrong":      {func(q url.Values) { q.Set("iss", "https://auth.evil.example") }, 400, 0},
		"missing":    {func(q url.Values) {}, 400, 0},
		"other case": {func(q url.Values) { q.Set("iss", "https://auth.ACME.example") }, 400, 0},
		"a slash":    {func(q url.Values) { q.Set("iss", "https://auth.acme.example/") }, 400, 0},
		"twice":      {func(q url.Values) { q["iss"] = []string{"https://auth.acme.example", "https://auth.acme.example"} }, 400, 0},
		"wrong, and an error": {func(q url.Values) {
			q.Set("iss", "https://auth.evil.example")
			q.Set("error", "access_denied")
		}, 400, 0},
	} {
		r := newRig(t, "https", "")
		r.keeper.Swap([]*connection.Source{r.at.source("acme", func(s *oauth.Server) { s.Issuer = "https://auth.acme.example" })})
		b := r.browser()
		a := b.ask("GET", edit(b.agree(b.depart(r.open(Request{Account: "a"}).URL)), c.change))
		if a.StatusCode != c.status || r.at.counted() != c.calls {
			t.Errorf("%s: %d after %d calls", name, a.StatusCode, r.at.counted())
		}
	}
}

// TestC58Verifier: it goes to the token endpoint, and is seen nowhere else.
func TestC58Verifier(t *testing.T) {
	r := newRig(t, "https", "")
	b := r.browser()
	s := r.open(Request{Account: "a"})
	page := b.ask("GET", s.URL)
	left := b.ask("POST", s.URL)
	at, err := left.Location()
	if err != nil {
		t.Fatal(err)
	}
	done := b.ask("GET", b.agree(at).String())
	verifier := r.at.last.Get("code_verifier")
	if oauth.Challenge(verifier) != at.Query().Get("code_challenge") || r.at.last.Get("redirect_uri") != r.url+"/callback/acme" {
		t.Errorf("the token endpoint was sent %v", r.at.last)
	}
	seen := fmt.Sprint(page, left, done, s, r.told())
	if verifier == "" || strings.Contains(seen, verifier) {
		t.Error("the verifier is seen")
	}
}

// TestC58PolicyChanged: a code is never taken to another server, or for another
// client, than the customer was sent to.
func TestC58PolicyChanged(t *testing.T) {
	for name, change := range map[string]func(r *rig, src *connection.Source) []*connection.Source{
		"the server": func(r *rig, _ *connection.Source) []*connection.Source {
			return []*connection.Source{r.at.source("acme", func(s *oauth.Server) { s.AuthorizeURL += "/v2" })}
		},
		"the scopes": func(r *rig, _ *connection.Source) []*connection.Source {
			src := r.at.source("acme", nil)
			src.Scopes = []string{"read"}
			return []*connection.Source{src}
		},
		"the provider is gone": func(*rig, *connection.Source) []*connection.Source { return nil },
		"nobody grants it any more": func(_ *rig, src *connection.Source) []*connection.Source {
			other := *src
			other.Person = false
			return []*connection.Source{&other}
		},
	} {
		r := newRig(t, "https", "")
		b := r.browser()
		back := b.agree(b.depart(r.open(Request{Account: "a", ReturnTo: "/app"}).URL))
		r.keeper.Swap(change(r, r.keeper.Sources("acme")[0]))
		a := b.ask("GET", back.String())
		if a.StatusCode != http.StatusConflict || r.at.counted() != 0 || !strings.Contains(a.body, `href="`+r.url+`/app?account=a&amp;connected=0&amp;provider=acme"`) {
			t.Errorf("%s: %d after %d calls\n%s", name, a.StatusCode, r.at.counted(), a.body)
		}
	}
	r := newRig(t, "https", "") // a reload that changes nothing
	b := r.browser()
	back := b.agree(b.depart(r.open(Request{Account: "a"}).URL))
	r.keeper.Swap([]*connection.Source{r.at.source("acme", nil)})
	if a := b.ask("GET", back.String()); a.StatusCode != http.StatusSeeOther {
		t.Errorf("the same policy: %d", a.StatusCode)
	}
}

// TestNoTokenNoConnection: what the provider refuses to give is not connected,
// and its words are not the customer's to read.
func TestNoTokenNoConnection(t *testing.T) {
	r := newRig(t, "https", "")
	r.at.answer = `{"error":"invalid_client","error_description":"canary-client is unknown"}`
	b := r.browser()
	a := b.ask("GET", b.agree(b.depart(r.open(Request{Account: "a", ReturnTo: "/app"}).URL)).String())
	if a.StatusCode != http.StatusBadGateway || r.at.counted() != 1 || strings.Contains(a.body, "canary") || !strings.Contains(a.body, "Back to the application") {
		t.Errorf("%d after %d calls\n%s", a.StatusCode, r.at.counted(), a.body)
	}
	if last := r.lastStep(); last.Err == nil || !strings.Contains(last.Err.Error(), "canary-client is unknown") {
		t.Errorf("%+v", last)
	}
	if got := r.state("a"); got != connection.Pending {
		t.Errorf("the connection is %s", got)
	}
}

// TestStoreFailsAfterGrant: the customer is told, and so is the operator.
func TestStoreFailsAfterGrant(t *testing.T) {
	r := newRig(t, "https", "")
	failing := &unwritable{Store: r.rows}
	r.rows = failing
	r.Server = r.server("")
	b := r.browser()
	back := b.agree(b.depart(r.open(Request{Account: "a"}).URL))
	failing.broken = true
	a := b.ask("GET", back.String())
	if a.StatusCode != http.StatusBadGateway || !strings.Contains(fmt.Sprint(r.lastStep().Err), "could not be stored") {
		t.Errorf("%d %+v", a.StatusCode, r.lastStep())
	}
}

type unwritable struct {
	connection.Store
	broken bool
}

func (u *unwritable) Save(ctx context.Context, r connection.Row, m connection.Move) (connection.Row, error) {
	if u.broken {
		return r, errors.New("disk is full")
	}
	return u.Store.Save(ctx, r, m)
}

// TestFewerScopes: it is an alarm, and no business of the customer's.
func TestFewerScopes(t *testing.T) {
	r := newRig(t, "https", "")
	b := r.browser()
	at := b.depart(r.open(Request{Account: "a"}).URL)
	back := b.agree(at)
	r.at.mu.Lock()
	for _, asked := range r.at.codes {
		asked.Set("scope", "read admin")
	}
	r.at.mu.Unlock()
	if a := b.ask("GET", back.String()); a.Header.Get("Location") != r.url+"/connect/done" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if got := strings.Join(r.alarms, "; "); !strings.Contains(got, "write are missing") || !strings.Contains(got, "asks for: admin") {
		t.Errorf("alarms: %s", got)
	}
}

// TestTenMinutes: neither a link nor a state lives longer.
func TestTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, url: "https://connect.example.com", at: &authority{}, rows: store.NewMemory().Connections()}
		r.at.Server = &httptest.Server{URL: "https://auth.example.com"}
		r.Server = r.server("")
		ask := func(method, to string) *httptest.ResponseRecorder {
			w, q := httptest.NewRecorder(), httptest.NewRequest(method, to, nil)
			r.ServeHTTP(w, q)
			return w
		}
		s, late := r.open(Request{Account: "a"}), r.open(Request{Account: "b"})
		if d := time.Until(s.Expires); d > lifetime || d <= lifetime-time.Second {
			t.Errorf("it expires in %v", d)
		}
		time.Sleep(lifetime - 2*time.Second)
		w := ask("POST", s.URL)
		at, err := url.Parse(w.Header().Get("Location"))
		if w.Code != http.StatusSeeOther || err != nil {
			t.Fatalf("%d %v", w.Code, err)
		}
		time.Sleep(2 * time.Second)
		if w := ask("GET", late.URL); w.Code != http.StatusNotFound {
			t.Errorf("a link after ten minutes: %d", w.Code)
		}
		time.Sleep(lifetime)
		if w := ask("GET", r.url+"/callback/acme?code=x&state="+at.Query().Get("state")); w.Code != http.StatusBadRequest || r.at.calls != 0 {
			t.Errorf("a state after ten minutes: %d", w.Code)
		}
	})
}

// other is a letter that c is not.
func other(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}
