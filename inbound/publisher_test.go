package inbound_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound/keys"
	"github.com/postern-proxy/postern/inbound/scheme/sns"
)

// publisher is the internet as a fetcher sees it: whatever host it dials, it finds
// one server on loopback, with a certificate for that host.
type publisher struct {
	*httptest.Server
	authority *issued

	mu    sync.Mutex
	pages map[string]http.HandlerFunc // by host and path
	asked []string                    // host and path of each request
	dials []string
}

// issued is a certificate and its key.
type issued struct {
	*x509.Certificate
	key crypto.Signer
}

// issue makes a certificate. by is nil for one that signs itself.
func issue(t testing.TB, by *issued, change func(*x509.Certificate), key crypto.Signer) *issued {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true}
	change(c)
	parent, signer := c, key
	if by != nil {
		parent, signer = by.Certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{parsed, key}
}

func authority(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }

func named(cn string, dns ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.Subject.CommonName, c.DNSNames = cn, dns }
}

func curveKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// rsaKey is one of a few that are made once: to make one takes long.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func (i *issued) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Raw})
}

func publish(t testing.TB) *publisher {
	p := &publisher{pages: map[string]http.HandlerFunc{}}
	p.authority = issue(t, nil, authority, curveKey(t))
	p.Server = httptest.NewUnstartedServer(p)
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	leaf := curveKey(t)
	p.TLS = &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		c := issue(t, p.authority, named(h.ServerName, h.ServerName), leaf)
		return &tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: leaf}, nil
	}}
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

// fetcher trusts the publisher's servers; issuers are those of certificates that
// it publishes.
func (p *publisher) fetcher(issuers ...*issued) *keys.Fetcher {
	roots, pool := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(p.authority.Certificate)
	for _, i := range issuers {
		pool.AddCert(i.Certificate)
	}
	return keys.New(keys.Options{Dial: p.dial, Roots: roots, Issuers: pool})
}

func (p *publisher) dial(ctx context.Context, network, address string) (net.Conn, error) {
	p.mu.Lock()
	p.dials = append(p.dials, address)
	p.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, network, p.Listener.Addr().String())
}

func (p *publisher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	at := strings.TrimSuffix(r.Host, ":443") + r.URL.Path
	p.asked = append(p.asked, r.Host+r.URL.RequestURI())
	page := p.pages[at]
	p.mu.Unlock()
	if page == nil {
		http.NotFound(w, r)
		return
	}
	page(w, r)
}

// put publishes text at a host and path.
func (p *publisher) put(at string, text []byte) {
	p.serve(at, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) })
}

func (p *publisher) serve(at string, page http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pages[at] = page
}

func (p *publisher) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

// kat is the certificate of the RSA vectors.
func kat(t testing.TB) *issued {
	t.Helper()
	text, err := os.ReadFile("testdata/kat-cert.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{Certificate: c}
}

// amazon is the trust of SNS, and the name that the certificate of the vectors has.
func amazon() sns.Trust {
	trust := sns.Amazon()
	names := trust.Names
	trust.Names = func(host string) []string { return append(names(host), "kat.invalid") }
	return trust
}
