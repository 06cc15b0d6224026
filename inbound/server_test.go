package inbound_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
)

// certificate writes a self-signed certificate for 127.0.0.1 and its key.
func certificate(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for file, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// TestTLSAndClientCertificates: HTTP/2 over TLS, and with client_ca nobody gets
// in without a certificate of that authority.
func TestTLSAndClientCertificates(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	sender, senderKey := certificate(t, dir, "sender")
	stranger, strangerKey := certificate(t, dir, "stranger")
	conf, err := (&block.TLS{Cert: block.Path(cert), Key: block.Path(key), ClientCA: block.Path(sender)}).Load("h2", "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	in := inbound.New(inbound.Options{Store: serve(t, mustLoad(t, plainHook)).store})
	in.Swap(mustLoad(t, plainHook))
	l, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	srv, served := in.Server(), make(chan struct{})
	srv.TLSConfig = conf
	go func() { defer close(served); _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-served })
	roots := x509.NewCertPool()
	text, _ := os.ReadFile(cert)
	roots.AppendCertsFromPEM(text)
	for name, pair := range map[string][2]string{"sender": {sender, senderKey}, "stranger": {stranger, strangerKey}, "nobody": {}} {
		c := &tls.Config{RootCAs: roots}
		if pair[0] != "" {
			own, err := tls.LoadX509KeyPair(pair[0], pair[1])
			if err != nil {
				t.Fatal(err)
			}
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
		}
		transport := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}
		resp, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Post("https://"+l.Addr().String()+"/hook", "application/json", strings.NewReader("{}"))
		if (err == nil) != (name == "sender") {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
				t.Errorf("%s: %s %s", name, resp.Proto, resp.Status)
			}
			resp.Body.Close()
		}
		transport.CloseIdleConnections()
	}
	if _, err := (&block.TLS{Cert: block.Path(key), Key: block.Path(key)}).Load(); err == nil {
		t.Error("a key was taken for a certificate")
	}
}

// TestC76SlowHead: a request whose head does not end is dropped.
func TestC76SlowHead(t *testing.T) {
	t.Parallel()
	b := serve(t, mustLoad(t, plainHook))
	c, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "POST /hook HTTP/1.1\r\nHost: x\r\n")
	start := time.Now()
	c.SetReadDeadline(start.Add(30 * time.Second))
	_, _ = io.ReadAll(c)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("held for %v", took)
	}
}

// TestC31NoPlainComparison: schemes compare bytes in constant time only.
func TestC31NoPlainComparison(t *testing.T) {
	forbidden := map[string]bool{"bytes.Equal": true, "bytes.Compare": true, "slices.Equal": true, "strings.EqualFold": true, "strings.Compare": true, "reflect.DeepEqual": true}
	files := 0
	err := filepath.WalkDir("scheme", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		files++
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := sel.X.(*ast.Ident); ok && forbidden[pkg.Name+"."+sel.Sel.Name] {
					t.Errorf("%s: %s.%s", set.Position(n.Pos()), pkg.Name, sel.Sel.Name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil || files < 6 {
		t.Errorf("%d files read, %v", files, err)
	}
}
