package ca_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/proxy/ca"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string) *ca.Authority {
	t.Helper()
	a, err := ca.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestC28Authority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "ca")
	a := open(t, dir)
	block, rest := pem.Decode(a.PEM())
	if len(rest) > 0 || block.Type != "CERTIFICATE" {
		t.Fatalf("PEM is %s and %d more bytes", block.Type, len(rest))
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !cert.IsCA || cert.MaxPathLen != 0 || !cert.MaxPathLenZero || cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		t.Errorf("not a CA of path length 0: %+v", cert)
	}
	if _, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || len(cert.SubjectKeyId) == 0 || len(cert.Issuer.Organization) == 0 {
		t.Errorf("key %T, key id %x, issuer %s", cert.PublicKey, cert.SubjectKeyId, cert.Issuer)
	}
	if d := cert.NotAfter.Sub(cert.NotBefore); d > 365*24*time.Hour {
		t.Errorf("valid for %v", d)
	}
	for name, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "ca-key.pem"): 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v, want %o", name, info.Mode(), err, want)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
	if again := open(t, dir); !bytes.Equal(again.PEM(), a.PEM()) {
		t.Error("a restart made another authority")
	}
	if a.Warning() != "" {
		t.Errorf("a new authority warns: %s", a.Warning())
	}
}

func TestC28LooseModesAreRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	open(t, dir)
	for _, c := range []struct {
		path      string
		mode, own os.FileMode
	}{
		{dir, 0o750, 0o700}, {dir, 0o701, 0o700}, {filepath.Join(dir, "ca-key.pem"), 0o640, 0o600}, {filepath.Join(dir, "ca-key.pem"), 0o604, 0o600},
	} {
		os.Chmod(c.path, c.mode)
		if _, err := ca.Open(dir); err == nil || !strings.Contains(err.Error(), "chmod") || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s %o: %v", c.path, c.mode, err)
		}
		os.Chmod(c.path, c.own)
	}
	open(t, dir)
}

func TestDamagedFileIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	open(t, dir)
	other := filepath.Join(t.TempDir(), "ca")
	open(t, other)
	file := filepath.Join(dir, "ca-key.pem")
	whole, _ := os.ReadFile(file)
	strange, _ := os.ReadFile(filepath.Join(other, "ca-key.pem"))
	cert, key, _ := bytes.Cut(whole, []byte("-----BEGIN PRIVATE"))
	_, foreign, _ := bytes.Cut(strange, []byte("-----BEGIN PRIVATE"))
	for name, text := range map[string][]byte{
		"empty": nil, "no key": cert, "no certificate": append([]byte("-----BEGIN PRIVATE"), key...),
		"key of another": append(append(cert[:len(cert):len(cert)], "-----BEGIN PRIVATE"...), foreign...),
	} {
		os.WriteFile(file, text, 0o600)
		if _, err := ca.Open(dir); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestStartsAtOnceAgree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	got := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			if a, err := ca.Open(dir); err != nil {
				t.Error(err)
			} else {
				got[i] = a.PEM()
			}
		})
	}
	wg.Wait()
	for _, p := range got[1:] {
		if !bytes.Equal(p, got[0]) {
			t.Fatal("two authorities")
		}
	}
}

func TestP46Leaf(t *testing.T) {
	a := open(t, filepath.Join(t.TempDir(), "ca"))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.PEM())
	serials := map[string]bool{}
	for _, host := range []string{"api.example.com", "xn--bcher-kva.example", "192.0.2.1", "2001:db8::1"} {
		c, err := a.Leaf(host)
		if err != nil {
			t.Fatal(err)
		}
		l, _ := x509.ParseCertificate(c.Certificate[0])
		if _, err := l.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if len(c.Certificate) != 2 || l.Subject.String() != "" || len(l.ExtKeyUsage) != 1 || l.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth || len(l.AuthorityKeyId) == 0 {
			t.Errorf("%s: chain of %d, subject %q, usage %v, AKI %x", host, len(c.Certificate), l.Subject, l.ExtKeyUsage, l.AuthorityKeyId)
		}
		if len(l.DNSNames)+len(l.IPAddresses) != 1 || (net.ParseIP(host) != nil) != (len(l.IPAddresses) == 1) {
			t.Errorf("%s: names %v, addresses %v", host, l.DNSNames, l.IPAddresses)
		}
		if before, life := time.Since(l.NotBefore), time.Until(l.NotAfter); before < 59*time.Minute || life > 24*time.Hour || life < 23*time.Hour {
			t.Errorf("%s: valid from %v ago for %v", host, before, life)
		}
		if l.SerialNumber.Cmp(big.NewInt(1<<62)) < 0 || serials[l.SerialNumber.String()] {
			t.Errorf("%s: serial %s", host, l.SerialNumber)
		}
		serials[l.SerialNumber.String()] = true
		if again, _ := a.Leaf(host); again != c {
			t.Errorf("%s: minted twice", host)
		}
	}
}

func TestP46OneMintPerHost(t *testing.T) {
	a := open(t, filepath.Join(t.TempDir(), "ca"))
	got := make([]*tls.Certificate, 32)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i], _ = a.Leaf("api.example.com") })
	}
	wg.Wait()
	for _, c := range got {
		if c == nil || c != got[0] {
			t.Fatal("minted more than once")
		}
	}
}

func TestLeafLife(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	synctest.Test(t, func(t *testing.T) {
		a := open(t, dir)
		first, _ := a.Leaf("a.example")
		time.Sleep(15 * time.Hour)
		if c, _ := a.Leaf("a.example"); c != first {
			t.Error("minted again before two thirds")
		}
		time.Sleep(90 * time.Minute)
		if c, _ := a.Leaf("a.example"); c == first {
			t.Error("not minted again after two thirds")
		}
		time.Sleep(time.Until(a.NotAfter()) - 29*24*time.Hour)
		if !strings.Contains(a.Warning(), "29 days") && !strings.Contains(a.Warning(), "28 days") {
			t.Errorf("warning %q", a.Warning())
		}
		time.Sleep(time.Until(a.NotAfter()) - 6*time.Hour)
		if c, err := a.Leaf("a.example"); err != nil || c.Leaf.NotAfter.After(a.NotAfter()) {
			t.Errorf("leaf outlives the authority: %v", err)
		}
		time.Sleep(7 * time.Hour)
		if _, err := a.Leaf("a.example"); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("an expired authority signed: %v", err)
		}
		if b := open(t, dir); bytes.Equal(b.PEM(), a.PEM()) {
			t.Error("a start with an expired authority kept it")
		}
	})
}

func TestTLSResumption(t *testing.T) {
	a := open(t, filepath.Join(t.TempDir(), "ca"))
	server := a.ServerConfig(func(net.Conn) string { return "a.example" })
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.PEM())
	client := &tls.Config{RootCAs: roots, ServerName: "a.example", ClientSessionCache: tls.NewLRUClientSessionCache(4), NextProtos: []string{"h2"}}
	for i, want := range []bool{false, true, true} {
		near, far := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s := tls.Server(far, server)
			defer s.Close()
			s.Write([]byte("x"))
		}()
		c := tls.Client(near, client)
		if _, err := c.Read(make([]byte, 1)); err != nil { // also reads the ticket
			t.Fatal(err)
		}
		if st := c.ConnectionState(); st.DidResume != want || st.NegotiatedProtocol != "h2" || st.CurveID != tls.X25519 {
			t.Errorf("connection %d: resumed %v, protocol %q, curve %v", i, st.DidResume, st.NegotiatedProtocol, st.CurveID)
		}
		near.Close()
		<-done
	}
}
