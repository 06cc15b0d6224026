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
	for name, text := range map[string][]byte{"PKCS 8": pkcs8(t, key), "SEC 1": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})} {
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
