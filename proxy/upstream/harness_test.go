package upstream

import (
	"bufio"
	"context"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = log.New(io.Discard, "", 0)

// patience is how long a test waits for what should happen at once.
const patience = 20 * time.Second

func loopback() *Guard {
	g := new(Guard)
	g.Set(Rules{Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}})
	return g
}

// start returns a transport that may reach this machine.
func start(t testing.TB, opt Options) *Transport {
	if opt.Guard == nil {
		opt.Guard = loopback()
	}
	tr := New(opt)
	t.Cleanup(tr.Close)
	return tr
}

// serve runs an http.Server with TLS, HTTP/2 if asked for, and a transport that
// trusts it.
func serve(t testing.TB, h2 bool, h http.HandlerFunc) (*httptest.Server, *Transport) {
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = h2
	srv.Config.ErrorLog = quiet
	srv.StartTLS()
	t.Cleanup(srv.Close)
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return srv, start(t, Options{RootCAs: pool})
}

// both runs a test over HTTP/1.1 and HTTP/2.
func both(t *testing.T, f func(t *testing.T, h2 bool)) {
	t.Run("h1", func(t *testing.T) { f(t, false) })
	t.Run("h2", func(t *testing.T) { f(t, true) })
}

// wireServer is a server over plain sockets that speaks as a test says. It
// counts what arrives.
type wireServer struct {
	URL, Addr string
	conns     atomic.Int64
	requests  atomic.Int64
	stop      sync.WaitGroup
}

// raw serves every connection with handle, which gets its number from 0.
func raw(t testing.TB, handle func(s *wireServer, n int, c net.Conn, br *bufio.Reader)) *wireServer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &wireServer{URL: "http://" + l.Addr().String(), Addr: l.Addr().String()}
	var mu sync.Mutex
	var open []net.Conn
	s.stop.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := int(s.conns.Add(1)) - 1
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			s.stop.Go(func() {
				defer c.Close()
				handle(s, n, c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		s.stop.Wait()
	})
	return s
}

// read reads one request with its body and counts it; nil if none came.
func (s *wireServer) read(br *bufio.Reader) *http.Request {
	r, err := http.ReadRequest(br)
	if err != nil {
		return nil
	}
	s.requests.Add(1)
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil
	}
	return r
}

// call is one request of a test.
type call struct {
	method, url string
	header      http.Header
	body        io.Reader
	length      int64 // of body; -1 unknown
	trailer     http.Header
	x           policy.Exchange // what is set is kept
	provider    string
}

// do makes one attempt.
func (c call) do(ctx context.Context, tr *Transport) (*http.Response, *policy.Exchange, error) {
	x := c.x
	x.Body = policy.NewBody(c.body, c.length, 1<<20)
	x.Plan = &policy.Plan{Provider: c.provider}
	if c.x.Plan != nil {
		x.Plan = c.x.Plan
	}
	x.Now = policy.Attempt{Start: time.Now()}
	if c.method == "" {
		c.method = "GET"
	}
	req, err := http.NewRequestWithContext(policy.With(ctx, &x), c.method, c.url, nil)
	if err != nil {
		return nil, &x, err
	}
	if c.header != nil {
		req.Header = c.header
	}
	req.Trailer = c.trailer
	resp, err := tr.RoundTrip(req)
	return resp, &x, err
}

// get makes a GET and returns the body of the answer.
func get(t testing.TB, tr *Transport, url string) (string, *policy.Exchange, error) {
	t.Helper()
	resp, x, err := call{url: url}.do(t.Context(), tr)
	if err != nil {
		return "", x, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), x, err
}

// text is a body of known length.
func text(s string) (io.Reader, int64) { return strings.NewReader(s), int64(len(s)) }

// await fails the test if c does not come.
func await[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("%s did not happen", what)
	}
	return v
}
