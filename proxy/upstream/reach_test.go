package upstream

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/policy"
)

// reading makes one POST, and reads the answer if there is one.
func reading(t *testing.T, tr *Transport, url string, size int) policy.Attempt {
	t.Helper()
	c := call{method: "POST", url: url, length: int64(size)}
	if size > 0 {
		c.body = strings.NewReader(strings.Repeat("x", size))
	}
	resp, x, err := c.do(t.Context(), tr)
	if err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	return x.Now
}

// TestP19Reached: how far an attempt got is known, step by step.
func TestP19Reached(t *testing.T) {
	says := func(answer string) func(*testing.T) string {
		return func(t *testing.T) string {
			return raw(t, func(s *wireServer, _ int, c net.Conn, br *bufio.Reader) {
				if s.read(br) != nil {
					io.WriteString(c, answer)
				}
			}).URL
		}
	}
	for _, tt := range []struct {
		name     string
		url      func(*testing.T) string
		size     int
		want     policy.Reach
		executed policy.Executed
	}{
		{"nobody listens", func(t *testing.T) string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
			return "http://" + l.Addr().String()
		}, 5, policy.ReachedNothing, policy.No},
		{"no TLS there", func(t *testing.T) string {
			return strings.Replace(raw(t, func(_ *wireServer, _ int, c net.Conn, _ *bufio.Reader) { io.WriteString(c, "what?") }).URL, "http:", "https:", 1)
		}, 5, policy.ReachedHost, policy.No},
		{"closed within a long body", func(t *testing.T) string {
			return raw(t, func(_ *wireServer, _ int, c net.Conn, br *bufio.Reader) { br.ReadByte() }).URL
		}, 32 << 20, policy.ReachedPart, policy.Maybe},
		{"closed after the request", says(""), 5, policy.ReachedAll, policy.Maybe},
		{"closed after a long request", says(""), 100 << 10, policy.ReachedAll, policy.Maybe},
		{"half a head", says("HTTP/1.1 200 OK\r\nConte"), 5, policy.ReachedAnswer, policy.Maybe},
		{"a 100 and no more", says("HTTP/1.1 100 Continue\r\n\r\n"), 0, policy.ReachedAnswer, policy.Maybe},
		{"half a body", says("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok"), 5, policy.ReachedHead, policy.Yes},
		{"half a chunked body", says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"), 5, policy.ReachedHead, policy.Yes},
		{"half a failure", says("HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\nok"), 5, policy.ReachedHead, policy.Maybe},
		{"half a refusal", says("HTTP/1.1 422 No\r\nContent-Length: 4\r\n\r\nok"), 5, policy.ReachedHead, policy.No},
		{"a whole answer", says(ok), 5, policy.ReachedEnd, policy.Yes},
		{"an answer without a body", says("HTTP/1.1 204 Done\r\n\r\n"), 5, policy.ReachedEnd, policy.Yes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := reading(t, start(t, Options{}), tt.url(t), tt.size)
			if a.Reached() != tt.want || a.Executed() != tt.executed || (a.Known() == "") != a.Answered {
				t.Errorf("reached %d (%s), executed %s: %+v; want %d, %s", a.Reached(), a.Known(), a.Executed(), a, tt.want, tt.executed)
			}
		})
	}
	for name, tt := range map[string]struct {
		answer func(p *peer, s uint32)
		want   policy.Reach
	}{
		"a whole answer over HTTP/2":           {func(p *peer, s uint32) { p.ok(s) }, policy.ReachedEnd},
		"an answer without a body over HTTP/2": {func(p *peer, s uint32) { p.headers(s, true, ":status", "204") }, policy.ReachedEnd},
		"half a body over HTTP/2":              {func(p *peer, s uint32) { p.headers(s, false, ":status", "200"); p.conn.Close() }, policy.ReachedHead},
		"early hints and no more over HTTP/2":  {func(p *peer, s uint32) { p.headers(s, false, ":status", "103"); p.conn.Close() }, policy.ReachedAnswer},
		"closed after the request over HTTP/2": {func(p *peer, s uint32) { p.conn.Close() }, policy.ReachedAll},
	} {
		t.Run(name, func(t *testing.T) {
			s := h2peer(t, func(p *peer, stream uint32, _ map[string]string) { tt.answer(p, stream) })
			if a := reading(t, s.transport(t), s.URL, 0); a.Reached() != tt.want {
				t.Errorf("reached %d (%s): %+v; want %d", a.Reached(), a.Known(), a, tt.want)
			}
		})
	}
}

// TestP19Misdirected: after a 421 another connection is used (RFC 9110 §15.5.20).
func TestP19Misdirected(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		var url string
		var conns func() int64
		var tr *Transport
		if h2 {
			s := h2peer(t, func(p *peer, stream uint32, _ map[string]string) {
				if p.n > 0 {
					p.ok(stream)
					return
				}
				p.headers(stream, true, ":status", "421")
			})
			url, conns, tr = s.URL, s.conns.Load, s.transport(t)
		} else {
			s := raw(t, func(s *wireServer, n int, c net.Conn, br *bufio.Reader) {
				for s.read(br) != nil {
					if n > 0 {
						io.WriteString(c, ok)
					} else {
						io.WriteString(c, "HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n")
					}
				}
			})
			url, conns, tr = s.URL, s.conns.Load, start(t, Options{})
		}
		if a := reading(t, tr, url, 5); a.Status != 421 || a.Executed() != policy.No {
			t.Errorf("HTTP/2 %v: %+v", h2, a)
		}
		for range 2 {
			if a := reading(t, tr, url, 5); a.Status != 200 || conns() != 2 {
				t.Errorf("HTTP/2 %v: %+v over %d connections", h2, a, conns())
			}
		}
	}
}

// severed is a connection that turns out to be dead at the first write.
type severed struct{ net.Conn }

func (s severed) Write([]byte) (int, error) {
	s.Close()
	return s.Conn.Write([]byte{0})
}

// TestP19NothingWritten: a connection that ends before a byte of the request is
// written leaves nothing to doubt, with a body or without.
func TestP19NothingWritten(t *testing.T) {
	s := raw(t, func(s *wireServer, _ int, _ net.Conn, br *bufio.Reader) { s.read(br) })
	tr := start(t, Options{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return severed{c}, err
	}})
	for _, size := range []int{0, 5, 100 << 10} {
		a := reading(t, tr, s.URL, size)
		if a.Reached() != policy.ReachedReady || a.Executed() != policy.No || a.Known() != "nothing sent" {
			t.Errorf("%d bytes: %+v", size, a)
		}
	}
	if n := s.requests.Load(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}
