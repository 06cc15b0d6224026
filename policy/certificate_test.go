package policy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// certificate makes a self-signed client certificate, in PEM.
func certificate(t testing.TB, name string, from, until time.Time) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

func TestNewClientCertificate(t *testing.T) {
	now := time.Now()
	cert, key := certificate(t, "a", now, now.Add(time.Hour))
	other, otherKey := certificate(t, "b", now, now.Add(time.Hour))
	for name, c := range map[string]struct{ cert, key, want string }{
		"good":                {cert, key, ""},
		"with others behind":  {cert + other, key, ""},
		"both in one":         {key + cert, cert + key, ""},
		"the key of another":  {cert, otherKey, "does not match"},
		"the wrong way round": {key, cert, "switched"},
		"nothing":             {"", "", "PEM"},
		"half a certificate":  {cert[:len(cert)/2], key, "PEM"},
		"half a key":          {cert, key[:len(key)/2], "PEM"},
		"no certificate":      {strings.ReplaceAll(cert, "M", "A"), key, "certificate"},
		"encrypted":           {cert, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "openssl pkey"},
		"encrypted, old":      {cert, "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n", "openssl pkey"},
	} {
		got, err := policy.NewClientCertificate([]byte(c.cert), []byte(c.key))
		switch {
		case c.want == "" && (err != nil || got.Leaf().Subject.CommonName != "a"):
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		case err != nil && (strings.HasPrefix(err.Error(), "tls:") || strings.Contains(err.Error(), key[30:60])):
			t.Errorf("%s: %v", name, err)
		}
	}
	one, _ := policy.NewClientCertificate([]byte(cert), []byte(key))
	again, _ := policy.NewClientCertificate([]byte(cert), []byte(key))
	longer, _ := policy.NewClientCertificate([]byte(cert+other), []byte(key))
	if one.ID() != again.ID() || one.ID() == longer.ID() || one.ID() == "" {
		t.Errorf("ids %x, %x, %x", one.ID(), again.ID(), longer.ID())
	}
}
