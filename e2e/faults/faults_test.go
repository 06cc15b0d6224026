package faults

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

type front struct {
	name string
	h2   bool
	cfg  func(ca *CA) Config
}

var fronts = []front{
	{"http", false, func(*CA) Config { return Config{} }},
	{"https h1", false, func(ca *CA) Config { return Config{CA: ca, NoH2: true} }},
	{"https h2", true, func(ca *CA) Config { return Config{CA: ca} }},
}

// each runs f against every kind of listener, with a client that never keeps what it should not.
func each(t *testing.T, backend http.Handler, f func(t *testing.T, s *Server, c *http.Client)) {
	ca, err := NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, fr := range fronts {
		t.Run(fr.name, func(t *testing.T) {
			cfg := fr.cfg(ca)
			cfg.Backend = backend
			s, err := Listen(cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}, ForceAttemptHTTP2: fr.h2}
			t.Cleanup(tr.CloseIdleConnections)
			f(t, s, &http.Client{Transport: tr, Timeout: 10 * time.Second})
		})
	}
}

// post sends a body that the transport cannot replay, so that nothing is sent again by itself.
func post(c *http.Client, url, body string) (int, string, error) {
	req, err := http.NewRequest(http.MethodPost, url, io.NopCloser(strings.NewReader(body)))
	if err != nil {
		return 0, "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func TestScriptThenBackend(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Key", r.Header.Get("X-Key"))
		io.Copy(w, r.Body)
	})
	each(t, echo, func(t *testing.T, s *Server, c *http.Client) {
		s.Script(Answer(503, "down", "Retry-After", "1"), Answer(429, ""), Pass())
		for i, want := range []int{503, 429, 200, 200} {
			status, body, err := post(c, s.URL()+"/a?b=c", "hello")
			if err != nil || status != want || want == 200 && body != "hello" {
				t.Fatalf("call %d: %d %q %v, want %d", i, status, body, err, want)
			}
		}
		rs := s.Requests()
		if len(rs) != 4 || s.Sends() != 4 || s.Accepted() != 1 {
			t.Fatalf("sends %d, connections %d, want 4 and 1", len(rs), s.Accepted())
		}
		if r := rs[3]; r.Nth != 4 || r.Target != "/a?b=c" || r.Host != s.Addr() || string(r.Body) != "hello" || !r.Read || r.Status != 200 {
			t.Fatalf("record: %+v", r)
		}
	})
}

func TestBreaksAtTheNamedPoint(t *testing.T) {
	big := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte("x"), 1<<10)) })
	for _, step := range []Step{ResetUnread(), ResetRead(), CloseUnread(), CloseRead(), ResetHalf(), ResetHead(), CloseHalf(), Garbage(), ResetStream(), GoAwayAfter()} {
		t.Run(step.String(), func(t *testing.T) {
			each(t, big, func(t *testing.T, s *Server, c *http.Client) {
				s.Script(step)
				_, body, err := post(c, s.URL(), "hello")
				if err == nil {
					t.Fatalf("answered %q, want a broken connection", body)
				}
				if rs := s.Requests(); len(rs) != 1 || rs[0].Read == step.unread() {
					t.Fatalf("records: %+v", rs)
				}
				if status, _, err := post(c, s.URL(), "again"); status != 200 {
					t.Fatalf("after the break: %d %v", status, err)
				}
			})
		})
	}
}

// TestHiddenRetryIsSeen is the reason for counting on the wire: Go's own transport repeats a GET that met a stale
// HTTP/1.1 connection or a refused HTTP/2 stream, and only the server can tell.
func TestHiddenRetryIsSeen(t *testing.T) {
	for _, step := range []Step{ResetUnread(), CloseUnread(), RefuseStream(), GoAway()} {
		t.Run(step.String(), func(t *testing.T) {
			each(t, nil, func(t *testing.T, s *Server, c *http.Client) {
				s.Script(Pass(), step)
				want := 3 // two calls and one hidden retry
				for range 2 {
					resp, err := c.Get(s.URL())
					if err != nil {
						want = 2
						if h1 := s.Requests()[0].Proto == "HTTP/1.1"; h1 || step.kind == refuse || step.kind == goAway {
							t.Fatalf("not repeated: %v", err)
						}
						continue
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				if s.Sends() != want {
					t.Fatalf("%d sends, want %d", s.Sends(), want)
				}
			})
		})
	}
}

func TestLargeBodiesBothWays(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	each(t, echo, func(t *testing.T, s *Server, c *http.Client) {
		want := strings.Repeat("0123456789abcdef", 1<<18)
		_, got, err := post(c, s.URL(), want)
		if err != nil || got != want {
			t.Fatalf("%d bytes back, %v; sent %d", len(got), err, len(want))
		}
	})
}

func TestHangEndsWithTheClient(t *testing.T) {
	each(t, nil, func(t *testing.T, s *Server, c *http.Client) {
		s.Script(Hang())
		c.Timeout = 100 * time.Millisecond
		if _, _, err := post(c, s.URL(), ""); err == nil {
			t.Fatal("answered")
		}
		if err := s.WaitSends(1, time.Second); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCloseIdle(t *testing.T) {
	each(t, nil, func(t *testing.T, s *Server, c *http.Client) {
		if _, _, err := post(c, s.URL(), "x"); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(5 * time.Second); s.CloseIdle() != 1; {
			if time.Now().After(deadline) {
				t.Fatal("no idle connection")
			}
		}
		if status, _, err := post(c, s.URL(), "x"); status == 200 && s.Accepted() != 2 {
			t.Fatalf("answered on a closed connection: %v", err)
		}
	})
}

// TestActing: the backend has the request although the peer is told nothing of it.
func TestActing(t *testing.T) {
	var acted atomic.Int64
	counting := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { acted.Add(1) })
	each(t, counting, func(t *testing.T, s *Server, c *http.Client) {
		for _, step := range []Step{ResetRead(), CloseRead(), Garbage(), ResetStream(), GoAwayAfter(), ResetPart(), Answer(500, "")} {
			for n, step := range map[int64]Step{0: step, 1: step.Acting()} {
				acted.Store(0)
				s.Script(step)
				if status, _, err := post(c, s.URL(), "a body that is longer than sixteen bytes"); (err == nil) != (status == 500) {
					t.Errorf("%v: %d %v", step, status, err)
				}
				if acted.Load() != n {
					t.Errorf("%v: acted %d times", step, acted.Load())
				}
			}
		}
		s.TurnAway(1)
		var err error
		for end := time.Now().Add(5 * time.Second); err == nil && time.Now().Before(end); { // a connection is idle soon after its last answer
			c.CloseIdleConnections()
			_, _, err = post(c, s.URL(), "x")
		}
		if err == nil {
			t.Error("a connection that is turned away serves")
		}
		if status, _, err := post(c, s.URL(), "x"); status != 200 {
			t.Errorf("the next one does not: %v", err)
		}
	})
}
