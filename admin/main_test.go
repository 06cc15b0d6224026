package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/oversight"
	"github.com/postern-proxy/postern/inbound/scheme/none"
	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/seal"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "a-token-of-some-length"

// decode reads an admin block.
func decode(src string, environ ...string) (*Config, hcl.Diagnostics) {
	file, diags := hclsyntax.ParseConfig([]byte(src), "postern.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	c := new(Config)
	return c, block.Decode(file.Body.(*hclsyntax.Body).Blocks[0].Body, block.NewContext("test", block.NewSecrets(environ)), c)
}

func mustDecode(t *testing.T, src string, environ ...string) *Config {
	t.Helper()
	c, diags := decode(src, environ...)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return c
}

// listener is a server behind a real socket.
type listener struct {
	*Server
	t       *testing.T
	url     string
	store   inbound.Store
	rows    connection.Store
	keeper  *connection.Keeper
	calls   outbox.Store
	ring    func() (*seal.Ring, error)
	mint    error // what a request for a new token fails with
	link    error // what a request for a link fails with
	checks  map[string]error
	reloads int
	refused error
}

// serve starts a server with the admin block src, two providers and two webhooks.
func serve(t *testing.T, src string, environ ...string) *listener {
	t.Helper()
	memory := store.NewMemory()
	memory.Replica = "here-1"
	l := &listener{t: t, store: memory.Inbox(), rows: memory.Connections(), calls: memory.Outbox(), checks: map[string]error{}}
	l.keep()
	in := inbound.New(inbound.Options{Store: l.store})
	in.Swap(webhooks(t))
	over := oversee(t, in, memory)
	answer := policy.RoundTripper(func(*http.Request) (*http.Response, error) { return nil, io.EOF })
	set := policy.StaticSet(map[string]http.RoundTripper{"api.stripe.com": answer, "<script>alert(1)</script>": answer})
	check := func(name string) Check {
		return Check{Name: name, Run: func(context.Context) error { return l.checks[name] }}
	}
	l.Server = New(mustDecode(t, src, environ...), Options{
		Version: "1.2.3", Revision: "abc", Log: slog.New(slog.DiscardHandler),
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "postern_build_info 1\n") }),
		Checks:  []Check{check("config"), check("store")},
		Policy:  func() *policy.Set { return set }, Inbox: in, Keeper: l.keeper, Oversight: over,
		Outbox: outbox.New(outbox.Options{Store: l.calls, Ring: l.ring, Policy: func() *policy.Set { return set }}),
		Connect: func(_ context.Context, ask NewConnectSession, by string) (ConnectSession, error) {
			return ConnectSession{URL: "https://connect.example.com/connect/x", Expires: time.Now(), Provider: ask.Provider, Account: ask.Account, Credential: by, Scopes: []string{}}, l.link
		},
		Running: func() Running {
			return Running{Generation: 3, Loaded: time.Unix(1e9, 0), Listeners: []Listener{{"proxy", "127.0.0.1:8080"}}, Replica: "gate-7f3a", Replicas: []Replica{{ID: "gate-7f3a"}}}
		},
		Reload: func(context.Context) error { l.reloads++; return l.refused },
	})
	srv := httptest.NewServer(l.Server)
	t.Cleanup(srv.Close)
	l.url = srv.URL
	return l
}

// oversee looks after webhooks whose provider has sent nothing.
func oversee(t *testing.T, in *inbound.Inbox, m *store.Memory) *oversight.Runner {
	r := oversight.New(oversight.Options{Inbox: in, Store: m.Oversight(), Egress: func(string, string) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("[]"))}, nil
		}
	}, Alone: func(ctx context.Context, _ string, _ func(context.Context)) { <-ctx.Done() }}) // only what is asked for
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func webhooks(t *testing.T) *inbound.Set {
	t.Helper()
	return webhooksOf(t, `
webhook "github" {
  path     = "/github"
  provider = "github"
  verify "none" {}
  event { id = body.id }
  reconcile {
    list   = "/events?since=${since}"
    events = response.body
  }
  deliver { to = "http://127.0.0.1:1/github?key=canary" }
}
webhook "slack" {
  path = "/slack"
  verify "none" {}
  deliver "one" { to = "http://127.0.0.1:1/a" }
  deliver "two" { to = "http://127.0.0.1:1/b" }
}`)
}

// webhooksOf compiles webhook blocks.
func webhooksOf(t *testing.T, src string) *inbound.Set {
	t.Helper()
	file, diags := hclsyntax.ParseConfig([]byte(src), "hooks.hcl", hcl.InitialPos)
	var hooks []*inbound.Webhook
	for _, b := range file.Body.(*hclsyntax.Body).Blocks {
		w, d := inbound.Decode(b.Labels[0], b.DefRange(), b.Body, block.NewContext("test", block.NewSecrets(nil)), inbound.Schemes{"none": none.Scheme})
		hooks, diags = append(hooks, w), append(diags, d...)
	}
	set, d := inbound.NewSet(inbound.Config{}, hooks)
	if diags = append(diags, d...); diags.HasErrors() {
		t.Fatal(diags)
	}
	return set
}

// insert stores an event.
func (l *listener) insert(e inbound.Event, targets ...string) {
	l.t.Helper()
	if e.Received.IsZero() {
		e.Received = time.Now()
	}
	e.Size = len(e.Body)
	if _, _, err := storetest.Insert(context.Background(), l.store, &e, targets...); err != nil {
		l.t.Fatal(err)
	}
}

// finish claims what is due for target, and moves it on.
func (l *listener) finish(target string, to inbound.State, reason string) {
	l.t.Helper()
	items, _, err := l.store.Claim(context.Background(), map[string]int{target: 100}, time.Minute)
	if err != nil || len(items) == 0 {
		l.t.Fatalf("%d items, %v", len(items), err)
	}
	for _, it := range items {
		if err := l.store.Finish(context.Background(), it.Lease, inbound.Move{To: to, Attempt: 1, Status: 500, Reason: reason, Took: time.Second}); err != nil {
			l.t.Fatal(err)
		}
	}
}

type answer struct {
	*http.Response
	body string
}

// ask sends a request; change may change it.
func (l *listener) ask(method, path, body string, change ...func(*http.Request)) answer {
	l.t.Helper()
	r, err := http.NewRequest(method, l.url+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, f := range change {
		f(r)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return answer{resp, string(text)}
}

func withToken(value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+value) }
}

func withHost(host string) func(*http.Request) { return func(r *http.Request) { r.Host = host } }

func withHeader(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

var errDown = errors.New("disk /var/lib is full")
