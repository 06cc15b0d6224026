package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/browser"
	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/e2e/oauthmock"
	"github.com/postern-proxy/postern/e2e/op"
)

const connectPolicy = `
connect {
  listen     = "CONNECT"
  public_url = "PUBLIC"
  title      = "Northwind"
  return_to  = ["APP"]
}

provider "op" {
  hosts    = ["api.op.test"]
  upstream = "AUTH"
  credential "oauth2" {
    authorize_url = "AUTH/authorize"
    token_url     = "AUTH/token"
    revoke_url    = "AUTH/revoke"
    client_id     = "app"
    client_secret = [env("SECRET")]
    scopes        = ["orders.read", "offline_access"]
    MORE
  }
}
`

const clientSecret = "the-secret-of-the-client"

// connecting is a Postern at which customers grant access, the authorization server that it asks, and the application.
type connecting struct {
	*harness.Postern
	auth *faults.Server
	app  string // its origin
}

// startConnecting starts a Postern that asks an authorization server. register is told its redirect URIs before.
func startConnecting(t *testing.T, auth *faults.Server, more string, register func(redirects ...string)) *connecting {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "the application, connected=%s", r.URL.Query().Get("connected"))
	}))
	t.Cleanup(app.Close)
	g := &connecting{Postern: harness.New(t, harness.Files{}, harness.WithEnv("SECRET", clientSecret)), auth: auth, app: app.URL}
	register(g.public("/callback/op"), g.public("/callback/another"))
	text := strings.NewReplacer("PUBLIC", g.public(""), "APP", app.URL, "AUTH", auth.URL(), "MORE", more).Replace(connectPolicy)
	another := strings.NewReplacer(`"op"`, `"another"`, "api.op.test", "api.another.test").Replace(text[strings.Index(text, "provider"):])
	g.Write("op.hcl", text)
	g.Write("another.hcl", another)
	g.Run()
	return g
}

// public is a URL of the connect listener, as customers see it.
func (g *connecting) public(path string) string { return "http://" + g.Connect + path }

// session is a link, as the admin API answers for one.
type session struct {
	URL     string
	Ignored string `json:"return_to_ignored"`
}

// link asks for a link for an account, as the application does.
func (g *connecting) link(t *testing.T, account, returnTo string) session {
	t.Helper()
	var s session
	status, err := g.Post("/api/v1/connect-sessions", map[string]string{"provider": "op", "account": account, "return_to": returnTo}, &s)
	if err != nil || status != http.StatusCreated || !strings.HasPrefix(s.URL, g.public("/connect/")) {
		t.Fatalf("a link: %d %+v %v", status, s, err)
	}
	return s
}

// grant is what the admin API says of a connection.
type grant struct {
	State, Health           string
	Generation              int64
	Granted, Missing, Extra []string
	History                 []struct{ From, To, Reason string }
	Failures                int
	Renewable               bool
}

func (g *connecting) connection(t *testing.T, account string) (c grant) {
	t.Helper()
	status, body, err := g.Get("/api/v1/connections/op?account=" + url.QueryEscape(account))
	if err == nil {
		err = json.Unmarshal([]byte(body), &c)
	}
	if err != nil || status != http.StatusOK {
		t.Fatalf("%d %s %v", status, body, err)
	}
	return c
}

// refreshTokens are those that were shown at the token endpoint, in order.
func (g *connecting) refreshTokens() (tokens []string) {
	for _, r := range g.auth.RequestsTo("/token") {
		form, _ := url.ParseQuery(string(r.Body))
		if form.Get("grant_type") == "refresh_token" {
			tokens = append(tokens, form.Get("refresh_token"))
		}
	}
	return tokens
}

// inUse is the access token that the API saw last.
func (g *connecting) inUse(t *testing.T) string {
	t.Helper()
	calls := g.auth.RequestsTo("/me")
	if len(calls) == 0 {
		t.Fatal("the API was not called")
	}
	return strings.TrimPrefix(calls[len(calls)-1].Header.Get("Authorization"), "Bearer ")
}

// refusedFor checks that calls of an account are refused with a problem code, and that nothing goes upstream.
func (g *connecting) refusedFor(t *testing.T, account, code string) {
	t.Helper()
	calls, asked := len(g.auth.RequestsTo("/me")), len(g.auth.RequestsTo("/token"))
	for range 5 {
		_, a := me(t, g.Client(false), "Postern-Account", account)
		if pr, err := a.Problem(); err != nil || pr.Code != code {
			t.Fatalf("%d %s, want %s", a.Status, a.Body, code)
		}
	}
	if n, m := len(g.auth.RequestsTo("/me"))-calls, len(g.auth.RequestsTo("/token"))-asked; n != 0 || m != 0 {
		t.Errorf("refused with %s, and %d calls went to the API and %d to the token endpoint", code, n, m)
	}
}

// keepsCalling calls for longer than tokens live, and wants an answer from the API each time.
func (g *connecting) keepsCalling(t *testing.T, account string, d time.Duration) {
	t.Helper()
	c, before, renewals := g.Client(false), statuses(g.auth)[http.StatusUnauthorized], len(g.refreshTokens())
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, a := me(t, c, "Postern-Account", account); a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	// A server that ends a token when it gives the next may refuse the call that is under way at that moment.
	if n := statuses(g.auth)[http.StatusUnauthorized] - before; n > len(g.refreshTokens())-renewals {
		t.Errorf("the API refused %d calls in %d renewals", n, len(g.refreshTokens())-renewals)
	}
}

// callsAtOnce makes n calls at the same time, and returns how many refresh tokens were shown for it.
func (g *connecting) callsAtOnce(t *testing.T, account string, n int) int {
	t.Helper()
	before := len(g.refreshTokens())
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			a, err := harness.Do(g.Client(false), http.MethodGet, "https://api.op.test/me", "", "Postern-Account", account)
			if err != nil || a.Status != http.StatusOK {
				t.Errorf("%v %d %s", err, a.Status, a.Body)
			}
		})
	}
	wg.Wait()
	return len(g.refreshTokens()) - before
}

// revoke ends a connection, and checks that no call goes out any more.
func (g *connecting) revoke(t *testing.T, account string) {
	t.Helper()
	var c grant
	status, err := g.Post("/api/v1/connections/op/revoke?account="+url.QueryEscape(account), struct{}{}, &c)
	if err != nil || status != http.StatusOK || c.State != "revoked" {
		t.Fatalf("%d %+v %v", status, c, err)
	}
	g.refusedFor(t, account, "needs_connection")
	for deadline := time.Now().Add(10 * time.Second); len(g.auth.RequestsTo("/revoke")) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the provider was not told")
		}
	}
}

// grantsIn has a person grant access in a browser, and ends where the application wants it to.
func (g *connecting) grantsIn(t *testing.T, b *browser.Browser, account string, atProvider func()) {
	t.Helper()
	s := g.link(t, account, g.app+"/settings?tab=2")
	if status := b.Visit(s.URL); status != http.StatusOK {
		t.Fatalf("the link: %d %s", status, b.Text())
	}
	for _, word := range []string{"Northwind", "Op", account, "orders.read", "offline_access", "127.0.0.1"} {
		if !strings.Contains(b.Text(), word) {
			t.Errorf("the page does not name %s: %s", word, b.Text())
		}
	}
	b.Click("button")
	atProvider()
	at, err := url.Parse(b.At())
	if err != nil || at.Scheme+"://"+at.Host+at.Path != g.app+"/settings" || b.Text() != "the application, connected=1" {
		t.Fatalf("the browser ended at %s: %s", at, b.Text())
	}
	if q := at.Query(); q.Get("tab") != "2" || q.Get("account") != account || q.Get("provider") != "op" || q.Has("code") || q.Has("state") {
		t.Errorf("sent back with %s", at.RawQuery)
	}
}

// TestConnectInBrowser is the life of a grant at authorization servers that nobody here wrote: granted in Chromium with
// PKCE, used, expired, renewed with a refresh token that is good once, lost, granted again, revoked.
func TestConnectInBrowser(t *testing.T) {
	harness.Binary(t)
	t.Run("fosite", func(t *testing.T) {
		b := browser.Open(t)
		s := authServer(t, op.Config{Life: 2 * time.Second})
		g := startConnecting(t, s.Server, fmt.Sprintf("issuer = %q", s.Issuer()), func(redirects ...string) {
			if err := s.Client("app", clientSecret, redirects...); err != nil {
				t.Fatal(err)
			}
		})
		allow := func() {
			if !strings.HasPrefix(b.At(), s.At("/authorize")) {
				t.Fatalf("the browser is at %s: %s", b.At(), b.Text())
			}
			b.Type("#user", "ada")
			b.Click("#allow")
		}
		g.refusedFor(t, "acct_1", "account_unknown")
		g.grantsIn(t, b, "acct_1", allow)
		who, a := me(t, g.Client(false), "Postern-Account", "acct_1")
		if a.Status != http.StatusOK || who.Subject != "ada" || who.Client != "app" || fmt.Sprint(who.Scopes) != "[orders.read offline_access]" {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		g.refusedFor(t, "acct_2", "account_unknown")

		g.keepsCalling(t, "acct_1", 4*time.Second)
		time.Sleep(3 * time.Second) // now it has expired, and nobody has renewed it
		if n := g.callsAtOnce(t, "acct_1", 20); n != 1 {
			t.Errorf("an expired token cost %d refreshes, want 1", n)
		}
		shown := g.refreshTokens()
		for i, token := range shown {
			if len(shown) < 3 || token == "" || i > 0 && token == shown[i-1] {
				t.Fatalf("%d refresh tokens were shown, the same one twice: %t", len(shown), i > 0 && token == shown[i-1])
			}
		}

		// Somebody else shows a refresh token that was used: fosite ends the whole grant. It is noticed, not fought over.
		g.stolen(t, shown[0])
		me(t, g.Client(false), "Postern-Account", "acct_1")
		if c := g.connection(t, "acct_1"); c.State != "needs_reconnect" || c.Health != "waiting" {
			t.Errorf("%+v", c)
		}
		g.refusedFor(t, "acct_1", "needs_connection")
		g.grantsIn(t, b, "acct_1", allow)
		g.keepsCalling(t, "acct_1", time.Second)

		access := g.inUse(t)
		g.revoke(t, "acct_1")
		told, _ := url.ParseQuery(string(g.auth.RequestsTo("/revoke")[0].Body))
		if s.Good(access, false) || told.Get("token") == "" || s.Good(told.Get("token"), true) {
			t.Error("the authorization server still takes what was revoked")
		}
	})
	t.Run("oauth2-mock-server", func(t *testing.T) {
		b := browser.Open(t)
		s, err := oauthmock.Start(harness.NeedNode(t, "oauth2-mock-server"), 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		g := startConnecting(t, s.Server, "", func(...string) {}) // it sends browsers anywhere
		g.grantsIn(t, b, "acct_1", func() {})                     // and asks nobody
		g.keepsCalling(t, "acct_1", 3*time.Second)
		time.Sleep(2500 * time.Millisecond)
		if n := g.callsAtOnce(t, "acct_1", 20); n != 1 {
			t.Errorf("an expired token cost %d refreshes, want 1", n)
		}
		g.revoke(t, "acct_1")
		if n := grants(g.auth); n["authorization_code"] != 1 || n["refresh_token"] < 2 || len(n) != 2 {
			t.Errorf("asked for %v", n)
		}
	})
}

// stolen shows a refresh token to the authorization server, as a thief would who has the client's secret too.
func (g *connecting) stolen(t *testing.T, token string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, g.auth.URL()+"/token", strings.NewReader(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("app", clientSecret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Fatalf("a used refresh token is taken: %s", resp.Status)
	}
}
