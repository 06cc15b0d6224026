package upstream

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// authority issues certificates for tests.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	a := &authority{pool: x509.NewCertPool()}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) issue(t *testing.T, name string, until time.Time) tls.Certificate {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// named makes every name lead here.
func named(t *testing.T, opt Options) *Transport {
	opt.Guard = loopback()
	opt.Guard.Resolve = answers("127.0.0.1")
	return start(t, opt)
}

// TestF27TLS: a provider that cannot prove who it is gets no byte of the
// request, in clear text least of all.
func TestF27TLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	hour := time.Now().Add(time.Hour)
	good := ca.issue(t, "api.example.com", hour)
	tests := []struct {
		name   string
		config *tls.Config // nil speaks no TLS
		want   string      // of the cause; "" is no error
	}{
		{"good", &tls.Config{Certificates: []tls.Certificate{good}}, ""},
		{"TLS 1.2", &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12}, ""},
		{"expired", &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "api.example.com", time.Now().Add(-time.Minute))}}, "expired"},
		{"another host", &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "www.example.com", hour)}}, "not api.example.com"},
		{"unknown authority", &tls.Config{Certificates: []tls.Certificate{other.issue(t, "api.example.com", hour)}}, "unknown authority"},
		{"TLS 1.1", &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "protocol version"},
		{"no TLS", nil, "does not look like TLS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var requests atomic.Int64
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
			srv.Config.ErrorLog = quiet
			if tt.config != nil {
				srv.TLS = tt.config
				srv.StartTLS()
			} else {
				srv.Start()
			}
			defer srv.Close()
			_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
			_, x, err := get(t, named(t, Options{RootCAs: ca.pool}), "https://api.example.com:"+port)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || e.Op != OpTLS || e.Timeout || !strings.Contains(err.Error(), tt.want) {
				t.Error(err)
			}
			if x.Now.Executed() != policy.No || x.Now.Connected || requests.Load() != 0 {
				t.Errorf("%+v, %d requests", x.Now, requests.Load())
			}
		})
	}
}

func TestF27HandshakeStall(t *testing.T) {
	s := raw(t, func(_ *wireServer, _ int, _ net.Conn, br *bufio.Reader) { io.Copy(io.Discard, br) })
	for _, http1 := range []bool{false, true} {
		x := policy.Exchange{Connect: 50 * time.Millisecond, Total: time.Now().Add(time.Hour)}
		_, got, err := call{url: "https" + s.URL[4:], x: x}.do(t.Context(), start(t, Options{HTTP1: http1}))
		var e *Error
		if !errors.As(err, &e) || !e.Timeout || got.Now.Executed() != policy.No {
			t.Errorf("%v %+v", err, got.Now)
		}
	}
}

// TestC24Pools: providers share no connection and no TLS session, a provider
// does with itself.
func TestC24Pools(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		var resumed atomic.Int64
		srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
			if r.TLS.DidResume {
				resumed.Add(1)
			}
			io.WriteString(w, r.RemoteAddr)
		})
		from := func(provider string, plan *policy.Plan) string {
			resp, _, err := call{url: srv.URL, provider: provider, x: policy.Exchange{Plan: plan}}.do(t.Context(), tr)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			return string(b)
		}
		a, b := from("a", nil), from("b", nil)
		if a == b || a != from("a", nil) || b != from("b", nil) {
			t.Errorf("%s %s", a, b)
		}
		u, _ := url.Parse(srv.URL)
		if c := from("", &policy.Plan{Provider: "a", Upstream: u}); c == a {
			t.Error("an upstream shares connections with the host itself")
		}
		if resumed.Load() != 0 {
			t.Error("a session was resumed by another provider")
		}
		srv.CloseClientConnections()
		for end := time.Now().Add(patience); time.Now().Before(end); {
			// HTTP/2 may take a moment to notice.
			if resp, _, err := (call{url: srv.URL, provider: "a"}).do(t.Context(), tr); err == nil {
				resp.Body.Close()
				break
			}
		}
		if resumed.Load() == 0 {
			t.Error("a provider does not resume its own session")
		}
	})
}

// TestC24ClearText: over a network, clear text is not trusted with a second
// request.
func TestC24ClearText(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "localhost": true, "::1": true, "127.9.9.9": true,
		"127.example.com": false, "10.0.0.1": false, "api.example.com": false, "localhost.example.com": false,
	} {
		k := key{scheme: "http", host: host}
		if k.private() != want {
			t.Errorf("%s: %v", host, !want)
		}
	}
	s := answer(t, ok, false)
	_, port, _ := net.SplitHostPort(s.Addr)
	tr := named(t, Options{})
	for range 3 {
		if got, _, err := get(t, tr, "http://api.example.com:"+port); got != "ok" || err != nil {
			t.Fatal(got, err)
		}
	}
	if s.conns.Load() != 3 || idle(tr) != 0 {
		t.Errorf("%d connections", s.conns.Load())
	}
}

// TestC8State: nothing an answer says changes where the next request goes or
// what is in it.
func TestC8State(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		_, other := serve(t, h2, nil)
		other.Close()
		hosts := make(chan string, 10)
		srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
			hosts <- r.Host + r.Header.Get("Cookie")
			w.Header().Set("Alt-Svc", `h2="127.0.0.1:1"; ma=3600`)
			w.Header().Set("Strict-Transport-Security", "max-age=3600; includeSubDomains")
			w.Header().Set("Set-Cookie", "a=b")
			w.Header().Set("Location", "https://127.0.0.1:1/")
			w.Header().Set("Refresh", "0; url=https://127.0.0.1:1/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		})
		want := strings.TrimPrefix(srv.URL, "https://")
		for range 3 {
			resp, _, err := call{url: srv.URL}.do(t.Context(), tr)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != 307 || resp.Header.Get("Location") != "https://127.0.0.1:1/" || resp.Header.Get("Set-Cookie") != "a=b" {
				t.Errorf("%d %v", resp.StatusCode, resp.Header)
			}
			if got := await(t, hosts, "the request"); got != want {
				t.Errorf("%q", got)
			}
		}
	})
}

// TestP11Untouched: nothing is decoded, nothing is added.
func TestP11Untouched(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		seen := make(chan http.Header, 1)
		const zipped = "\x1f\x8b not really"
		srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
			seen <- r.Header
			w.Header()["Content-Encoding"] = []string{"gzip"}
			w.Header()["Content-Type"] = []string{"text/plain"}
			io.WriteString(w, zipped)
		})
		for _, h := range []http.Header{{}, {"Accept-Encoding": {"gzip"}, "User-Agent": {"app"}}} {
			resp, _, err := call{url: srv.URL, header: h}.do(t.Context(), tr)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(b) != zipped || resp.Header.Get("Content-Encoding") != "gzip" || resp.ContentLength != int64(len(zipped)) || resp.Uncompressed {
				t.Errorf("%q %v", b, resp.Header)
			}
			if got := await(t, seen, "the request"); len(got) != len(h) {
				t.Errorf("%v arrived as %v", h, got)
			}
		}
	})
}

func TestCloseIdleAndClose(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		release := make(chan bool)
		srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				w.WriteHeader(200)
				w.(http.Flusher).Flush()
				<-release
			}
			io.WriteString(w, r.RemoteAddr)
		})
		first, _, _ := get(t, tr, srv.URL)
		if again, _, _ := get(t, tr, srv.URL); again != first {
			t.Error("the connection is not used again")
		}
		tr.CloseIdle()
		second, x, err := get(t, tr, srv.URL)
		if second == first || err != nil || x.Now.Reused {
			t.Error("an idle connection survived", err)
		}
		resp, _, err := call{url: srv.URL + "/slow"}.do(t.Context(), tr)
		if err != nil {
			t.Fatal(err)
		}
		tr.CloseIdle() // in use: it goes on, and is closed afterwards
		if _, x, err := get(t, tr, srv.URL); err != nil || x.Now.Reused {
			t.Error("a connection of before is used", err)
		}
		close(release)
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(b) != second || err != nil {
			t.Errorf("%q %v", b, err)
		}
		if third, x, _ := get(t, tr, srv.URL); third == second || !x.Now.Reused {
			t.Error("a connection of before survived its use")
		}
		tr.Close()
		if _, _, err := get(t, tr, srv.URL); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

// TestIdleTimeout: what is not used is closed, without being asked for.
func TestIdleTimeout(t *testing.T) {
	closed := make(chan bool, 1)
	s := raw(t, func(s *wireServer, _ int, c net.Conn, br *bufio.Reader) {
		s.read(br)
		io.WriteString(c, ok)
		s.read(br)
		closed <- true
	})
	tr := start(t, Options{IdleTimeout: 30 * time.Millisecond})
	get(t, tr, s.URL)
	await(t, closed, "the close")
	if idle(tr) != 0 {
		t.Error("it is still kept")
	}
}
