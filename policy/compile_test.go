package policy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/allow"
	"github.com/postern-proxy/postern/policy/breaker"
	"github.com/postern-proxy/postern/policy/credential"
	"github.com/postern-proxy/postern/policy/credential/awssigv4"
	"github.com/postern-proxy/postern/policy/credential/basic"
	"github.com/postern-proxy/postern/policy/credential/bearer"
	"github.com/postern-proxy/postern/policy/credential/body"
	"github.com/postern-proxy/postern/policy/credential/header"
	"github.com/postern-proxy/postern/policy/credential/hmac"
	"github.com/postern-proxy/postern/policy/credential/httpsignature"
	"github.com/postern-proxy/postern/policy/credential/path"
	"github.com/postern-proxy/postern/policy/credential/query"
	"github.com/postern-proxy/postern/policy/fallback"
	"github.com/postern-proxy/postern/policy/idempotency"
	"github.com/postern-proxy/postern/policy/limit"
	"github.com/postern-proxy/postern/policy/look"
	"github.com/postern-proxy/postern/policy/outcome"
	"github.com/postern-proxy/postern/policy/reconcile"
	"github.com/postern-proxy/postern/policy/retry"
	"github.com/postern-proxy/postern/policy/timeout"
	"github.com/postern-proxy/postern/policy/upsert"
	"github.com/postern-proxy/postern/policy/version"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// silent is told what stages do beside what stands in the exchange.
type silent struct{}

func (silent) LimitWait(string, string, time.Duration) {}

func (silent) LimitRemaining(string, string, float64) {}

func (silent) LimitObserved(string) {}

// features are those of the program, in its order. Jitter is none.
func features(t testing.TB, egress look.Egress) []policy.Feature {
	t.Helper()
	circuits, err := breaker.Feature(func(string, string, bool) {})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := limit.NewLocal(func() int { return 1 })
	if err != nil {
		t.Fatal(err)
	}
	cooldown, guard, err := limit.Cooldown(silent{})
	if err != nil {
		t.Fatal(err)
	}
	limits, err := limit.Feature(silent{}, tokens, func() int { return 1 })
	if err != nil {
		t.Fatal(err)
	}
	live := credential.NewLive()
	return []policy.Feature{
		allow.Feature(), fallback.Feature(fallback.NewKept()), idempotency.Feature(new(idempotency.Live)), timeout.Total(), upsert.Feature(egress), reconcile.Feature(egress), retry.Feature(func() float64 { return 1 }), circuits, cooldown, limits, guard, timeout.Attempt(),
		version.Feature(func(string) {}),
		bearer.Feature(live), basic.Feature(live), header.Feature(live), query.Feature(live), path.Feature(live), body.Feature(live), hmac.Feature(live), awssigv4.Feature(live), httpsignature.Feature(live),
		outcome.Fault(), outcome.Feature(),
	}
}

// environ holds the secrets of all tests.
var environ = []string{
	"NEW=new-key-0123456789", "OLD=old-key-9876543210", "THIRD=third-key-55555555", "PASSWORD=pass/word+0123456", "USER_NAME=the-user-name",
	"BROKEN=a\r\nX-Evil: 1", "ODD=a b/c+d\"e&f-0123456789",
	"SIGNING=-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----", // of RFC 9421, B.1.4
}

// layers parses texts that are laid over each other, each the inside of a
// provider block.
func layers(t testing.TB, name string, ctx *block.Context, srcs ...string) policy.Written {
	t.Helper()
	w := policy.Written{Name: name}
	for i, src := range srcs {
		file := name + string(rune('0'+i)) + ".hcl"
		f, diags := hclsyntax.ParseConfig([]byte(src), file, hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatalf("%s: %v", src, diags)
		}
		ctx.Sources[file] = []byte(src)
		w.Layers = append(w.Layers, f.Body.(*hclsyntax.Body))
	}
	return w
}

// A house is a compiled policy with the features whose state outlives it.
type house struct {
	t        testing.TB
	features []policy.Feature
	set      *policy.Set
	base     http.RoundTripper
}

func open(t testing.TB, base http.RoundTripper) *house {
	h := &house{t: t, base: base}
	h.features = features(t, h.egress)
	return h
}

// compile is what a load or reload does. A text is a provider "p" or, if it
// begins with "NAME:", of that name.
func (h *house) compile(srcs ...string) *house {
	h.t.Helper()
	set, diags := h.try(srcs...)
	if diags.HasErrors() {
		h.t.Fatal(diags)
	}
	h.set = set
	return h
}

func (h *house) try(srcs ...string) (*policy.Set, hcl.Diagnostics) {
	h.t.Helper()
	ctx := block.NewContext("test", block.NewSecrets(environ))
	var all []policy.Written
	for _, src := range srcs {
		name, text, ok := strings.Cut(src, ":")
		if !ok || strings.ContainsAny(name, " \n\t=") {
			name, text = "p", src
		}
		if !strings.Contains(text, "hosts") {
			text = "hosts = [\"" + name + ".example\"]\n" + text
		}
		all = append(all, layers(h.t, name, ctx, text))
	}
	return policy.Compile(all, h.features, ctx, h.base)
}

// compile decodes one provider with the real features.
func compile(t testing.TB, base policy.RoundTripper, srcs ...string) *house {
	t.Helper()
	return open(t, base).compile(srcs...)
}

// A call is one request of an application.
type call struct {
	provider, method, path, body, account, client string
	header                                        http.Header
	length                                        int64 // of the body as announced; 0 is the true one, -1 none
	total                                         time.Duration
	ctx                                           context.Context
	src                                           io.Reader // instead of body
	stored                                        bool      // it comes from the outbox
}

// do sends c through its plan, as the handler does.
func (h *house) do(c call) (*policy.Exchange, *http.Response, error) {
	h.t.Helper()
	if c.provider == "" {
		c.provider = "p"
	}
	if c.ctx == nil {
		c.ctx = context.Background()
	}
	u, err := url.Parse("https://" + c.provider + ".example" + c.path)
	if err != nil {
		h.t.Fatal(err)
	}
	x := &policy.Exchange{Start: time.Now(), Account: c.account, Client: c.client, Stored: c.stored}
	m, err := h.set.Provider(c.provider).Match(c.method, u.EscapedPath())
	if err != nil {
		return x, nil, err
	}
	x.Plan, x.Endpoint = m.Plan, m.Endpoint
	if c.total > 0 {
		x.Total = x.Start.Add(c.total)
	}
	if c.header == nil {
		c.header = http.Header{}
	}
	src := c.src
	if src == nil {
		src = strings.NewReader(c.body)
	}
	if c.length == 0 {
		c.length = int64(len(c.body))
	}
	x.Body = policy.NewBody(src, c.length, m.Plan.Buffer)
	r := (&http.Request{Method: c.method, URL: u, Host: u.Host, Header: c.header}).WithContext(policy.With(c.ctx, x))
	x.Request = &http.Request{Method: c.method, URL: &url.URL{Path: "/p/" + c.provider + u.Path}, Header: c.header} // as a base URL has it
	resp, err := m.Plan.RoundTrip(r)
	return x, resp, err
}

// A step is one answer, or failure, of the provider.
type step struct {
	status int
	header map[string]string
	body   string
	now    policy.Attempt // what the transport knows when it fails
	err    error
	takes  time.Duration
}

var errBroke = errors.New("connection reset by peer")

// What a transport knows.
var (
	unsent  = policy.Attempt{}
	dialled = policy.Attempt{Connected: true}
	sent    = policy.Attempt{Connected: true, Written: 100, Complete: true}
	partly  = policy.Attempt{Connected: true, Written: 1}
	goaway  = policy.Attempt{Connected: true, Written: 100, Refused: true}
)

// A script is a provider that answers by the book, the last step again and
// again. It is the only thing that counts what is sent.
type script struct {
	t     testing.TB
	steps []step
	sent  []*http.Request
	body  []string
	at    []time.Time
	open  int // bodies of answers that were not closed
}

func play(t testing.TB, steps ...step) *script { return &script{t: t, steps: steps} }

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	x := policy.From(r.Context())
	st := s.steps[min(len(s.sent), len(s.steps)-1)]
	s.sent, s.at = append(s.sent, r), append(s.at, time.Now())
	if r.Context().Err() != nil {
		return nil, context.Cause(r.Context())
	}
	if st.takes > 0 {
		end := time.Now().Add(st.takes)
		if until := x.Until(); !until.IsZero() && until.Before(end) {
			time.Sleep(time.Until(until))
			x.Now = sent
			return nil, context.DeadlineExceeded
		}
		time.Sleep(st.takes)
	}
	if st.err != nil {
		earlier, start := x.Now.Earlier, x.Now.Start
		x.Now = st.now
		x.Now.Earlier, x.Now.Start = earlier, start
		return nil, st.err
	}
	body, err := x.Outgoing().Reader()
	if err != nil {
		s.t.Errorf("the transport could not read the body: %v", err)
		return nil, err
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	s.body = append(s.body, string(text))
	x.Now.Connected, x.Now.Written, x.Now.Complete, x.Now.Answered = true, 1, true, true
	h := http.Header{}
	for k, v := range st.header {
		h.Set(k, v)
	}
	s.open++
	return &http.Response{StatusCode: st.status, Header: h, ContentLength: -1, Body: &closing{strings.NewReader(st.body), s, false}, Request: r}, nil
}

type closing struct {
	io.Reader
	s    *script
	done bool
}

func (c *closing) Close() error {
	if !c.done {
		c.done = true
		c.s.open--
	}
	return nil
}

func denied(t testing.TB, err error, code policy.Code) *policy.Denial {
	t.Helper()
	var d *policy.Denial
	if !errors.As(err, &d) || d.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	return d
}

// finish reads an answer to its end.
func finish(t testing.TB, resp *http.Response, err error) string {
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

func noted(x *policy.Exchange, stage, key string) bool {
	for _, n := range x.Notes {
		if n.Stage == stage && n.Key == key {
			return true
		}
	}
	return false
}
