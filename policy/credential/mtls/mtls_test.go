package mtls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
	"github.com/postern-proxy/postern/policy/credential/bearer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// identity is a certificate and its key, in PEM.
type identity struct{ cert, key string }

// issue makes one that is valid from..until from now.
func issue(t testing.TB, name string, from, until time.Duration) identity {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(until)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return identity{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))}
}

const year = 365 * 24 * time.Hour

// house is a process with a policy, whose files change.
type house struct {
	t       testing.TB
	dir     string
	secrets *block.Secrets
	live    *Live
	other   *credential.Live

	mu    sync.Mutex
	words []string
	sent  []*policy.Exchange
	names []string // what each request showed: a token, the name in a certificate

	set *policy.Set
}

func open(t testing.TB) *house {
	h := &house{t: t, dir: t.TempDir(), secrets: block.NewSecrets([]string{"TOKEN=token-0123456789"}), live: NewLive(), other: credential.NewLive()}
	h.live.Changed = func(s policy.Scope, until time.Time, err error) {
		h.say(s, "changed", until, err)
	}
	h.live.Ends = func(s policy.Scope, until time.Time) { h.say(s, "ends", until, nil) }
	return h
}

func (h *house) say(s policy.Scope, what string, until time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.Provider != "p" || s.Label != "mtls" {
		h.t.Errorf("word of %+v", s)
	}
	if !until.IsZero() {
		what += " until"
	}
	if err != nil {
		what += ": " + err.Error()
	}
	h.words = append(h.words, what)
}

// put writes files by renaming, as rotation should.
func (h *house) put(files map[string]string) {
	h.t.Helper()
	for name, text := range files {
		temp := filepath.Join(h.dir, "."+name)
		if err := os.WriteFile(temp, []byte(text), 0o600); err != nil {
			h.t.Fatal(err)
		}
		if err := os.Rename(temp, filepath.Join(h.dir, name)); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *house) putPair(i identity) {
	h.t.Helper()
	h.put(map[string]string{"cert.pem": i.cert, "key.pem": i.key})
}

const files = `credential "mtls" {
  cert = file("cert.pem")
  key  = file("key.pem")
}
`

// load is what a start or a reload does. It returns the warnings.
func (h *house) load(src string) string {
	h.t.Helper()
	name := filepath.Join(h.dir, "p.hcl")
	f, diags := hclsyntax.ParseConfig([]byte("hosts = [\"api.example.com\"]\n"+src), name, hcl.InitialPos)
	if diags.HasErrors() {
		h.t.Fatal(diags)
	}
	base := policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
		x := policy.From(r.Context())
		h.mu.Lock()
		defer h.mu.Unlock()
		h.sent = append(h.sent, x)
		shown := ""
		if x.Certificate != nil {
			shown = x.Certificate.Leaf().Subject.CommonName
		}
		h.names = append(h.names, strings.TrimSpace(r.Header.Get("Authorization")+" "+shown))
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
	})
	ctx := block.NewContext("test", h.secrets)
	set, diags := policy.Compile([]policy.Written{{Name: "p", Layers: []*hclsyntax.Body{f.Body.(*hclsyntax.Body)}}}, []policy.Feature{Feature(h.live), bearer.Feature(h.other)}, ctx, base)
	if diags.HasErrors() {
		h.t.Fatal(diags)
	}
	ctx.Resolve(h.t.Context())
	h.set = set
	var warned []string
	for _, d := range set.Ready() {
		warned = append(warned, d.Summary+": "+d.Detail)
	}
	return strings.Join(warned, "\n")
}

// call makes one call and returns what was shown.
func (h *house) call() (shown string, x *policy.Exchange, err error) {
	h.t.Helper()
	m, err := h.set.Provider("p").Match("GET", "/x")
	if err != nil {
		h.t.Fatal(err)
	}
	x = &policy.Exchange{Plan: m.Plan, Body: policy.NewBody(nil, 0, 0)}
	r, err := http.NewRequestWithContext(policy.With(h.t.Context(), x), "GET", "https://api.example.com/x", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	before := len(h.names)
	if _, err = m.Plan.RoundTrip(r); err != nil {
		if len(h.names) != before {
			h.t.Error("something was sent")
		}
		return "", x, err
	}
	return h.names[len(h.names)-1], x, nil
}

func (h *house) want(shown string) {
	h.t.Helper()
	if got, _, err := h.call(); got != shown || err != nil {
		h.t.Errorf("%q was shown, %v; want %q", got, err, shown)
	}
}

// unavailable wants the call refused, with a sentence that says so.
func (h *house) unavailable(says string) {
	h.t.Helper()
	_, x, err := h.call()
	var d *policy.Denial
	if !errors.As(err, &d) || d.Code != policy.CredentialUnavailable || !strings.Contains(d.Detail, says) || d.Hint == "" || x.Certificate != nil {
		h.t.Errorf("%v, want %q", err, says)
	}
}

func (h *house) said(want ...string) {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.words) != len(want) || slices.ContainsFunc(want, func(w string) bool {
		return !slices.ContainsFunc(h.words, func(got string) bool { return strings.HasPrefix(got, w) })
	}) {
		h.t.Errorf("said was %q, want %q", h.words, want)
	}
	h.words = nil
}

// TestReload: new files are used from the next loading on, whatever way they come.
func TestReload(t *testing.T) {
	h := open(t)
	one, two := issue(t, "one", -time.Hour, year), issue(t, "two", -time.Hour, year)
	h.putPair(one)
	if warned := h.load(files); warned != "" {
		t.Error(warned)
	}
	h.said("changed until")
	h.want("one")
	h.putPair(two)
	h.want("one")
	h.load(files)
	h.said("changed until")
	h.want("two")
	h.load(files)
	h.said()
	h.want("two")
	if h.sent[2].Certificate != h.sent[3].Certificate {
		t.Error("the same files are another certificate after a reload")
	}
	if print := h.sent[0].Keys; len(print) != 8 || print != h.sent[1].Keys || print == h.sent[2].Keys {
		t.Errorf("fingerprints %q, %q", print, h.sent[2].Keys)
	}

	// Kubernetes swaps a link beside the files.
	for i, id := range []identity{one, two} {
		folder := filepath.Join(h.dir, fmt.Sprint("version-", i))
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"cert.pem": id.cert, "key.pem": id.key} {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	swap := func(to string) {
		temp := filepath.Join(h.dir, "next")
		if err := os.Symlink(to, temp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(temp, filepath.Join(h.dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	linked := strings.NewReplacer(`"cert.pem"`, `"..data/cert.pem"`, `"key.pem"`, `"..data/key.pem"`).Replace(files)
	for i, name := range []string{"one", "two"} {
		swap(fmt.Sprint("version-", i))
		h.load(linked)
		h.want(name)
	}
}

// bad are pairs that nobody can use, or not now.
func bad(t testing.TB) map[string]struct {
	identity
	says string
} {
	a, b := issue(t, "a", -time.Hour, year), issue(t, "b", -time.Hour, year)
	return map[string]struct {
		identity
		says string
	}{
		"of two":        {identity{a.cert, b.key}, "does not match"},
		"half written":  {identity{a.cert[:len(a.cert)/2], a.key}, "PEM"},
		"no PEM":        {identity{"a certificate, believe me", a.key}, "PEM"},
		"switched":      {identity{a.key, a.cert}, "switched"},
		"expired":       {issue(t, "late", -2*time.Hour, -time.Hour), "expired at 20"},
		"not valid yet": {issue(t, "early", time.Hour, year), "not valid before 20"},
	}
}

// TestKeepsTheLastGoodPair: what cannot be used is said, and changes nothing.
func TestKeepsTheLastGoodPair(t *testing.T) {
	for name, b := range bad(t) {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			h.putPair(issue(t, "good", -time.Hour, year))
			h.load(files)
			h.said("changed until")
			h.putPair(b.identity)
			warned := h.load(files)
			if !strings.HasPrefix(warned, `Unusable credential "mtls": The client certificate before it, valid until 20`) || !strings.Contains(warned, b.says) {
				t.Error(warned)
			}
			h.said("changed until: ")
			h.want("good")
			h.putPair(issue(t, "next", -time.Hour, year))
			if warned := h.load(files); warned != "" {
				t.Error(warned)
			}
			h.said("changed until")
			h.want("next")
		})
	}
}

// TestFailsClosed: without a pair nothing leaves.
func TestFailsClosed(t *testing.T) {
	for name, b := range bad(t) {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			h.putPair(b.identity)
			if warned := h.load(files); !strings.Contains(warned, b.says) || strings.Contains(warned, "before it") {
				t.Error(warned)
			}
			h.said("changed: ")
			h.unavailable(b.says)
			if strings.Contains(h.load(files), b.key[40:80]) {
				t.Error("the warning shows the key")
			}
		})
	}
	for _, missing := range []string{"cert.pem", "key.pem"} {
		h := open(t)
		h.putPair(issue(t, "a", -time.Hour, year))
		if err := os.Remove(filepath.Join(h.dir, missing)); err != nil {
			t.Fatal(err)
		}
		if warned := h.load(files); warned != "" { // by whoever reads all secrets
			t.Error(warned)
		}
		h.unavailable("[secret file:" + filepath.Join(h.dir, missing) + "]: it cannot be read")
	}
}

// TestTakenAway: a pair that was deleted is not used in the place of one that
// cannot be.
func TestTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t)
		h.putPair(issue(t, "revoked", -time.Hour, year))
		h.load(files)
		h.want("revoked")
		if err := os.Remove(filepath.Join(h.dir, "key.pem")); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the first notices, the second gives up
			h.load(files)
			time.Sleep(time.Minute)
		}
		h.load(files)
		h.unavailable("it cannot be read")
		h.putPair(identity{issue(t, "a", -time.Hour, year).cert, issue(t, "b", -time.Hour, year).key})
		h.load(files)
		h.unavailable("does not match")
	})
}

// TestEnds: the end of a certificate is told of for two weeks, once a day; after
// it nothing is sent.
func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t)
		h.putPair(issue(t, "a", -time.Hour, 16*24*time.Hour))
		h.load(files)
		h.want("a")
		h.said("changed until")
		time.Sleep(36 * time.Hour)
		h.want("a")
		h.said()
		time.Sleep(24 * time.Hour)
		h.load(files)
		h.said("ends until") // also without a call
		for range 12 {
			h.want("a")
		}
		h.said()
		time.Sleep(24 * time.Hour)
		for range 12 {
			h.want("a")
		}
		h.said("ends until")
		time.Sleep(13 * 24 * time.Hour)
		h.unavailable("expired at 2000-01-17")
		h.load(files)
		h.unavailable("expired at 2000-01-17")
	})
}

// TestStartsByItself: a certificate that came before its time is used when that
// has come, without another loading.
func TestStartsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t)
		h.putPair(issue(t, "old", -time.Hour, year))
		h.load(files)
		h.putPair(issue(t, "new", time.Minute, year))
		h.load(files)
		h.want("old")
		time.Sleep(59 * time.Second)
		h.want("old")
		time.Sleep(time.Second)
		h.want("new")
		h.said("changed until", "changed until: the certificate is not valid before", "changed until")
	})
}

// TestStack: it goes together with what is put into the request.
func TestStack(t *testing.T) {
	h := open(t)
	h.putPair(issue(t, "a", -time.Hour, year))
	h.load(`credential "bearer" { token = env("TOKEN") }` + "\n" + files)
	h.want("Bearer token-0123456789 a")
	h.put(map[string]string{"cert.pem": "broken", "key.pem": "broken"})
	h.live = NewLive()
	h.load(`credential "bearer" { token = env("TOKEN") }` + "\n" + files)
	h.unavailable("PEM")
}

// TestAcrossRoutes: a route's own certificate is not the provider's.
func TestAcrossRoutes(t *testing.T) {
	h := open(t)
	h.putPair(issue(t, "whole", -time.Hour, year))
	route := issue(t, "route", -time.Hour, year)
	h.put(map[string]string{"cert2.pem": route.cert, "key2.pem": route.key})
	h.load(files + "route \"GET /x\" {\n" + strings.NewReplacer("cert.pem", "cert2.pem", "key.pem", "key2.pem").Replace(files) + "}\n")
	h.want("route")
	h.put(map[string]string{"key2.pem": "broken"})
	h.load(files + "route \"GET /x\" {\n" + strings.NewReplacer("cert.pem", "cert2.pem", "key.pem", "key2.pem").Replace(files) + "}\n")
	h.want("route")
}

// TestStates: people see which certificate is in use, by its fingerprint.
func TestStates(t *testing.T) {
	h := open(t)
	state := func() policy.KeyState {
		for _, st := range h.set.Provider("p").Plans()[0].Stages {
			if st.Keys != nil {
				return st.Keys()[0]
			}
		}
		t.Fatal("there are no keys")
		return policy.KeyState{}
	}
	h.load(files)
	if s := state(); s.State != policy.KeyMissing || s.Fingerprint != "" {
		t.Errorf("%+v", s)
	}
	h.putPair(issue(t, "a", -time.Hour, year))
	h.load(files)
	if s := state(); s.Kind != "mtls" || s.State != policy.KeyInUse || len(s.Fingerprint) != 8 || !s.LastUsed.IsZero() || s.Ref != "[secret file:"+filepath.Join(h.dir, "cert.pem")+"]" {
		t.Errorf("%+v", s)
	}
	h.want("a")
	if s := state(); time.Since(s.LastUsed) > time.Minute {
		t.Errorf("%+v", s)
	}
}

// TestStandIn: a test of a policy shows a certificate that is named like it.
func TestStandIn(t *testing.T) {
	h := open(t)
	h.secrets = block.StandIns()
	if warned := h.load(files); warned != "" {
		t.Error(warned)
	}
	h.want("stand-in-for-file-cert.pem")
}

// TestMany: calls and loadings at once.
func TestMany(t *testing.T) {
	h := open(t)
	ids := []identity{issue(t, "a", -time.Hour, year), issue(t, "b", -time.Hour, year)}
	h.putPair(ids[0])
	h.load(files)
	var wg sync.WaitGroup
	for range 4 {
		p := &pairs{Block: &Block{Cert: h.secret("cert.pem"), Key: h.secret("key.pem"), live: h.live}, scope: policy.Scope{Provider: "p", Label: "mtls"}}
		for range 4 {
			wg.Go(func() {
				for range 50 {
					if _, err := p.take(); err != nil {
						t.Error(err)
					}
					p.states()
				}
			})
		}
	}
	wg.Wait()
}

func (h *house) secret(name string) block.Secret {
	var b struct {
		V block.Secret `hcl:"v"`
	}
	f, diags := hclsyntax.ParseConfig([]byte(fmt.Sprintf("v = file(%q)", filepath.Join(h.dir, name))), "x.hcl", hcl.InitialPos)
	if diags = append(diags, block.Decode(f.Body, block.NewContext("", h.secrets), &b)...); diags.HasErrors() {
		h.t.Fatal(diags)
	}
	return b.V
}
