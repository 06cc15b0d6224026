package policy

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
)

// A ClientCertificate is what attempts prove themselves with to a provider (TLS,
// RFC 8446 §4.4.2). It does not change. Attempts share connections and TLS
// sessions only if they have the same one.
type ClientCertificate struct {
	id   string
	pair tls.Certificate
}

// NewClientCertificate reads a certificate, perhaps with those of intermediate
// authorities behind it, and its private key, both in PEM (RFC 7468). Its errors
// hold nothing of either.
func NewClientCertificate(cert, key []byte) (*ClientCertificate, error) {
	if b, _ := pem.Decode(key); b != nil && (b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != "") {
		return nil, errors.New("the private key is encrypted: decrypt it, as `openssl pkey` does")
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "tls: "))
	}
	sum := sha256.New()
	for _, der := range pair.Certificate {
		sum.Write(der)
	}
	return &ClientCertificate{id: string(sum.Sum(nil)), pair: pair}, nil
}

// ID tells one certificate, with those behind it, from others.
func (c *ClientCertificate) ID() string { return c.id }

// Leaf is the certificate itself. Do not change it.
func (c *ClientCertificate) Leaf() *x509.Certificate { return c.pair.Leaf }

// TLS is the certificate with its key, as a handshake wants it. Do not change it.
func (c *ClientCertificate) TLS() *tls.Certificate { return &c.pair }
