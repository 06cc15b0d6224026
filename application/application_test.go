package application

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/config/block"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	for text, want := range map[string]struct{ socket, url, dialled string }{
		"http://127.0.0.1:3000/in?x=1":  {"", "http://127.0.0.1:3000/in?x=1", "127.0.0.1:3000"},
		"https://app.internal":          {"", "https://app.internal", "app.internal:443"},
		"http://[::1]/":                 {"", "http://[::1]/", "[::1]:80"},
		"unix:/run/app.sock":            {"/run/app.sock", "http://localhost/", ""},
		"unix:///run/app.sock":          {"/run/app.sock", "http://localhost/", ""},
		"unix:/run/app.sock:/in/x?y=:z": {"/run/app.sock", "http://localhost/in/x?y=:z", ""},
		"unix:/run//a/../app.sock:/":    {"/run/app.sock", "http://localhost/", ""},
	} {
		a, err := Parse(text)
		if err != nil || a.socket != want.socket || a.url.String() != want.url || a.HostPort() != want.dialled {
			t.Errorf("%s: %+v, %v", text, a, err)
		}
	}
	for _, text := range []string{
		"", "127.0.0.1:3000", "ftp://x/", "http://", "http://:80/", "http://u:p@x/", "http://x/#f", "unix:", "unix:app.sock", "unix:./app.sock",
		"unix://host/app.sock", "unix:/run/app.sock:in", "unix:/run/app.sock://other/x", "unix:/run/app.sock:/x#f", "unix:/run/a%20b", "unix:/" + strings.Repeat("x", 107), "unix:/a\x00b",
	} {
		if a, err := Parse(text); err == nil {
			t.Errorf("%q is accepted as %+v", text, a)
		}
	}
}

// TestPlace: what one application answers is one place, whatever path is asked for.
func TestPlace(t *testing.T) {
	for text, want := range map[string]string{
		"http://127.0.0.1:3000/in?x=1": "127.0.0.1:3000",
		"http://127.0.0.1:3000/other":  "127.0.0.1:3000",
		"http://app.internal/a":        "app.internal:80",
		"https://app.internal/a":       "app.internal:443",
		"https://[::1]/a":              "[::1]:443",
		"unix:/run/app.sock":           "unix:/run/app.sock",
		"unix:///run/app.sock:/in":     "unix:/run/app.sock",
		"unix:/run/b/../app.sock:/in":  "unix:/run/app.sock",
	} {
		if a, err := Parse(text); err != nil || a.Place() != want {
			t.Errorf("%s: %+v, %v, want %s", text, a, err, want)
		}
	}
}

func post(t *testing.T, c *Client, to string, with *TLS) Answer {
	t.Helper()
	a, err := Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	return c.Post(t.Context(), &Call{To: a, TLS: with, Header: http.Header{"X-Kind": {"k"}}, Body: []byte("hello"), Timeout: 5 * time.Second})
}

// TestSocket: the same call over a Unix domain socket, past the guard of TCP.
func TestSocket(t *testing.T) {
	name := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Saw", r.Method+" "+r.Host+r.RequestURI+" "+r.Header.Get("X-Kind")+" "+string(body))
		w.WriteHeader(http.StatusAccepted)
	}))
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	defer srv.Close()
	c := New(func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("dialled by TCP") })
	defer c.Close()
	a := post(t, c, "unix:"+name+":/in?x=1", nil)
	if a.Status != http.StatusAccepted || a.Header.Get("X-Saw") != "POST localhost/in?x=1 k hello" || !a.Sent {
		t.Errorf("answered %+v", a)
	}
	gone := post(t, c, "unix:"+name+".gone", nil)
	if gone.Status != 0 || gone.Sent || gone.Err == nil || !strings.Contains(gone.Err.Error(), "no such file") {
		t.Errorf("without a socket: %+v", gone)
	}
	if b := post(t, c, "http://127.0.0.1:1/", nil); b.Err == nil || !strings.Contains(b.Err.Error(), "dialled by TCP") || b.Sent {
		t.Errorf("past the guard: %+v", b)
	}
}

// TestOnce: nothing is sent a second time or to somewhere else, and it is known
// whether the application may have seen it.
func TestOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		serve  http.HandlerFunc
		status int
		late   bool
	}{
		"redirected": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, http.StatusTemporaryRedirect, false},
		"cut off": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, false},
		"half an answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, 0, false},
		"late": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if calls.Add(1); r.URL.Path == "/well" {
					return
				}
				tt.serve(w, r)
			}))
			defer srv.Close()
			c := New(nil)
			defer c.Close()
			if a := post(t, c, srv.URL+"/well", nil); a.Status != 200 {
				t.Fatalf("%+v", a)
			}
			to, _ := Parse(srv.URL)
			a := c.Post(t.Context(), &Call{To: to, Body: []byte("x"), Timeout: 100 * time.Millisecond})
			if a.Status != tt.status || a.Late != tt.late || !a.Sent || calls.Load() != 2 {
				t.Errorf("%+v after %d calls", a, calls.Load())
			}
		})
	}
}

// pair makes a certificate of its own, for a server and a client alike.
func pair(t *testing.T, name string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// TestPrivateAuthority: an application behind a private authority is believed if
// the tls block says so, and is shown the certificate that it asks for.
func TestPrivateAuthority(t *testing.T) {
	serverCert, serverKey := pair(t, "app.internal")
	clientCert, clientKey := pair(t, "postern")
	own, err := tls.X509KeyPair([]byte(serverCert), []byte(serverKey))
	if err != nil {
		t.Fatal(err)
	}
	known := x509.NewCertPool()
	known.AppendCertsFromPEM([]byte(clientCert))
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Client", r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: known}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	c := New(nil)
	defer c.Close()
	secret := block.Plaintext
	whole := &TLS{CA: secret(serverCert), Cert: secret(clientCert), Key: secret(clientKey), Name: "app.internal"}
	if a := post(t, c, srv.URL, whole); a.Status != 200 || a.Header.Get("X-Client") != "postern" {
		t.Errorf("%+v", a)
	}
	for name, with := range map[string]*TLS{
		"nobody said whom to believe": nil,
		"another authority":           {CA: secret(clientCert), Cert: secret(clientCert), Key: secret(clientKey), Name: "app.internal"},
		"another name":                {CA: secret(serverCert), Cert: secret(clientCert), Key: secret(clientKey), Name: "other.internal"},
		"no certificate":              {CA: secret(serverCert), Name: "app.internal"},
		"what is none":                {CA: secret("no PEM"), Name: "app.internal"},
		"a key of another":            {CA: secret(serverCert), Cert: secret(clientCert), Key: secret(serverKey), Name: "app.internal"},
	} {
		if a := post(t, c, srv.URL, with); a.Status != 0 || a.Err == nil {
			t.Errorf("%s: %+v", name, a)
		} else if a.Sent && strings.Contains(a.Err.Error(), "tls: ") { // now and then all that is seen is a write that failed
			t.Errorf("%s: nobody has read it: %+v", name, a)
		}
	}
	if whole.Ready() != nil || (&TLS{CA: secret("no PEM")}).Ready() == nil || (*TLS)(nil).Ready() != nil {
		t.Error("what is usable is not told from what is not")
	}
	for _, bad := range []*TLS{{}, {Cert: secret(clientCert)}, {Key: secret(clientKey)}} {
		if bad.Check() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// TestNoSwitch: an application that answers 101 and then says nothing is not waited
// for: the connection is none that a timeout ends.
func TestNoSwitch(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	gone := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			defer c.Close()
			in := bufio.NewReader(c)
			if r, err := http.ReadRequest(in); err == nil {
				_, _ = io.Copy(io.Discard, r.Body) // an answer before the request would be none to it
			}
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			_, err = io.Copy(io.Discard, in) // until the other end closes
		}
		gone <- err
	}()
	c := New(nil)
	defer c.Close()
	said := make(chan Answer, 1)
	go func() { said <- post(t, c, "http://"+l.Addr().String(), nil) }()
	select {
	case a := <-said:
		if a.Status != http.StatusSwitchingProtocols || a.Err != nil || !a.Sent {
			t.Errorf("%+v", a)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it is waited for")
	}
	if err := <-gone; err != nil {
		t.Error(err)
	}
}
