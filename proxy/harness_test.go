package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/proxy"
	"github.com/postern-proxy/postern/proxy/ca"
	"github.com/postern-proxy/postern/proxy/upstream"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const apiHost = "api.example.com"

// line is one line of the journal.
type line struct {
	x *policy.Exchange
	proxy.Result
}

// rig is a whole proxy on loopback, with one provider, api.example.com, whose
// plan sends to origin.
type rig struct {
	t       *testing.T
	server  *proxy.Server
	handler *proxy.Handler
	config  *proxy.Config
	set     *policy.Set
	roots   *x509.CertPool
	addr    string
	journal chan line
	passed  chan proxy.Passage
	dialled *dialled
}

// dialled counts the connections to hosts that no provider names; all of them
// go to one place.
type dialled struct {
	mu    sync.Mutex
	asked []string
	to    string
	err   error
}

func (d *dialled) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	d.asked = append(d.asked, address)
	to, err := d.to, d.err
	d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, network, to)
}

type option func(*rig, *proxy.Limits)

func newRig(t *testing.T, upstream http.RoundTripper, options ...option) *rig {
	t.Helper()
	g := &rig{t: t, config: &proxy.Config{}, journal: make(chan line, 1000), passed: make(chan proxy.Passage, 100), dialled: &dialled{}}
	g.config.Default()
	g.config.Listen = "127.0.0.1:0"
	g.set = policy.StaticSet(map[string]http.RoundTripper{apiHost: upstream, "second.example.com": upstream})
	limits := proxy.DefaultLimits()
	g.handler = proxy.NewHandler(g.dialled.dial)
	for _, o := range options {
		o(g, &limits)
	}
	authority, err := ca.Open(filepath.Join(t.TempDir(), "ca"))
	if err != nil {
		t.Fatal(err)
	}
	g.roots = x509.NewCertPool()
	g.roots.AppendCertsFromPEM(authority.PEM())
	g.handler.Done = func(x *policy.Exchange, r proxy.Result) { g.journal <- line{x, r} }
	g.handler.Passed = func(p proxy.Passage) { g.passed <- p }
	g.server = proxy.NewServer(g.config, g.handler, authority, limits, g.dialled.dial, log.New(io.Discard, "", 0))
	if err := g.server.Swap(g.set, g.config); err != nil {
		t.Fatal(err)
	}
	if err := g.server.Listen(); err != nil {
		t.Fatal(err)
	}
	g.addr = g.server.Addr().String()
	served := make(chan error, 1)
	go func() { served <- g.server.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		g.server.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return g
}

// sender sends what the exchange holds to an origin, whatever host was asked
// for, once.
func sender(t *testing.T, scheme, addr string, roots *x509.CertPool) http.RoundTripper {
	tr := upstream.New(upstream.Options{RootCAs: roots, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}})
	t.Cleanup(func() { tr.Close() })
	return policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
		x := policy.From(r.Context())
		x.Attempts++
		x.Now = policy.Attempt{Start: time.Now()}
		u := *r.URL
		u.Scheme = scheme
		r.URL = &u
		return tr.RoundTrip(r)
	})
}

// origin starts a TLS server that speaks HTTP/2 if h2, and returns a way to
// send to it.
func origin(t *testing.T, h2 bool, handler http.HandlerFunc) http.RoundTripper {
	t.Helper()
	srv := httptest.NewUnstartedServer(handler)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.EnableHTTP2 = h2
	srv.StartTLS()
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return sender(t, "https", srv.Listener.Addr().String(), roots)
}

// client is one whose HTTP_PROXY and HTTPS_PROXY are the rig.
func (g *rig) client(h2 bool, user *url.Userinfo) *http.Client {
	tr := &http.Transport{
		Proxy:              http.ProxyURL(&url.URL{Scheme: "http", User: user, Host: g.addr}),
		TLSClientConfig:    &tls.Config{RootCAs: g.roots, ClientSessionCache: tls.NewLRUClientSessionCache(8)},
		ForceAttemptHTTP2:  h2,
		DisableCompression: true,
	}
	if !h2 {
		tr.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	g.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

// raw opens a connection to addr; everything on it has to happen in 10 s.
func raw(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(10 * time.Second))
	t.Cleanup(func() { c.Close() })
	return c
}

// tunnel CONNECTs to authority and starts TLS with the server name sni in it.
func (g *rig) tunnel(authority, sni string, protocols ...string) *tls.Conn {
	g.t.Helper()
	c := raw(g.t, g.addr)
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority)
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"})
	if err != nil || resp.StatusCode != 200 {
		g.t.Fatalf("CONNECT %s: %v %v", authority, resp, err)
	}
	t := tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: sni, NextProtos: protocols})
	if err := t.Handshake(); err != nil {
		g.t.Fatalf("handshake: %v", err)
	}
	return t
}

// exchange writes raw bytes and reads one response.
func exchange(c net.Conn, method, text string) (*http.Response, string, error) {
	if _, err := io.WriteString(c, text); err != nil {
		return nil, "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil || method == "CONNECT" && resp.StatusCode == 200 {
		return resp, "", err
	}
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func (g *rig) next() line {
	g.t.Helper()
	select {
	case l := <-g.journal:
		return l
	case <-time.After(10 * time.Second):
		g.t.Fatal("no line in the journal")
		panic("")
	}
}

func body(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// both runs a test with every pair of protocols of client and origin.
func both(t *testing.T, test func(t *testing.T, client, origin bool)) {
	name := map[bool]string{false: "h1", true: "h2"}
	for _, c := range []bool{false, true} {
		for _, o := range []bool{false, true} {
			t.Run(name[c]+" to "+name[o], func(t *testing.T) { test(t, c, o) })
		}
	}
}

func contains(t *testing.T, s string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(s, p) {
			t.Errorf("%q is not in %q", p, s)
		}
	}
}
