package clientenv

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// target resolves nowhere: what reaches it came through the proxy.
const target = "api.clientenv.test"

// seen is one request that came out of the proxy.
type seen struct {
	Way   string `json:"way"` // CONNECT+TLS, CONNECT or absolute
	Host  string `json:"host"`
	Path  string `json:"path"`
	Proto string `json:"proto"`
	User  string `json:"user"` // from Proxy-Authorization
	Token string `json:"token"`
	Body  int    `json:"body"`
}

// recorder is a proxy that ends TLS with leaves of a throwaway CA, answers everything itself, and keeps what it saw.
// Hosts that begin with "denied." get 403 to CONNECT, with "silent." no answer, with "closed." the end.
type recorder struct {
	URL   *url.URL
	CA    []byte // PEM
	inner *http.Server
	given chan net.Conn
	stop  chan struct{}

	mu       sync.Mutex
	requests []seen
	connects int
}

func startRecorder(t *testing.T) *recorder {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	caPEM, leaf := throwawayCA(t)
	r := &recorder{
		URL: &url.URL{Scheme: "http", Host: ln.Addr().String(), User: url.UserPassword("app+acct_1", "s3cr3t/%@:~tok")},
		CA:  caPEM, given: make(chan net.Conn), stop: make(chan struct{}),
	}
	outer := &http.Server{Handler: http.HandlerFunc(r.outer)}
	r.inner = &http.Server{Handler: http.HandlerFunc(r.answer), TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{leaf}, NextProtos: []string{"h2", "http/1.1"},
	}, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, authKey{}, c.(*tls.Conn).NetConn().(*tunnelConn).auth)
	}, ErrorLog: log.New(io.Discard, "", 0)}
	var servers sync.WaitGroup
	servers.Go(func() { outer.Serve(ln) })
	servers.Go(func() { r.inner.ServeTLS(r, "", "") })
	t.Cleanup(func() {
		close(r.stop)
		outer.Close()
		r.inner.Close()
		servers.Wait()
	})
	return r
}

// Accept, Close and Addr make it the listener from which inner takes tunnels.
func (r *recorder) Accept() (net.Conn, error) {
	select {
	case conn := <-r.given:
		return conn, nil
	case <-r.stop:
		return nil, net.ErrClosed
	}
}
func (r *recorder) Close() error   { return nil }
func (r *recorder) Addr() net.Addr { return &net.TCPAddr{} }

func (r *recorder) outer(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodConnect {
		r.record(w, req, "absolute")
		return
	}
	r.mu.Lock()
	r.connects++
	r.mu.Unlock()
	if strings.HasPrefix(req.Host, "denied.") {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `{"detail":"no provider names it","hint":"add one"}`)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if strings.HasPrefix(req.Host, "closed.") {
		conn.Close()
		return
	}
	if strings.HasPrefix(req.Host, "silent.") {
		go func() {
			<-r.stop
			conn.Close()
		}()
		return
	}
	io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	first, err := buffered.Peek(1)
	if err != nil {
		conn.Close()
		return
	}
	tunnel := &tunnelConn{Conn: conn, r: buffered.Reader, auth: req.Header.Get("Proxy-Authorization")}
	if first[0] == 0x16 { // a TLS handshake, RFC 8446 section 5.1
		select {
		case r.given <- tunnel:
		case <-r.stop:
			conn.Close()
		}
		return
	}
	defer conn.Close()
	inside, err := http.ReadRequest(tunnel.r)
	if err != nil {
		return
	}
	inside.Header.Set("Proxy-Authorization", tunnel.auth)
	body, _ := json.Marshal(r.keep(inside, "CONNECT"))
	(&http.Response{
		StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Close: true, ContentLength: int64(len(body)),
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(body))),
	}).Write(conn)
}

func (r *recorder) answer(w http.ResponseWriter, req *http.Request) { r.record(w, req, "CONNECT+TLS") }

func (r *recorder) record(w http.ResponseWriter, req *http.Request, way string) {
	s := r.keep(req, way)
	if req.URL.Path == "/large" {
		w.Write(make([]byte, 20<<20))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(s)
}

func (r *recorder) keep(req *http.Request, way string) seen {
	n, _ := io.Copy(io.Discard, req.Body)
	s := seen{Way: way, Host: req.Host, Path: req.URL.Path, Proto: req.Proto, Body: int(n)}
	auth, inTLS := req.Context().Value(authKey{}).(string)
	if !inTLS {
		auth = req.Header.Get("Proxy-Authorization")
	}
	credentials := &http.Request{Header: http.Header{"Authorization": {auth}}}
	s.User, s.Token, _ = credentials.BasicAuth()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, s)
	return s
}

// took gives what was seen since the last call.
func (r *recorder) took() (requests []seen, connects int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	requests, connects = r.requests, r.connects
	r.requests, r.connects = nil, 0
	return requests, connects
}

// authKey is where a request that came in TLS has the credentials of its CONNECT.
type authKey struct{}

type tunnelConn struct {
	net.Conn
	r    *bufio.Reader
	auth string
}

func (c *tunnelConn) Read(p []byte) (int, error) { return c.r.Read(p) }

func throwawayCA(t *testing.T) (caPEM []byte, leaf tls.Certificate) {
	t.Helper()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clientenv test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caKey := newKey(t)
	caDER := sign(t, ca, ca, caKey, caKey)
	ca, err := x509.ParseCertificate(caDER)
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	der := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{target, "*." + target},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca, key, caKey)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, cert, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) []byte {
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
