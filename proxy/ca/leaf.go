package ca

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"
)

const leafLife = 24 * time.Hour

// minted is a leaf and until when it is handed out.
type minted struct {
	cert  *tls.Certificate
	until time.Time
}

// Leaf returns a certificate for host, a normalised name or IP address,
// together with the authority's. It is minted at most once at a time and kept
// for two thirds of its life. Whoever calls has to make sure that the policy
// names the host.
func (a *Authority) Leaf(host string) (*tls.Certificate, error) {
	if m, ok := a.leaves.Get(host); ok && time.Now().Before(m.until) {
		return m.cert, nil
	}
	m, err, _ := a.mint.Do(host, func() (any, error) {
		if m, ok := a.leaves.Get(host); ok && time.Now().Before(m.until) {
			return m, nil
		}
		m, err := a.sign(host)
		if err == nil {
			a.leaves.Add(host, m)
		}
		return m, err
	})
	if err != nil {
		return nil, err
	}
	return m.(*minted).cert, nil
}

func (a *Authority) sign(host string) (*minted, error) {
	now := time.Now()
	if !now.Before(a.cert.NotAfter) {
		return nil, fmt.Errorf("the certificate authority has expired on %s: restart to make a new one", a.cert.NotAfter.UTC().Format(time.DateOnly))
	}
	end := now.Add(leafLife)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	template := &x509.Certificate{ // no serial: a random one of 20 bytes is chosen
		NotBefore:   now.Add(-backdate),
		NotAfter:    end,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.leaf.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("mint a certificate for %s: %w", host, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the certificate minted for %s: %w", host, err)
	}
	return &minted{
		cert:  &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: a.leaf, Leaf: leaf},
		until: now.Add(end.Sub(now) * 2 / 3),
	}, nil
}

// ServerConfig is the TLS configuration for all intercepted connections. There
// has to be one of it, so that sessions resume. host names the host that a
// connection was opened to; what the client says in SNI does not choose the
// certificate, and has to be compared with that host by the caller.
func (a *Authority) ServerConfig(host func(net.Conn) string) *tls.Config {
	return &tls.Config{
		MinVersion:       tls.VersionTLS12,
		NextProtos:       []string{"h2", "http/1.1"},
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}, // the leg stays on this machine or its network: no post-quantum key shares
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return a.Leaf(host(hello.Conn))
		},
	}
}
