package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// made is an authority as openssl or cert-manager would make it.
func made(t *testing.T, change func(*x509.Certificate)) (cert []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "ours"}, BasicConstraintsValid: true, IsCA: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key
}

// intermediate is an authority that another one signed.
func intermediate(t *testing.T) (cert []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	root, rootKey := made(t, nil)
	below, key := made(t, func(c *x509.Certificate) { c.Subject.CommonName = "below" })
	var certs [2]*x509.Certificate
	for i, text := range [][]byte{root, below} {
		block, _ := pem.Decode(text)
		var err error
		if certs[i], err = x509.ParseCertificate(block.Bytes); err != nil {
			t.Fatal(err)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, certs[1], certs[0], key.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// TestImport: two folders get one authority, whatever was there before.
func TestImport(t *testing.T) {
	cert, key := made(t, nil)
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	ec := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})
	params := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}})
	for name, text := range map[string][]byte{"PKCS 8": pkcs8(t, key), "SEC 1": ec, "openssl ecparam -genkey": slices.Concat(params, ec)} {
		dir := filepath.Join(t.TempDir(), "ca")
		if _, err := Open(dir); err != nil { // one of its own
			t.Fatal(err)
		}
		if err := Import(dir, cert, text); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		a, err := Open(dir)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(a.PEM(), cert) {
			t.Errorf("%s: the authority is another", name)
		}
		if _, err := a.Leaf("api.example.com"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) > 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
}

func TestImportRefuses(t *testing.T) {
	cert, key := made(t, nil)
	_, other := made(t, nil)
	leaf, leafKey := made(t, func(c *x509.Certificate) { c.IsCA = false })
	weak, weakKey := made(t, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
	old, oldKey := made(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	early, earlyKey := made(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })
	below, belowKey := intermediate(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string][2][]byte{
		"no certificate in PEM":                 {nil, pkcs8(t, key)},
		"no private key in PEM":                 {cert, []byte("secret")},
		"no ECDSA private key":                  {cert, pkcs8(t, rsaKey)},
		"not an authority's, or not that key's": {cert, pkcs8(t, other)},
		"not an authority's, or not":            {leaf, pkcs8(t, leafKey)},
		"lacks keyCertSign":                     {weak, pkcs8(t, weakKey)},
		"expired on":                            {old, pkcs8(t, oldKey)},
		"not self-signed":                       {below, pkcs8(t, belowKey)},
		"valid only from":                       {early, pkcs8(t, earlyKey)},
		"the certificate cannot be read":        {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), pkcs8(t, key)},
		"private key cannot be read":            {cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})},
		"that is not encrypted":                 {cert, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})},
		"cannot be read":                        {cert, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("x")})},
	} {
		dir := filepath.Join(t.TempDir(), "ca")
		if err := Import(dir, c[0], c[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: something was written", want)
		}
	}
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Import(open, cert, pkcs8(t, key)); err == nil || !strings.Contains(err.Error(), "open to other users") {
		t.Errorf("an open folder: %v", err)
	}
}
