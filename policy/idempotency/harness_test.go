package idempotency_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/idempotency"
	"github.com/postern-proxy/postern/policy/outcome"
	"github.com/postern-proxy/postern/policy/retry"
	"github.com/postern-proxy/postern/policy/timeout"
	"github.com/postern-proxy/postern/seal"
	"github.com/postern-proxy/postern/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// looks is a stage that stands where reconcile does: it notes whether it was asked
// to look, and finds nothing.
type looks struct{ asked *int }

func (l *looks) Stage(policy.Scope) (policy.Stage, error) {
	return policy.Stage{Looks: true, Wrap: func(next http.RoundTripper) http.RoundTripper {
		return policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
			if x := policy.From(r.Context()); x.Unsure {
				*l.asked++
				x.Unsure = false
			}
			return next.RoundTrip(r)
		})
	}}, nil
}

// looking in a policy asks for that stage.
const looking = "# looks"

// ring is a new key.
func ring(t testing.TB) *seal.Ring {
	t.Helper()
	k, err := seal.Parse(seal.Generate())
	if err != nil {
		t.Fatal(err)
	}
	r, err := seal.NewRing(k)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// inMemory keeps answers in memory.
func inMemory(t testing.TB) *idempotency.Live {
	r := ring(t)
	return &idempotency.Live{Store: store.NewMemory().Answers(), Ring: func() (*seal.Ring, error) { return r, nil }}
}

// house is a compiled provider "p".
type house struct {
	t     testing.TB
	set   *policy.Set
	asked int
}

// build compiles a policy whose calls end at upstream.
func build(t testing.TB, live *idempotency.Live, upstream policy.RoundTripper, src string) *house {
	t.Helper()
	h := &house{t: t}
	text := "hosts = [\"p.example\", \"q.example\"]\n" + src
	f, diags := hclsyntax.ParseConfig([]byte(text), "p.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	features := []policy.Feature{
		idempotency.Feature(live), timeout.Total(),
		retry.Feature(func() float64 { return 1 }), outcome.Fault(), outcome.Feature(),
	}
	if strings.Contains(src, looking) {
		features = slices.Insert(features, 2, policy.Feature{Name: "reconcile", Always: true, New: func() policy.Block { return &looks{&h.asked} }})
	}
	ctx := block.NewContext("test", block.NewSecrets(nil))
	ctx.Sources["p.hcl"] = []byte(text)
	var all hcl.Diagnostics
	h.set, all = policy.Compile([]policy.Written{{Name: "p", Layers: []*hclsyntax.Body{f.Body.(*hclsyntax.Body)}}}, features, ctx, upstream)
	if all.HasErrors() {
		t.Fatal(all)
	}
	return h
}

// A call is one request of an application.
type call struct {
	method, url, body, account, client string
	header                             []string
	ctx                                context.Context
	unsure                             bool // whoever makes it knows that an earlier one may have had its effect
}

// do sends c as the handler does.
func (h *house) do(c call) (*policy.Exchange, *http.Response, error) {
	h.t.Helper()
	if c.method == "" {
		c.method = http.MethodPost
	}
	if c.url == "" {
		c.url = "https://p.example/charges"
	}
	if c.ctx == nil {
		c.ctx = context.Background()
	}
	u, err := url.Parse(c.url)
	if err != nil {
		h.t.Fatal(err)
	}
	x := &policy.Exchange{Start: time.Now(), Account: c.account, Client: c.client, Unsure: c.unsure}
	m, err := h.set.Provider("p").Match(c.method, u.EscapedPath())
	if err != nil {
		h.t.Fatal(err)
	}
	x.Plan, x.Endpoint = m.Plan, m.Endpoint
	x.Body = policy.NewBody(strings.NewReader(c.body), int64(len(c.body)), m.Plan.Buffer)
	header := http.Header{}
	for i := 0; i < len(c.header); i += 2 {
		header.Add(c.header[i], c.header[i+1])
	}
	r := (&http.Request{Method: c.method, URL: u, Host: u.Host, Header: header}).WithContext(policy.With(c.ctx, x))
	resp, err := m.Plan.RoundTrip(r)
	return x, resp, err
}

// read reads an answer to its end.
func read(t testing.TB, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return string(text)
}

func denied(t testing.TB, err error, code policy.Code) *policy.Denial {
	t.Helper()
	var d *policy.Denial
	if !errors.As(err, &d) || d.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	return d
}

// upstream is a provider that counts what it executes and answers by a function,
// with the number of the execution.
type upstream struct {
	mu     sync.Mutex
	n      int
	sent   []*http.Request
	answer func(n int, r *http.Request) (*http.Response, error)
}

func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	u.mu.Lock()
	u.n++
	n := u.n
	u.sent = append(u.sent, r)
	u.mu.Unlock()
	x := policy.From(r.Context())
	body, err := x.Outgoing().Reader()
	if err == nil {
		_, err = io.Copy(io.Discard, body)
	}
	if err != nil {
		return nil, err
	}
	x.Now.Dialled, x.Now.Connected, x.Now.Written, x.Now.Complete = true, true, 100, true
	resp, err := u.answer(n, r)
	if err == nil {
		x.Now.Answered = true
	}
	return resp, err
}

// answer is a whole one of known length.
func answer(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

// kept is a policy that keeps answers, for a provider that knows keys.
const kept = `
idempotency {
	header = "Idempotency-Key"
	keep   = "24h"
	final  = [402]
}
retry { attempts = 1 }
`

// alone is one for a provider that knows none.
const alone = `
idempotency {
	key  = request.header["X-Order-Id"]
	keep = "24h"
}
retry { attempts = 1 }
`

// keyed is a call with a key that both policies read.
func keyed(key string) call {
	return call{body: "amount=100", header: []string{"Idempotency-Key", key, "X-Order-Id", key, "Content-Type", "application/x-www-form-urlencoded"}}
}
