package drain_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/drain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const refusal = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 5\r\n\r\nlater"

// served is a server about to be ended.
type served struct {
	*drain.Drain
	t    *testing.T
	addr string
	ran  chan error
	came sync.Map // of addresses whose connections were accepted

	ended atomic.Bool
}

func serve(t *testing.T, h http.HandlerFunc, secure bool) *served {
	t.Helper()
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	s := &served{Drain: drain.New(srv, func() []byte { return []byte(refusal) }), t: t, ran: make(chan error, 1)}
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		s.came.Store(c.RemoteAddr().String(), true)
		return ctx
	}
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = raw.Addr().String()
	l := s.Listener(raw, false)
	go func() {
		if !secure {
			s.ran <- srv.Serve(l)
			return
		}
		like := httptest.NewUnstartedServer(nil)
		like.StartTLS()
		srv.TLSConfig = &tls.Config{Certificates: like.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}
		like.Close()
		s.ran <- srv.ServeTLS(l, "", "")
	}()
	return s
}

func (s *served) end(within time.Duration, hurry func()) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	s.ended.Store(true)
	if err := s.Shutdown(ctx, hurry); err != nil {
		s.t.Errorf("the drain ended with %v", err)
	}
	if err := <-s.ran; !errors.Is(err, http.ErrServerClosed) {
		s.t.Errorf("serving ended with %v", err)
	}
}

func rounds(short int) int {
	if n, _ := strconv.Atoi(os.Getenv("POSTERN_SOAK")); n > 0 {
		return short * n
	}
	return short
}

// TestF40NoRequestIsCut ends a server at random moments while clients of many
// habits use it: each request that was written whole gets a whole answer, or
// the connection was refused before there was one.
func TestF40NoRequestIsCut(t *testing.T) {
	for round := range rounds(12) {
		for _, secure := range []bool{false, true} {
			hammer(t, round, secure)
		}
	}
}

func hammer(t *testing.T, round int, secure bool) {
	var acted atomic.Int64
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		acted.Add(1)
		time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
		fmt.Fprintf(w, "read %d", n)
	}, secure)
	var answered, refused, late atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if !s.talk(secure, i, &answered, &late) {
					refused.Add(1)
					return
				}
			}
		})
	}
	time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
	if round%2 == 0 {
		s.EndKeepAlive()
		time.Sleep(20 * time.Millisecond)
	}
	s.end(20*time.Second, nil)
	close(stop)
	wg.Wait()
	if answered.Load() != acted.Load() {
		t.Errorf("%d answers for %d requests that were served", answered.Load(), acted.Load())
	}
	t.Logf("round %d: %d answered, %d of them refused with 503, %d clients found nobody", round, answered.Load(), late.Load(), refused.Load())
}

// talk opens one connection and sends requests over it until it is closed. It
// reports false when nobody listens: when it was refused, or reset before it was
// accepted, which no server can prevent that closes its socket.
func (s *served) talk(secure bool, habit int, answered, late *atomic.Int64) bool {
	t := s.t
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("dial: %v", err)
		}
		return false
	}
	defer c.Close()
	failed := func(format string, args ...any) bool {
		if _, ok := s.came.Load(c.LocalAddr().String()); ok {
			t.Errorf("habit %d: "+format, append([]any{habit}, args...)...)
		}
		return false
	}
	if secure {
		tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		if err := tc.Handshake(); err != nil {
			return failed("handshake: %v", err)
		}
		c = tc
	}
	r := bufio.NewReader(c)
	for range 1 + habit%5*10 {
		if habit%3 == 0 {
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
		}
		body := strings.Repeat("x", rand.IntN(40000))
		head := fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(body))
		_, werr := io.WriteString(c, head)
		if habit%4 == 1 {
			time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) // the body is still coming
		}
		if werr == nil {
			_, werr = io.WriteString(c, body)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return failed("no answer: %v (writing: %v)", err, werr)
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			return failed("half an answer: %v", err)
		}
		switch {
		case resp.StatusCode == http.StatusServiceUnavailable && string(text) == "later" && resp.Close:
			late.Add(1)
		case resp.StatusCode == http.StatusOK && string(text) == fmt.Sprintf("read %d", len(body)):
			answered.Add(1)
		default:
			t.Errorf("habit %d: %d %q", habit, resp.StatusCode, text)
		}
		if resp.Close {
			return true
		}
	}
	return true
}

// TestF40HTTP2: streams are answered, and the others told by GOAWAY that they
// can be sent again: a client of net/http sees no failure at all.
func TestF40HTTP2(t *testing.T) {
	for range rounds(4) {
		var acted, answered atomic.Int64
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			acted.Add(1)
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
			io.WriteString(w, r.Proto)
		}, true)
		tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					resp, err := (&http.Client{Transport: tr}).Get("https://" + s.addr)
					if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) && s.ended.Load() {
						return
					}
					if err != nil {
						t.Errorf("get: %v", err)
						return
					}
					text, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || string(text) != "HTTP/2.0" {
						t.Errorf("%q, %v", text, err)
					}
					answered.Add(1)
				}
			})
		}
		time.Sleep(time.Duration(20+rand.IntN(50)) * time.Millisecond)
		s.end(20*time.Second, nil)
		wg.Wait()
		tr.CloseIdleConnections()
		if answered.Load() != acted.Load() || acted.Load() == 0 {
			t.Errorf("%d answers for %d requests", answered.Load(), acted.Load())
		}
	}
}

// TestIdleConnectionIsToldOnce: who waits in a pool finds a 503 and the end.
func TestIdleConnectionIsToldOnce(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {}, false)
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	r := bufio.NewReader(c)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	s.end(10*time.Second, nil)
	rest, err := io.ReadAll(r)
	if string(rest) != refusal || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

// TestSlowBodyIsAnsweredInTime: a body that does not come is given up while
// there is still time to say so.
func TestSlowBodyIsAnsweredInTime(t *testing.T) {
	arrived := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		if _, err := io.ReadAll(r.Body); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the body was read: %v", err)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}, false)
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome")
	<-arrived
	hurried := false
	s.end(4*time.Second, func() { hurried = true })
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != 503 || !hurried {
		t.Errorf("%v, %v, hurried: %v", resp, err, hurried)
	}
}

// TestSharedSocketKeepsWhoWaits: a socket that others accept from too is left to
// them, with those who wait at it.
func TestSharedSocketKeepsWhoWaits(t *testing.T) {
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	file, err := raw.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	own, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.NotFoundHandler()}
	d := drain.New(srv, func() []byte { return []byte(refusal) })
	ran := make(chan error, 1)
	l := d.Listener(own, true)
	go func() { ran <- srv.Serve(l) }()
	if err := d.Shutdown(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	<-ran
	c, err := net.Dial("tcp", raw.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	next, err := raw.Accept()
	if err != nil {
		t.Fatal(err)
	}
	next.Write([]byte("next"))
	next.Close()
	if got, err := io.ReadAll(c); !bytes.Equal(got, []byte("next")) {
		t.Errorf("%q, %v", got, err)
	}
}
