package upstream

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// client issues a client certificate, in PEM.
func (a *authority) client(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.cert, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func identity(t *testing.T, cert, key []byte) *policy.ClientCertificate {
	t.Helper()
	c, err := policy.NewClientCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// identity is client, read.
func (a *authority) identity(t *testing.T, name string) *policy.ClientCertificate {
	t.Helper()
	cert, key := a.client(t, name)
	return identity(t, cert, key)
}

// asking runs a server that wants client certificates of ca as auth says, and
// answers who called over which connection, and whether a session was resumed.
func asking(t *testing.T, ca *authority, h2 bool, version uint16, auth tls.ClientAuthType) (*httptest.Server, *Transport, *atomic.Int64) {
	t.Helper()
	requests := new(atomic.Int64)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		io.Copy(io.Discard, r.Body)
		name := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			name = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		fmt.Fprintf(w, "%s %s %v", name, r.RemoteAddr, r.TLS.DidResume)
	}))
	srv.EnableHTTP2, srv.Config.ErrorLog = h2, quiet
	srv.TLS = &tls.Config{ClientCAs: ca.pool, ClientAuth: auth, MaxVersion: version}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return srv, start(t, Options{RootCAs: pool}), requests
}

// everyTLS runs a test over both protocols and both versions of TLS: they differ
// in when a certificate is verified, and how sessions are resumed.
func everyTLS(t *testing.T, f func(t *testing.T, h2 bool, version uint16)) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			both(t, func(t *testing.T, h2 bool) { f(t, h2, version) })
		})
	}
}

// said is what the server of asking saw of a call.
type said struct {
	name, conn string
	resumed    bool
}

func as(t *testing.T, tr *Transport, url string, cert *policy.ClientCertificate) (s said) {
	t.Helper()
	resp, _, err := call{url: url, x: policy.Exchange{Certificate: cert}}.do(t.Context(), tr)
	if err != nil {
		t.Error(err)
		return s
	}
	defer resp.Body.Close()
	if _, err := fmt.Fscan(resp.Body, &s.name, &s.conn, &s.resumed); err != nil {
		t.Error(err)
	}
	io.Copy(io.Discard, resp.Body)
	return s
}

// TestP8ClientCertificates: nobody rides on a connection, or a session, of
// another certificate (claim C24).
func TestP8ClientCertificates(t *testing.T) {
	ca := newAuthority(t)
	everyTLS(t, func(t *testing.T, h2 bool, version uint16) {
		srv, tr, _ := asking(t, ca, h2, version, tls.VerifyClientCertIfGiven)
		certA, keyA := ca.client(t, "a")
		callers := map[string]*policy.ClientCertificate{"a": identity(t, certA, keyA), "b": ca.identity(t, "b"), "nobody": nil}
		var wg sync.WaitGroup
		var mu sync.Mutex
		owner := map[string]string{}
		for i := range 24 {
			wg.Go(func() {
				for j := range 10 {
					want := []string{"a", "b", "nobody"}[(i+j)%3]
					s := as(t, tr, srv.URL, callers[want])
					mu.Lock()
					if s.name != want || owner[s.conn] != "" && owner[s.conn] != want {
						t.Errorf("%s was taken for %s, on a connection of %q", want, s.name, owner[s.conn])
					}
					owner[s.conn] = want
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		again := as(t, tr, srv.URL, identity(t, certA, keyA))
		if again.name != "a" || owner[again.conn] != "a" {
			t.Errorf("the same certificate, read again, has a connection of its own: %+v", again)
		}
		tr.CloseIdle()
		tr.pool.mu.Lock() // what CloseIdle forgot
		left := len(tr.pool.entries)
		tr.pool.mu.Unlock()
		if left != 0 {
			t.Errorf("%d entries are left", left)
		}
	})
}

// TestP8Sessions: a TLS session is resumed by the certificate it was made with,
// and by no other.
func TestP8Sessions(t *testing.T) {
	ca := newAuthority(t)
	everyTLS(t, func(t *testing.T, h2 bool, version uint16) {
		srv, tr, _ := asking(t, ca, h2, version, tls.RequireAndVerifyClientCert)
		certA, keyA := ca.client(t, "a")
		certB, keyB := ca.client(t, "b")
		a, b := identity(t, certA, keyA), identity(t, certB, keyB)
		if s := as(t, tr, srv.URL, a); s.name != "a" || s.resumed {
			t.Errorf("%+v", s)
		}
		if s := as(t, tr, srv.URL, b); s.name != "b" || s.resumed {
			t.Errorf("another certificate: %+v", s)
		}
		srv.CloseClientConnections()
		for _, c := range []*policy.ClientCertificate{a, b} {
			var s said
			for end := time.Now().Add(patience); !s.resumed && time.Now().Before(end); {
				resp, _, err := call{url: srv.URL, x: policy.Exchange{Certificate: c}}.do(t.Context(), tr)
				if err != nil {
					continue // HTTP/2 may take a moment to notice
				}
				fmt.Fscan(resp.Body, &s.name, &s.conn, &s.resumed)
				resp.Body.Close()
				if !s.resumed {
					srv.CloseClientConnections()
				}
			}
			if want := c.Leaf().Subject.CommonName; s.name != want || !s.resumed {
				t.Errorf("%s: %+v", want, s)
			}
		}
	})
}

// TestP8CertificateChanges: what is under way with the old certificate ends well,
// and nothing new goes over its connection.
func TestP8CertificateChanges(t *testing.T) {
	ca := newAuthority(t)
	everyTLS(t, func(t *testing.T, h2 bool, version uint16) {
		arrived, release := make(chan bool, 1), make(chan bool)
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				arrived <- true
				<-release
			}
			fmt.Fprintf(w, "%s %s false", r.TLS.PeerCertificates[0].Subject.CommonName, r.RemoteAddr)
		}))
		srv.EnableHTTP2, srv.Config.ErrorLog = h2, quiet
		srv.TLS = &tls.Config{ClientCAs: ca.pool, ClientAuth: tls.RequireAndVerifyClientCert, MaxVersion: version}
		srv.StartTLS()
		t.Cleanup(srv.Close)
		pool := x509.NewCertPool()
		pool.AddCert(srv.Certificate())
		tr := start(t, Options{RootCAs: pool})
		before, after := ca.identity(t, "before"), ca.identity(t, "after")
		first := as(t, tr, srv.URL, before)
		slow := make(chan said, 1)
		go func() { slow <- as(t, tr, srv.URL+"/slow", before) }()
		await(t, arrived, "the slow call")
		second := as(t, tr, srv.URL, after)
		close(release)
		last := await(t, slow, "the answer to the slow call")
		if second.name != "after" || second.conn == first.conn || last.name != "before" || last.conn != first.conn {
			t.Errorf("first %+v, slow %+v, with the new one %+v", first, last, second)
		}
		if third := as(t, tr, srv.URL, after); third.conn != second.conn {
			t.Errorf("%+v, then %+v", second, third)
		}
	})
}

// TestClientCertificateRefused: whenever the server says so, nothing was done.
func TestClientCertificateRefused(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	everyTLS(t, func(t *testing.T, h2 bool, version uint16) {
		srv, tr, requests := asking(t, ca, h2, version, tls.RequireAndVerifyClientCert)
		wrong := other.identity(t, "stranger")
		for _, body := range []string{"", "short", strings.Repeat("long", 100_000)} {
			r, n := text(body)
			_, x, err := call{method: "POST", url: srv.URL, body: r, length: n, x: policy.Exchange{Certificate: wrong}}.do(t.Context(), tr)
			var d *policy.Denial
			if !errors.As(err, &d) || d.Code != policy.CredentialUnavailable || !strings.Contains(d.Detail, "refused the client certificate (tls: ") {
				t.Errorf("%d bytes: %v", len(body), err)
			}
			if x.Now.Executed() != policy.No {
				t.Errorf("%d bytes: %+v", len(body), x.Now)
			}
		}
		if requests.Load() != 0 {
			t.Errorf("%d requests arrived", requests.Load())
		}
		if s := as(t, tr, srv.URL, ca.identity(t, "friend")); s.name != "friend" {
			t.Errorf("%+v", s)
		}
	})
}

// TestClientCertificateNotAsked: a server that asks for no certificate gets no
// request that needs one, also when it offered to resume a session.
func TestClientCertificateNotAsked(t *testing.T) {
	ca := newAuthority(t)
	everyTLS(t, func(t *testing.T, h2 bool, version uint16) {
		srv, tr, requests := asking(t, ca, h2, version, tls.NoClientCert)
		c := ca.identity(t, "a")
		for range 3 {
			_, x, err := call{url: srv.URL, x: policy.Exchange{Certificate: c}}.do(t.Context(), tr)
			var d *policy.Denial
			if !errors.As(err, &d) || d.Code != policy.CredentialUnavailable || !strings.Contains(d.Detail, "did not ask") || x.Now.Executed() != policy.No {
				t.Errorf("%v %+v", err, x.Now)
			}
		}
		if requests.Load() != 0 {
			t.Errorf("%d requests arrived", requests.Load())
		}
		if s := as(t, tr, srv.URL, nil); s.name != "nobody" {
			t.Errorf("without a certificate: %+v", s)
		}
	})
}

// TestClientCertificateClearText: there it cannot be shown.
func TestClientCertificateClearText(t *testing.T) {
	s := answer(t, ok, true)
	c := newAuthority(t).identity(t, "a")
	_, x, err := call{url: s.URL, x: policy.Exchange{Certificate: c}}.do(t.Context(), start(t, Options{}))
	var d *policy.Denial
	if !errors.As(err, &d) || d.Code != policy.NotAllowed || x.Now.Executed() != policy.No || s.conns.Load() != 0 {
		t.Errorf("%v, %d connections", err, s.conns.Load())
	}
}

// TestClientCertificateWithoutPlan: what Postern calls for itself, such as a token
// endpoint (RFC 8705 §2), may have one.
func TestClientCertificateWithoutPlan(t *testing.T) {
	ca := newAuthority(t)
	srv, tr, _ := asking(t, ca, true, tls.VersionTLS13, tls.RequireAndVerifyClientCert)
	x := &policy.Exchange{Body: policy.NewBody(strings.NewReader("grant_type=client_credentials"), 29, 1<<10), Certificate: ca.identity(t, "postern")}
	r, err := http.NewRequestWithContext(policy.With(t.Context(), x), "POST", srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); !bytes.HasPrefix(b, []byte("postern ")) {
		t.Errorf("%s", b)
	}
}
