package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// host is the name every outbound scenario calls; it is never resolved.
const host = "api.bench.test"

// authority signs the upstream's certificate for one run. Its files: ca.pem, cert.pem (the leaf and the CA), key.pem.
type authority struct {
	dir  string
	pool *x509.CertPool
}

func (a authority) file(name string) string { return filepath.Join(a.dir, name) }

// newAuthority writes a throwaway CA and a P-256 leaf for host and 127.0.0.1 into dir.
func newAuthority(dir string) (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, fmt.Errorf("making the CA key: %w", err)
	}
	ca, err := selfSigned("Bench Upstream CA", key, &key.PublicKey)
	if err != nil {
		return authority{}, err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, fmt.Errorf("making the leaf key: %w", err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: host},
		DNSNames:     []string{host},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &leafKey.PublicKey, key)
	if err != nil {
		return authority{}, fmt.Errorf("signing the upstream's certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		return authority{}, fmt.Errorf("encoding the leaf key: %w", err)
	}
	a := authority{dir: dir, pool: x509.NewCertPool()}
	a.pool.AddCert(ca)
	caPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})
	leafPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, content := range map[string][]byte{
		"ca.pem":   caPEM,
		"cert.pem": append(leafPEM, caPEM...),
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	} {
		if err := os.WriteFile(a.file(name), content, 0o600); err != nil {
			return authority{}, err
		}
	}
	return a, nil
}

// selfSigned makes a CA certificate for a key pair.
func selfSigned(name string, private, public any) (*x509.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return nil, fmt.Errorf("signing %s: %w", name, err)
	}
	return x509.ParseCertificate(der)
}

// interceptor makes the CA an intercepting proxy signs with: kind is ecdsa (P-256) or rsa (2048 bit).
func interceptor(kind string) (tls.Certificate, error) {
	var private, public any
	switch kind {
	case "ecdsa":
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return tls.Certificate{}, err
		}
		private, public = key, &key.PublicKey
	case "rsa":
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return tls.Certificate{}, err
		}
		private, public = key, &key.PublicKey
	default:
		return tls.Certificate{}, fmt.Errorf("leaf is ecdsa or rsa, not %q", kind)
	}
	ca, err := selfSigned("Bench Interceptor CA", private, public)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{ca.Raw}, PrivateKey: private, Leaf: ca}, nil
}

// trust reads a PEM file into a pool.
func trust(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return pool, nil
}
