package connect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/seal"
	"github.com/postern-proxy/postern/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// decode reads a connect block.
func decode(src string) (*Config, hcl.Diagnostics) {
	file, diags := hclsyntax.ParseConfig([]byte(src), "postern.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	c := new(Config)
	return c, block.Decode(file.Body.(*hclsyntax.Body).Blocks[0].Body, block.NewContext("test", block.NewSecrets(nil)), c)
}

func mustDecode(t *testing.T, src string) *Config {
	t.Helper()
	c, diags := decode(src)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return c
}

// authority is an authorization server that wants PKCE.
type authority struct {
	*httptest.Server
	mu     sync.Mutex
	codes  map[string]url.Values // what was asked for, by code
	calls  int                   // at the token endpoint
	last   url.Values            // of them
	answer string                // instead of a token
}

func newAuthority(t *testing.T) *authority {
	a := &authority{codes: map[string]url.Values{}}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	_ = r.ParseForm()
	a.last = r.PostForm
	asked := a.codes[r.PostForm.Get("code")]
	w.Header().Set("Content-Type", "application/json")
	switch {
	case a.answer != "":
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, a.answer)
	case asked == nil || asked.Get("code_challenge") != oauth.Challenge(r.PostForm.Get("code_verifier")) || asked.Get("redirect_uri") != r.PostForm.Get("redirect_uri"):
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
	default:
		delete(a.codes, r.PostForm.Get("code"))
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "canary-access", "refresh_token": "canary-refresh", "expires_in": 3600, "scope": asked.Get("scope")})
	}
}

func (a *authority) counted() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls
}

// code is what the server gives a customer who agrees to what link asks for.
func (a *authority) code(link *url.URL) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	code := fmt.Sprintf("canary-code-%d", len(a.codes))
	a.codes[code] = link.Query()
	return code
}

// source is a credential whose tokens a gives.
func (a *authority) source(provider string, change func(*oauth.Server)) *connection.Source {
	at := &oauth.Server{AuthorizeURL: a.URL + "/authorize", TokenURL: a.URL + "/token", PKCE: true, Auth: oauth.None}
	if change != nil {
		change(at)
	}
	c := &oauth.Client{ID: "client"}
	do := func(r *http.Request) (*http.Response, bool, error) {
		resp, err := a.Client().Transport.RoundTrip(r)
		return resp, true, err
	}
	src := &connection.Source{Provider: provider, Credential: "oauth2", Hosts: []string{"api." + provider + ".com"}, Scopes: []string{"read", "write"}, Person: true, Issuer: at.Issuer}
	src.Link = func(_, redirect, state, verifier string) (string, error) {
		return at.AuthorizeLink(c, redirect, state, verifier, src.Scopes), nil
	}
	src.Exchange = func(ctx context.Context, _, code, verifier, redirect string) (*oauth.Token, error) {
		return at.Exchange(ctx, do, c, code, verifier, redirect)
	}
	src.Mint = func(ctx context.Context, _, refresh string) (*oauth.Token, error) {
		return at.Refresh(ctx, do, c, refresh, nil)
	}
	return src
}

// rig is a connect listener with all that belongs to it.
type rig struct {
	*Server
	t      *testing.T
	url    string
	at     *authority
	keeper *connection.Keeper
	rows   connection.Store
	web    *httptest.Server

	mu     sync.Mutex
	ids    int
	steps  []Step
	alarms []string
}

type watch struct{ *rig }

func (watch) Renewed(string, string)                {}
func (watch) Expires(connection.Key, time.Time)     {}
func (watch) Moved(connection.Key, connection.Move) {}
func (watch) Trouble(string, error)                 {}
func (w watch) Alarm(_ connection.Key, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.alarms = append(w.alarms, what)
}

func newKey(t *testing.T) seal.Key {
	t.Helper()
	k, err := seal.Parse(seal.Generate())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newRig starts a listener with two providers, by TLS if scheme is https. rest
// is what else stands in the connect block.
func newRig(t *testing.T, scheme, rest string) *rig {
	t.Helper()
	r := &rig{t: t, at: newAuthority(t), rows: store.NewMemory().Connections()}
	r.web = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { r.ServeHTTP(w, q) }))
	r.web.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.url = scheme + "://" + r.web.Listener.Addr().String()
	r.Server = r.server(rest)
	if scheme == "https" {
		r.web.StartTLS()
	} else {
		r.web.Start()
	}
	t.Cleanup(r.web.Close)
	return r
}

func (r *rig) server(rest string) *Server {
	r.t.Helper()
	ring, err := seal.NewRing(newKey(r.t))
	if err != nil {
		r.t.Fatal(err)
	}
	sealed := func() (*seal.Ring, error) { return ring, nil }
	r.keeper = connection.NewKeeper(connection.Options{Store: r.rows, Ring: sealed, Holder: "one", Observer: watch{r}, Guard: func(...string) {}, Random: func() float64 { return 0 }})
	r.keeper.Swap([]*connection.Source{r.at.source("acme", nil), r.at.source("other-one", nil)})
	return New(r.block(rest), Options{
		Keeper: r.keeper, Store: r.rows, Ring: sealed, Log: slog.New(slog.DiscardHandler),
		NewID: func() string {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.ids++
			return fmt.Sprintf("id-%d.", r.ids)
		},
		Step: func(s Step) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.steps = append(r.steps, s)
		},
	})
}

func (r *rig) block(rest string) *Config {
	r.t.Helper()
	return mustDecode(r.t, fmt.Sprintf("connect {\npublic_url = %q\n%s\n}", r.url, rest))
}

// told is everything that was told to the operator.
func (r *rig) told() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprint(r.steps)
}

// lastStep is the last thing that was.
func (r *rig) lastStep() Step {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.steps) == 0 {
		return Step{}
	}
	return r.steps[len(r.steps)-1]
}

// open asks for a link.
func (r *rig) open(q Request) Session {
	r.t.Helper()
	if q.Provider == "" {
		q.Provider = "acme"
	}
	s, err := r.Open(context.Background(), q)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// state is that of the connection of an account at acme, "" if there is none.
func (r *rig) state(account string) connection.State {
	r.t.Helper()
	row, err := r.rows.Load(context.Background(), connection.Key{Provider: "acme", Account: account, Credential: "oauth2"})
	if err != nil && !errors.Is(err, connection.ErrUnknown) {
		r.t.Fatal(err)
	}
	return row.State
}

// A browser keeps cookies and follows nothing.
type browser struct {
	*rig
	http http.Client
}

func (r *rig) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return &browser{r, http.Client{
		Jar: jar, Transport: r.web.Client().Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

type answer struct {
	*http.Response
	body string
}

// ask sends a request; change may change it.
func (b *browser) ask(method, to string, change ...func(*http.Request)) answer {
	b.t.Helper()
	q, err := http.NewRequest(method, to, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range change {
		f(q)
	}
	resp, err := b.http.Do(q)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{resp, string(text)}
}

func with(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// depart presses the button behind a link, and returns where the provider is.
func (b *browser) depart(link string) *url.URL {
	b.t.Helper()
	a := b.ask("POST", link, with("Sec-Fetch-Site", "same-origin"))
	to, err := a.Location()
	if a.StatusCode != http.StatusSeeOther || err != nil {
		b.t.Fatalf("%d %v %s", a.StatusCode, err, a.body)
	}
	return to
}

// agree is the address at which a provider's answer comes back.
func (b *browser) agree(at *url.URL) *url.URL {
	b.t.Helper()
	back, err := url.Parse(at.Query().Get("redirect_uri"))
	if err != nil {
		b.t.Fatal(err)
	}
	back.RawQuery = url.Values{"code": {b.at.code(at)}, "state": {at.Query().Get("state")}}.Encode()
	return back
}
