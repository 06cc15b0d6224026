package inbound_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/config"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/keys"
	"github.com/postern-proxy/postern/inbound/scheme"
	"github.com/postern-proxy/postern/inbound/scheme/sns"
	"github.com/postern-proxy/postern/store"
)

// schemes are those of the product, but for Amazon's certificates: the tests make some.
func schemes(f *keys.Fetcher, ask keys.Egress) inbound.Schemes {
	all := scheme.All(f, ask)
	all["sns"] = sns.Scheme(f, amazon())
	return all
}

// load reads webhook blocks and an inbound block, with this environment.
func load(src string, environ ...string) (*inbound.Set, hcl.Diagnostics) {
	return loadWith(schemes(keys.New(keys.Options{}), nil), src, environ...)
}

func loadWith(made inbound.Schemes, src string, environ ...string) (*inbound.Set, hcl.Diagnostics) {
	file, diags := hclsyntax.ParseConfig([]byte(src), "policy.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	ctx := block.NewContext("test", block.NewSecrets(environ))
	ctx.Sources["policy.hcl"] = []byte(src)
	schemes := (&config.Config{Context: ctx, Files: map[string]*hcl.File{}}).Schemes(made)
	var c inbound.Config
	c.Default()
	var hooks []*inbound.Webhook
	for _, b := range file.Body.(*hclsyntax.Body).Blocks {
		if b.Type == "inbound" {
			diags = append(diags, block.Decode(b.Body, ctx, &c)...)
			continue
		}
		w, d := inbound.Decode(b.Labels[0], b.DefRange(), b.Body, ctx, schemes)
		hooks, diags = append(hooks, w), append(diags, d...)
	}
	if diags.HasErrors() {
		return nil, diags
	}
	return inbound.NewSet(c, hooks)
}

func mustLoad(t testing.TB, src string, environ ...string) *inbound.Set {
	t.Helper()
	set, diags := load(src, environ...)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return set
}

// box is an inbox behind a real listener.
type box struct {
	*inbound.Inbox
	t     testing.TB
	url   string
	store inbound.Store

	mu         sync.Mutex
	receptions []inbound.Reception
	moved      []inbound.Transition
	troubles   []string
	sent       int // requests that newest has waited for
}

// serve starts an inbox over a store in memory. Nothing is delivered until
// [box.run].
func serve(t testing.TB, set *inbound.Set, change ...func(*inbound.Options)) *box {
	t.Helper()
	b := &box{t: t, store: store.NewMemory().Inbox()}
	o := inbound.Options{Store: b.store, Observer: inbound.Observer{
		Received: func(r *inbound.Reception) { b.mu.Lock(); b.receptions = append(b.receptions, *r); b.mu.Unlock() },
		Moved:    func(m *inbound.Transition) { b.mu.Lock(); b.moved = append(b.moved, *m); b.mu.Unlock() },
		Trouble: func(doing string, err error) {
			b.mu.Lock()
			b.troubles = append(b.troubles, doing+": "+err.Error())
			b.mu.Unlock()
		},
	}}
	for _, c := range change {
		c(&o)
	}
	b.Inbox = inbound.New(o)
	b.Swap(set)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv, served := b.Server(), make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-served })
	b.url = "http://" + l.Addr().String()
	return b
}

// run delivers until the test ends.
func (b *box) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	b.t.Cleanup(stop)
	return stop
}

// last is the newest reception. The observer is told after the answer is out.
func (b *box) last(n int) inbound.Reception {
	b.t.Helper()
	var r inbound.Reception
	eventually(b.t, fmt.Sprintf("reception %d", n), func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.receptions) < n {
			return false
		}
		r = b.receptions[n-1]
		return true
	})
	return r
}

type reply struct {
	status int
	header http.Header
	body   string
}

// post sends a webhook over a connection of its own.
func (b *box) post(path, body string, header http.Header) reply {
	b.t.Helper()
	return b.send(http.MethodPost, path, strings.NewReader(body), header)
}

func (b *box) send(method, path string, body io.Reader, header http.Header) reply {
	b.t.Helper()
	req, err := http.NewRequest(method, b.url+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	for name, v := range header {
		req.Header[name] = v
	}
	req.Close = true
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(text)}
}

// stored returns all events, the newest first.
func (b *box) stored() []inbound.Record {
	b.t.Helper()
	page, err := b.List(context.Background(), inbound.Filter{Limit: inbound.MaxPage})
	if err != nil {
		b.t.Fatal(err)
	}
	return page.Events
}

func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatalf("never happened: %s", what)
}

// app is an application that answers as it is told.
type app struct {
	*httptest.Server
	mu   sync.Mutex
	got  []delivered
	plan func(n int, w http.ResponseWriter, r *http.Request) // n counts from 1
}

type delivered struct {
	header http.Header
	body   []byte
	at     time.Time
}

func newApp(t testing.TB, plan func(n int, w http.ResponseWriter, r *http.Request)) *app {
	a := &app{plan: plan}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		a.got = append(a.got, delivered{r.Header.Clone(), body, time.Now()})
		n := len(a.got)
		a.mu.Unlock()
		if a.plan != nil {
			a.plan(n, w, r)
		}
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *app) deliveries() []delivered {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.got)
}

// one waits for the n-th delivery.
func (a *app) nth(t testing.TB, n int) delivered {
	t.Helper()
	eventually(t, fmt.Sprintf("delivery %d", n), func() bool { return len(a.deliveries()) >= n })
	return a.deliveries()[n-1]
}
