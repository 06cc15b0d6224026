package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/admin"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/telemetry"
)

// grantor is an authorization server and an API behind it.
type grantor struct {
	*httptest.Server
	mu         sync.Mutex
	challenges map[string]string // by code
	posts      int
	seen       []string // Authorization at the API
	revoked    []string // tokens that were given back
}

func newGrantor(t *testing.T) *grantor {
	g := &grantor{challenges: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		q := r.URL.Query()
		code := fmt.Sprintf("canary-code-%d", len(g.challenges))
		g.challenges[code] = q.Get("code_challenge")
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.posts++
		w.Header().Set("Content-Type", "application/json")
		code := r.PostFormValue("code")
		if r.PostFormValue("grant_type") == "authorization_code" && g.challenges[code] != oauth.Challenge(r.PostFormValue("code_verifier")) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
			return
		}
		delete(g.challenges, code)
		fmt.Fprintf(w, `{"access_token":"canary-access-%d","refresh_token":"canary-refresh-%[1]d","expires_in":3600,"scope":"read"}`, g.posts)
	})
	mux.HandleFunc("POST /revoke", func(_ http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.revoked = append(g.revoked, r.PostFormValue("token"))
	})
	mux.HandleFunc("GET /api", func(_ http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.seen = append(g.seen, r.Header.Get("Authorization"))
	})
	g.Server = httptest.NewServer(mux)
	t.Cleanup(g.Close)
	return g
}

// policy is a provider whose accounts g grants.
func (g *grantor) policy() string {
	return fmt.Sprintf(`provider "shop" {
  hosts    = ["api.shop.example"]
  upstream = %q
  credential "oauth2" {
    authorize_url = "%[1]s/authorize"
    token_url     = "%[1]s/token"
    revoke_url    = "%[1]s/revoke"
    client_id     = "client"
    auth          = "none"
    scopes        = ["read", "write"]
  }
}
`, g.URL)
}

// customer is a browser that finds every host at the connect listener of g, but
// for those on this machine.
func customer(t *testing.T, g *gate) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "connect.localhost:") {
			address = g.connect.Addr().String()
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: tr}
}

// TestGrant goes the whole way in a running process: an application asks for a
// link, a customer grants, a call goes out with the token, a person looks at it
// and ends it. No secret is logged.
func TestGrant(t *testing.T) {
	t.Setenv("NO_PROXY", "")
	p := newGrantor(t)
	dir := t.TempDir()
	const listeners = "proxy { listen = \"127.0.0.1:0\" }\ninbound { listen = \"127.0.0.1:0\" }\nadmin { listen = \"127.0.0.1:0\" }\nconnect {\n  listen = \"127.0.0.1:0\"\n  public_url = \"http://connect.localhost\"\n"
	put(t, filepath.Join(dir, "postern.hcl"), listeners+"}\n")
	put(t, filepath.Join(dir, "shop.hcl"), p.policy())
	var said, log bytes.Buffer
	ctx, stop := context.WithCancel(context.Background())
	g, err := openGate(ctx, dir, telemetry.Options{Output: &log}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	g.announce(&said)
	ended := make(chan error, 1)
	go func() { ended <- g.serve(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if strings.Contains(log.String(), "canary") {
			t.Errorf("a secret is logged: %s", &log)
		}
		for _, want := range []string{`"msg":"the customer was sent to the provider"`, `"msg":"the customer has connected the account"`, `"error":"it is unknown, has expired, or was used already"`} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log has no %s:\n%s", want, &log)
			}
		}
	}()
	if want := "connect   http://" + g.connect.Addr().String() + "   customers, who see http://connect.localhost\n"; !strings.Contains(said.String(), want) {
		t.Errorf("no %q in %s", want, &said)
	}

	c, err := admin.NewClient(g.admin.Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	put(t, filepath.Join(dir, "postern.hcl"), listeners+"  return_to = [\"http://app.localhost\"]\n}\n")
	if err := g.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := c.Connect(ctx, admin.NewConnectSession{Provider: "shop", Account: "acct_1", ReturnTo: "http://app.localhost/x"})
	if err != nil || s.ReturnToIgnored != "" || !strings.HasPrefix(s.URL, "http://connect.localhost/connect/") {
		t.Fatalf("%+v %v", s, err)
	}
	browser := customer(t, g)
	var last string
	browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if last = r.URL.String(); r.URL.Host == "app.localhost" {
			return http.ErrUseLastResponse
		}
		return nil
	}
	visit(t, browser, "GET", s.URL)
	visit(t, browser, "POST", s.URL)
	if last != "http://app.localhost/x?account=acct_1&connected=1&provider=shop" || p.posts != 1 {
		t.Errorf("the customer ends at %s, after %d token requests", last, p.posts)
	}
	visit(t, browser, "GET", "http://connect.localhost/callback/shop?code=x&state="+oauth.NewVerifier())

	req, _ := http.NewRequest(http.MethodGet, "http://"+g.proxy.Addr().String()+"/p/shop/api", nil)
	req.Header.Set("Postern-Account", "acct_1")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusOK || len(p.seen) != 1 || p.seen[0] != "Bearer canary-access-1" {
		t.Errorf("%v %v, the API has seen %q", resp, err, p.seen)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	account := "acct_1"
	got, err := c.Revoke(ctx, admin.Which{Provider: "shop", Account: &account})
	if err != nil || got.State != "revoked" || len(p.revoked) == 0 || !strings.HasPrefix(p.revoked[0], "canary-") {
		t.Errorf("%+v %v, given back %v", got, err, p.revoked)
	}
	if st, err := c.Status(ctx); err != nil || !hasListener(st.Listeners, "connect") {
		t.Errorf("%+v %v", st, err)
	}
}

func hasListener(list []admin.Listener, name string) bool {
	for _, l := range list {
		if l.Name == name {
			return true
		}
	}
	return false
}

func visit(t *testing.T, browser *http.Client, method, to string) {
	t.Helper()
	r, err := http.NewRequest(method, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// TestNoConnectListener: without the block nobody can be sent anywhere, and the
// application is told what to do.
func TestNoConnectListener(t *testing.T) {
	p := newGrantor(t)
	g, _ := startGate(t, map[string]string{"shop.hcl": p.policy()})
	resp, err := http.Post("http://"+g.admin.Addr().String()+"/api/v1/connect-sessions", "application/json", strings.NewReader(`{"provider":"shop"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	var problem admin.Problem
	if err := json.NewDecoder(resp.Body).Decode(&problem); err != nil || resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(problem.Hint, "connect {") {
		t.Errorf("%d %+v %v", resp.StatusCode, problem, err)
	}
}

// said is what a command writes while others read it.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// TestConnectWaits: the command prints a link, and ends when the customer has
// granted, also where there was a grant before.
func TestConnectWaits(t *testing.T) {
	p := newGrantor(t)
	g, _ := startGate(t, map[string]string{"shop.hcl": p.policy(), "postern.hcl": "connect {\n  listen = \"127.0.0.1:0\"\n  public_url = \"http://connect.localhost\"\n}\n"})
	t.Setenv("POSTERN_ADMIN", g.admin.Addr().String())
	for round := 1; round <= 2; round++ {
		var out, messages said
		root := rootCommand()
		root.SetArgs([]string{"connections", "connect", "--wait", "--return-to", "https://evil.example", "shop", "acct_1"})
		root.SetOut(&out)
		root.SetErr(&messages)
		ended := make(chan error, 1)
		go func() { ended <- root.ExecuteContext(t.Context()) }()
		eventually(t, "a link", func() bool { return strings.HasSuffix(out.String(), "\n") })
		select {
		case err := <-ended:
			t.Fatalf("it did not wait: %v %s", err, &messages)
		case <-time.After(1500 * time.Millisecond): // longer than one look
		}
		browser := customer(t, g)
		visit(t, browser, "POST", strings.TrimSpace(out.String()))
		if err := <-ended; err != nil {
			t.Fatalf("%v: %s", err, &messages)
		}
		for _, want := range []string{"--return-to is ignored", "Connected: shop/acct_1\n", "lacks write\n"} {
			if !strings.Contains(messages.String(), want) {
				t.Errorf("round %d: no %q in %s", round, want, &messages)
			}
		}
	}
}
