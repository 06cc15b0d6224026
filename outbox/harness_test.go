package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/allow"
	"github.com/postern-proxy/postern/policy/credential"
	"github.com/postern-proxy/postern/policy/credential/bearer"
	bodies "github.com/postern-proxy/postern/policy/credential/body"
	paths "github.com/postern-proxy/postern/policy/credential/path"
	"github.com/postern-proxy/postern/policy/credential/query"
	"github.com/postern-proxy/postern/policy/deadletter"
	"github.com/postern-proxy/postern/policy/idempotency"
	"github.com/postern-proxy/postern/policy/outcome"
	"github.com/postern-proxy/postern/policy/retry"
	"github.com/postern-proxy/postern/policy/timeout"
	"github.com/postern-proxy/postern/proxy"
	"github.com/postern-proxy/postern/seal"
	"github.com/postern-proxy/postern/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secret stands where the credential of the policy is.
const secret = "canary-of-the-policy"

// a house is an outbox between a handler and a provider "p", whose answers are
// made by provider.
type house struct {
	outbox.Store
	t        testing.TB
	set      *policy.Set
	handler  *proxy.Handler
	box      *outbox.Outbox
	ring     func() (*seal.Ring, error)
	answers  *idempotency.Live
	provider func(n int, r *http.Request, body string) (*http.Response, error)
	opt      outbox.Options

	mu      sync.Mutex
	sent    []sent
	letters int
	looked  int // how often it was looked whether a call had had its effect
	trouble []string
}

// sent is one request that the provider had.
type sent struct {
	at     time.Time
	method string
	url    string
	header http.Header
	body   string
}

// errReset is a connection that broke after everything was written; errRefused is
// one that there was not.
var (
	errReset   = errors.New("connection reset")
	errRefused = errors.New("connection refused")
)

// RoundTrip is the transport.
func (h *house) RoundTrip(r *http.Request) (*http.Response, error) {
	x := policy.From(r.Context())
	reader, err := x.Outgoing().Reader()
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(reader)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.sent = append(h.sent, sent{time.Now(), r.Method, r.URL.String(), r.Header.Clone(), string(body)})
	n := len(h.sent)
	h.mu.Unlock()
	resp, err := h.provider(n, r, string(body))
	if !errors.Is(err, errRefused) {
		x.Now.Dialled, x.Now.Connected, x.Now.Written, x.Now.Complete = true, true, int64(len(body))+100, true
	}
	if err == nil {
		x.Now.Begun, x.Now.Answered = true, true
	}
	return resp, err
}

// seals makes ring the keys.
func (h *house) seals(ring func() (*seal.Ring, error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring = ring
}

func (h *house) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.sent)
}

func answered(status int, body string) (*http.Response, error) {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"text/plain"}, "Set-Cookie": {"session=1"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}, nil
}

// keyed is a policy of a provider that takes keys.
const keyed = `
credential "bearer" { token = env("TOKEN") }
idempotency {
  header = "Idempotency-Key"
}
retry { attempts = 1 }
deadletter {}
async {
  order_by = request.header["X-Order"]
}
`

// unkeyed is one of a provider that does not.
const unkeyed = `
credential "query" {
  name  = "api_key"
  value = env("TOKEN")
}
retry { attempts = 1 }
deadletter {}
async {
}
`

// looks is a stage that stands where reconcile does: it notes that it was asked to
// look, and finds nothing. looking in a policy asks for it.
type looks struct{ h *house }

const looking = "# looks"

func (l *looks) Stage(policy.Scope) (policy.Stage, error) {
	return policy.Stage{Looks: true, Wrap: func(next http.RoundTripper) http.RoundTripper {
		return policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
			if x := policy.From(r.Context()); x.Unsure {
				l.h.looked++
				x.Unsure = false
			}
			return next.RoundTrip(r)
		})
	}}, nil
}

// places is a stage that knows which host an account is at, as those of connections
// do. placing in a policy asks for it.
type places struct{}

const placing = "# places"

func (*places) Stage(policy.Scope) (policy.Stage, error) {
	return policy.Stage{Places: true, Wrap: func(next http.RoundTripper) http.RoundTripper {
		return policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == policy.Nowhere {
				r.URL.Host = "acme.p.example"
			}
			return next.RoundTrip(r)
		})
	}}, nil
}

// build makes a house over a store; change may set further options.
func build(t testing.TB, s outbox.Store, src string, change ...func(*outbox.Options)) *house {
	t.Helper()
	h := &house{Store: s, t: t}
	key, err := seal.Parse(seal.Generate())
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewRing(key)
	if err != nil {
		t.Fatal(err)
	}
	h.ring = func() (*seal.Ring, error) { return ring, nil }
	h.provider = func(int, *http.Request, string) (*http.Response, error) { return answered(200, "ok") }
	h.handler = proxy.NewHandler(nil)
	h.opt = outbox.Options{
		Store: s, Ring: func() (*seal.Ring, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.ring()
		}, Policy: func() *policy.Set { return h.set }, Random: func() float64 { return 0.5 },
		Send: func(r *http.Request, e outbox.Envelope) (*http.Response, *policy.Exchange, error) {
			x := &policy.Exchange{ID: e.ID, Client: e.Client, Account: e.Account, Tags: e.Tags, Unsure: e.Unsure, Decided: e.Decided, Stored: true}
			resp, err := h.handler.Send(x, e.Provider, r)
			return resp, x, err
		},
		Location: func(id string) string { return "http://admin/" + id },
		Observer: outbox.Observer{
			Letter: func(string, policy.Outcome) { h.mu.Lock(); h.letters++; h.mu.Unlock() },
			Trouble: func(doing string, err error) {
				h.mu.Lock()
				h.trouble = append(h.trouble, fmt.Sprint(doing, ": ", err))
				h.mu.Unlock()
			},
		},
	}
	h.answers = &idempotency.Live{Store: store.NewMemory().Answers(), Ring: h.opt.Ring}
	for _, f := range change {
		f(&h.opt)
	}
	h.box = outbox.New(h.opt)
	h.handler.Accept = func(x *policy.Exchange, r *http.Request) (proxy.Accepted, error) {
		a, err := h.box.Accept(x, r)
		if err != nil {
			return proxy.Accepted{}, err
		}
		return proxy.Accepted{ID: a.ID, Location: a.Location, Status: string(a.State)}, nil
	}
	h.use(src)
	return h
}

// use puts a policy in force.
func (h *house) use(src string) {
	h.t.Helper()
	text := "hosts = [\"p.example\"]\n" + src
	f, diags := hclsyntax.ParseConfig([]byte(text), "p.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		h.t.Fatal(diags)
	}
	live := credential.NewLive()
	features := []policy.Feature{
		allow.Feature(), outbox.Feature(), deadletter.Feature(h.box), idempotency.Feature(h.answers), timeout.Total(), retry.Feature(func() float64 { return 1 }),
		bearer.Feature(live), query.Feature(live), paths.Feature(live), bodies.Feature(live), outcome.Fault(), outcome.Feature(),
	}
	if strings.Contains(src, looking) {
		features = slices.Insert(features, 5, policy.Feature{Name: "reconcile", Always: true, New: func() policy.Block { return &looks{h} }})
	}
	if strings.Contains(src, placing) {
		features = append(features, policy.Feature{Name: "places", Always: true, New: func() policy.Block { return new(places) }})
	}
	ctx := block.NewContext("test", block.NewSecrets([]string{"TOKEN=" + secret, "SIGN=a-key-of-more-than-24-bytes"}))
	ctx.Sources["p.hcl"] = []byte(text)
	set, diags := policy.Compile([]policy.Written{{Name: "p", Layers: []*hclsyntax.Body{f.Body.(*hclsyntax.Body)}}}, features, ctx, h)
	if diags.HasErrors() {
		h.t.Fatal(diags)
	}
	h.set = set
	h.handler.Swap(set, true)
}

// run runs the outbox until stop.
func (h *house) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); h.box.Run(ctx) }()
	return func() { cancel(); <-done }
}

// post makes a call by way of the handler.
func (h *house) post(path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "https://p.example"+path, strings.NewReader(body))
	r.RequestURI = "https://p.example" + path
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w
}

// later hands a call over, and returns its id.
func (h *house) later(path, body string, header ...string) string {
	h.t.Helper()
	w := h.post(path, body, append(header, "Postern-Async", "true")...)
	if w.Code != http.StatusAccepted {
		h.t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Header().Get("Postern-Id")
}

// is fails unless the call is in a state.
func (h *house) is(id string, want outbox.State) *outbox.Record {
	h.t.Helper()
	r, err := h.Show(context.Background(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	if r.State != want {
		h.t.Errorf("call %s is %s (%s), want %s", id, r.State, r.Reason, want)
	}
	return r
}

// only is the only call that is kept.
func (h *house) only() *outbox.Call {
	h.t.Helper()
	p, err := h.List(context.Background(), outbox.Filter{})
	if err != nil || len(p.Calls) != 1 {
		h.t.Fatalf("%d calls are kept, %v; want one", len(p.Calls), err)
	}
	return &p.Calls[0]
}

func memory() outbox.Store { return store.NewMemory().Outbox() }
