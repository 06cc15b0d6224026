package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// TestP7NoHiddenRetry counts requests on the wire: each attempt is one at most,
// whatever the method and the headers, and what is known about it is true.
func TestP7NoHiddenRetry(t *testing.T) {
	requests := []call{
		{method: "GET"},
		{method: "HEAD"},
		{method: "DELETE"},
		{method: "PUT", header: http.Header{"Idempotency-Key": {"k"}}},
		{method: "POST"},
		{method: "POST", header: http.Header{"Idempotency-Key": {"k"}}},
		{method: "POST", header: http.Header{"X-Idempotency-Key": {"k"}}, length: 5},
		{method: "POST", header: http.Header{"Idempotency-Key": {"k"}}, length: 100 << 10},
		{method: "POST", header: http.Header{"Idempotency-Key": {"k"}}, length: -1},
	}
	reset := func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() }
	behaviours := []struct {
		name     string
		second   func(c net.Conn) // after the second request on the first connection
		idle     func(c net.Conn) // after the first answer
		arrive   int64            // of the second attempt's request, on all connections
		executed policy.Executed
	}{
		{name: "closed after the request", second: func(c net.Conn) { c.Close() }, arrive: 1, executed: policy.Maybe},
		{name: "reset after the request", second: reset, arrive: 1, executed: policy.Maybe},
		{name: "half an answer", second: func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nConte"); c.Close() }, arrive: 1, executed: policy.Maybe},
		{name: "closed while idle", idle: func(c net.Conn) { c.Close() }, arrive: 1, executed: policy.Yes},
		{name: "reset while idle", idle: reset, arrive: 1, executed: policy.Yes},
		{name: "408 while idle", idle: func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
			c.Close()
		}, arrive: 1, executed: policy.Yes},
	}
	for _, b := range behaviours {
		for _, c := range requests {
			t.Run(fmt.Sprintf("%s/%s %d %v", b.name, c.method, c.length, c.header), func(t *testing.T) {
				closed := make(chan bool, 1)
				s := raw(t, func(s *wireServer, n int, conn net.Conn, br *bufio.Reader) {
					for i := 0; s.read(br) != nil; i++ {
						if n == 0 && i == 1 && b.second != nil {
							b.second(conn)
							return
						}
						io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
						if n == 0 && b.idle != nil {
							b.idle(conn)
							closed <- true
							return
						}
					}
				})
				tr := start(t, Options{})
				if _, _, err := get(t, tr, s.URL); err != nil {
					t.Fatal(err)
				}
				if b.idle != nil {
					await(t, closed, "the close")
					awaitStale(t, tr)
				}
				c := c
				c.url = s.URL
				if c.length != 0 {
					c.body = strings.NewReader(strings.Repeat("x", max(int(c.length), 70<<10)))
				}
				resp, x, err := c.do(t.Context(), tr)
				if err == nil {
					resp.Body.Close()
				}
				if got := s.requests.Load() - 1; got != b.arrive {
					t.Errorf("%d requests arrived", got)
				}
				if x.Now.Executed() != b.executed || x.Now.Reused != (b.second != nil) || (err == nil) != (b.second == nil) {
					t.Errorf("%v: %+v", err, x.Now)
				}
			})
		}
	}
}

// answer is a server that answers every connection with the same bytes after
// each request, then closes if told so.
func answer(t testing.TB, response string, close bool) *wireServer {
	return raw(t, func(s *wireServer, _ int, c net.Conn, br *bufio.Reader) {
		for s.read(br) != nil {
			io.WriteString(c, response)
			if close {
				return
			}
		}
	})
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func TestC23Responses(t *testing.T) {
	long := strings.Repeat("a", 1000)
	tests := []struct {
		name, response string
		want           error // nil is any
		method         string
	}{
		{"status 099", "HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n", errStatus, ""},
		{"status 600", "HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n", errStatus, ""},
		{"status 999", "HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n", errStatus, ""},
		{"status 20", "HTTP/1.1 20 X\r\n\r\n", errMalformed, ""},
		{"status 2000", "HTTP/1.1 2000 X\r\n\r\n", errMalformed, ""},
		{"status +20", "HTTP/1.1 +20 X\r\n\r\n", errMalformed, ""},
		{"status -20", "HTTP/1.1 -20 X\r\n\r\n", errMalformed, ""},
		{"status abc", "HTTP/1.1 abc X\r\n\r\n", errMalformed, ""},
		{"no status", "HTTP/1.1\r\n\r\n", errMalformed, ""},
		{"HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n", errMalformed, ""},
		{"HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n", errMalformed, ""},
		{"HTTP/0.9", "HTTP/0.9 200 OK\r\n\r\n", errMalformed, ""},
		{"lower case", "http/1.1 200 OK\r\n\r\n", errMalformed, ""},
		{"leading line", "\r\nHTTP/1.1 200 OK\r\n\r\n", errMalformed, ""},
		{"SSH", "SSH-2.0-OpenSSH_9.2\r\n", errMalformed, ""},
		{"nothing", "", io.ErrUnexpectedEOF, ""},
		{"half a line", "HTTP/1.1 200", io.ErrUnexpectedEOF, ""},
		{"half a head", "HTTP/1.1 200 OK\r\nA: b\r\n", io.ErrUnexpectedEOF, ""},
		{"no colon", "HTTP/1.1 200 OK\r\nAbc\r\n\r\n", errMalformed, ""},
		{"empty name", "HTTP/1.1 200 OK\r\n: b\r\n\r\n", errMalformed, ""},
		{"leading space", "HTTP/1.1 200 OK\r\n A: b\r\n\r\n", errMalformed, ""},
		{"space before colon", "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello", errMalformed, ""},
		{"NUL in a value", "HTTP/1.1 200 OK\r\nA: b\x00c\r\n\r\n", errMalformed, ""},
		{"CR in a value", "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", errMalformed, ""},
		{"bad name", "HTTP/1.1 200 OK\r\nA(b): c\r\n\r\n", errMalformed, ""},
		{"a header of 65 KB", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 65<<10) + "\r\n\r\n", errHeadTooLarge, ""},
		{"100 headers of 1 KB", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: "+long+"\r\n", 100) + "\r\n", errHeadTooLarge, ""},
		{"an endless line", strings.Repeat("a", 1<<20), errHeadTooLarge, ""},
		{"1xx flood", strings.Repeat("HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n", 5000) + ok, errInformed, ""},
		{"large 1xx flood", strings.Repeat("HTTP/1.1 103 Early Hints\r\nA: "+strings.Repeat(long, 10)+"\r\n\r\n", 10) + ok, errHeadTooLarge, ""},
		{"101 unasked (C10)", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", errUpgrade, ""},
		{"length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", errFraming, ""},
		{"chunks and length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", errFraming, ""},
		{"lengths that differ", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk", errFraming, ""},
		{"a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", errFraming, ""},
		{"length +2", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", errFraming, ""},
		{"length -2", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", errFraming, ""},
		{"length 0x2", "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok", errFraming, ""},
		{"length 2_0", "HTTP/1.1 200 OK\r\nContent-Length: 2_0\r\n\r\nok", errFraming, ""},
		{"empty length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok", errFraming, ""},
		{"huge length", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok", errFraming, ""},
		{"gzip as transfer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", errFraming, ""},
		{"xchunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", errFraming, ""},
		{"identity", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", errFraming, ""},
		{"chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", errFraming, ""},
		{"chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", errFraming, ""},
		{"both, without a body", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", errFraming, "HEAD"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := answer(t, tt.response, true)
			_, x, err := call{method: tt.method, url: s.URL}.do(t.Context(), start(t, Options{}))
			var e *Error
			if !errors.As(err, &e) || e.Op != OpHeaders || !errors.Is(err, tt.want) {
				t.Errorf("%v", err)
			}
			if x.Now.Answered || x.Now.Executed() != policy.Maybe || s.requests.Load() != 1 {
				t.Errorf("%+v, %d requests", x.Now, s.requests.Load())
			}
			for _, part := range []string{"Abc", "b\x00c", "SSH", long[:10]} {
				if strings.Contains(fmt.Sprint(err), part) {
					t.Errorf("the error quotes the response: %v", err)
				}
			}
		})
	}
}

// TestF19Truncated: a response that breaks off is an error, never a clean end.
func TestF19Truncated(t *testing.T) {
	tests := []struct{ name, response, body string }{
		{"no byte of the body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ""},
		{"short", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "hel"},
		{"no chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ""},
		{"half a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "hel"},
		{"half a size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5", ""},
		{"no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "hello"},
		{"no end of the last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "hello"},
		{"half a trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n", "hello"},
		{"bad size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n\r\n", "hello"},
		{"no line end after a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello5\r\nhello\r\n0\r\n\r\n", "hello"},
		{"bare LF after a size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", ""},
		{"bad trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nAbc\r\n\r\n", "hello"},
		{"bare LF at the end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\n0", "hello"},
		{"bare LF in a trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\n\r\n", "hello"},
		{"a length as trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n", "hello"},
		{"trailers of 65 KB", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: " + strings.Repeat("a", 70<<10) + "\r\n\r\n", "hello"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := start(t, Options{})
			s := answer(t, tt.response, true)
			resp, x, err := call{url: s.URL}.do(t.Context(), tr)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			var e *Error
			if string(got) != tt.body || !errors.As(err, &e) || e.Op != OpBody {
				t.Errorf("%q, %v", got, err)
			}
			if _, again := resp.Body.Read(make([]byte, 1)); again != err {
				t.Errorf("then %v", again)
			}
			resp.Body.Close()
			if !x.Now.Answered || x.Now.Whole || idle(tr) != 0 {
				t.Errorf("%+v, %d idle", x.Now, idle(tr))
			}
		})
	}
}

// idle counts the unused HTTP/1.1 connections.
func idle(tr *Transport) (n int) {
	tr.pool.mu.Lock()
	defer tr.pool.mu.Unlock()
	for _, e := range tr.pool.entries {
		n += len(e.idle)
	}
	return n
}

// TestC23Accepted is what is in order, and whether the connection lives on.
func TestC23Accepted(t *testing.T) {
	tests := []struct {
		name, method, response, body string
		reused                       bool
	}{
		{"length", "GET", ok, "ok", true},
		{"empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", true},
		{"the same length twice", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", "ok", true},
		{"chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;ext=1\r\nk\r\n0\r\n\r\n", "ok", true},
		{"Chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok", true},
		{"until closed", "GET", "HTTP/1.1 200 OK\r\n\r\nok", "ok", false},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", false},
		{"HTTP/1.0 keep-alive", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", "ok", true},
		{"close", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", "ok", false},
		{"foo, Close", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: foo, Close\r\n\r\nok", "ok", false},
		{"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "ok", true},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "", true},
		{"304 with a length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", "", true},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "", true},
		{"HEAD chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", true},
		{"HEAD without a length", "HEAD", "HTTP/1.1 200 OK\r\n\r\n", "", true},
		{"extra bytes", "GET", ok + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "ok", false},
		{"a body of HEAD", "HEAD", ok, "", false},
		{"a body of 204", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", "", false},
		{"extra bytes after chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n", "ok", false},
		{"100 before", "POST", "HTTP/1.1 100 Continue\r\n\r\n" + ok, "ok", true},
		{"10 times 103", "GET", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 10) + ok, "ok", true},
		{"redirect (C4)", "GET", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := answer(t, tt.response, tt.name == "until closed")
			tr := start(t, Options{})
			for i := range 2 {
				resp, x, err := call{method: tt.method, url: s.URL}.do(t.Context(), tr)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if string(got) != tt.body || err != nil {
					t.Errorf("%q, %v", got, err)
				}
				if x.Now.Reused != (tt.reused && i == 1) {
					t.Errorf("request %d: reused is %v", i, x.Now.Reused)
				}
			}
			want := int64(2)
			if tt.reused {
				want = 1
			}
			if s.requests.Load() != 2 || s.conns.Load() != want {
				t.Errorf("%d requests on %d connections", s.requests.Load(), s.conns.Load())
			}
		})
	}
}

// TestC20RequestHead is what goes over the wire, byte for byte.
func TestC20RequestHead(t *testing.T) {
	heads := make(chan string, 1)
	s := raw(t, func(_ *wireServer, _ int, c net.Conn, br *bufio.Reader) {
		var head []string
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			if line == "\r\n" {
				break
			}
			head = append(head, strings.TrimSuffix(line, "\r\n"))
		}
		heads <- strings.Join(head, "|")
		io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	})
	hostile := http.Header{
		"Connection": {"close, X-A"}, "Keep-Alive": {"5"}, "Proxy-Connection": {"x"}, "Transfer-Encoding": {"chunked"}, "Content-Length": {"99"},
		"Host": {"evil"}, "Trailer": {"X"}, "Upgrade": {"h2c"}, "Http2-Settings": {"x"}, "Expect": {"100-continue"}, "Proxy-Authorization": {"secret"},
		"host": {"evil"}, "content-length": {"98"}, "X-B": {"2", "3"}, "X-A": {"1"}, "Te": {"trailers, deflate"},
	}
	tests := []struct {
		call call
		want string
	}{
		{call{method: "GET", url: "/"}, "GET / HTTP/1.1|Host: HOST"},
		{call{method: "GET", url: "/a%2Fb/..;/x?a;b=%zz&c=%20"}, "GET /a%2Fb/..;/x?a;b=%zz&c=%20 HTTP/1.1|Host: HOST"},
		{call{method: "OPTIONS", url: "*"}, "OPTIONS * HTTP/1.1|Host: HOST"},
		{call{method: "POST", url: "/"}, "POST / HTTP/1.1|Host: HOST|Content-Length: 0"},
		{call{method: "DELETE", url: "/"}, "DELETE / HTTP/1.1|Host: HOST"},
		{call{method: "POST", url: "/", length: 3}, "POST / HTTP/1.1|Host: HOST|Content-Length: 3"},
		{call{method: "GET", url: "/", length: 3}, "GET / HTTP/1.1|Host: HOST|Content-Length: 3"},
		{call{method: "PATCH", url: "/", length: -1}, "PATCH / HTTP/1.1|Host: HOST|Transfer-Encoding: chunked"},
		{
			call{method: "PUT", url: "/", length: 3, trailer: http.Header{"X-T": nil, "X-S": nil}},
			"PUT / HTTP/1.1|Host: HOST|Transfer-Encoding: chunked|Trailer: X-S|Trailer: X-T",
		},
		{call{method: "GET", url: "/", header: hostile}, "GET / HTTP/1.1|Host: HOST|X-A: 1|X-B: 2|X-B: 3|Te: trailers"},
		{call{method: "GET", url: "/", header: http.Header{"User-Agent": {"app/1"}, "x-lower": {"1"}}}, "GET / HTTP/1.1|Host: HOST|User-Agent: app/1|x-lower: 1"},
	}
	tr := start(t, Options{})
	for _, tt := range tests {
		c := tt.call
		if c.length != 0 {
			c.body = strings.NewReader("abc")
		}
		if c.url == "*" {
			c.url = s.URL + "/"
			req, x := c.request(t.Context())
			req.URL.Path, req.URL.Opaque = "*", "*"
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err, x.Now)
			}
			resp.Body.Close()
		} else {
			c.url = s.URL + c.url
			resp, _, err := c.do(t.Context(), tr)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		if got, want := await(t, heads, "the request"), strings.ReplaceAll(tt.want, "HOST", s.Addr); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestC21Unwritable: what would be more than one request is refused before
// anything is dialled, and the error does not repeat it.
func TestC21Unwritable(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		srv, tr := serve(t, h2, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
		const secret = "hunter2"
		tests := map[string]func(r *http.Request){
			"LF in a value":        func(r *http.Request) { r.Header["X-A"] = []string{secret + "\nX: y"} },
			"CR in a value":        func(r *http.Request) { r.Header["X-A"] = []string{secret + "\rX: y"} },
			"NUL in a value":       func(r *http.Request) { r.Header["X-A"] = []string{secret + "\x00"} },
			"LF in our headers":    func(r *http.Request) { r.Header["Connection"] = []string{secret + "\n"} },
			"colon in a name":      func(r *http.Request) { r.Header["X:"] = []string{secret} },
			"LF in a name":         func(r *http.Request) { r.Header["X\nY"] = []string{secret} },
			"empty name":           func(r *http.Request) { r.Header[""] = []string{secret} },
			"space in the method":  func(r *http.Request) { r.Method = "GET /" + secret },
			"no method":            func(r *http.Request) { r.Method = "" },
			"CONNECT":              func(r *http.Request) { r.Method = "CONNECT" },
			"space in the query":   func(r *http.Request) { r.URL.RawQuery = "a=" + secret + " HTTP/1.1" },
			"LF in the query":      func(r *http.Request) { r.URL.RawQuery = "a=" + secret + "\n" },
			"space in opaque":      func(r *http.Request) { r.URL.Opaque = "/" + secret + " x" },
			"no slash":             func(r *http.Request) { r.URL.Opaque = secret },
			"absolute":             func(r *http.Request) { r.URL.Opaque = "//evil/" + secret },
			"LF in the host":       func(r *http.Request) { r.Host = secret + "\nx" },
			"space in the host":    func(r *http.Request) { r.Host = secret + " x" },
			"no host":              func(r *http.Request) { r.Host, r.URL.Host = "", "" },
			"a scheme":             func(r *http.Request) { r.URL.Scheme = "ftp" },
			"a length as trailer":  func(r *http.Request) { r.Trailer = http.Header{"Content-Length": nil} },
			"LF in a trailer name": func(r *http.Request) { r.Trailer = http.Header{"X\n": nil} },
		}
		for name, spoil := range tests {
			req, x := call{method: "GET", url: srv.URL + "/", header: http.Header{}}.request(t.Context())
			spoil(req)
			_, err := tr.RoundTrip(req)
			var d *policy.Denial
			if !errors.As(err, &d) || d.Code != policy.BadRequest || x.Now.Executed() != policy.No || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestP13EarlyHints(t *testing.T) {
	s := answer(t, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\nLink: b\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: c\r\n\r\n"+ok, false)
	var seen []string
	stop := errors.New("stop")
	for _, fail := range []bool{false, true} {
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			seen = append(seen, fmt.Sprint(code, h["Link"]))
			if fail {
				return stop
			}
			return nil
		}})
		resp, _, err := call{url: s.URL}.do(ctx, start(t, Options{}))
		if fail {
			if !errors.Is(err, stop) {
				t.Error(err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if want := []string{"100 []", "103 [a b]", "103 [c]", "100 []"}; !slices.Equal(seen, want) {
		t.Errorf("%q", seen)
	}
}

// TestC20RequestBodies reads what arrives with the standard library.
func TestC20RequestBodies(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			fmt.Fprint(w, len(b), strings.Trim(string(b), "x") == "", r.ContentLength, err)
		})
		for _, n := range []int64{0, 1, inline - 1, inline, inline + 1, streamSize * 3, 1 << 20} {
			for _, known := range []bool{true, false} {
				c := call{method: "POST", url: srv.URL, body: strings.NewReader(strings.Repeat("x", int(n))), length: n}
				if !known {
					c.length = -1
				}
				resp, x, err := c.do(t.Context(), tr)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				if want := fmt.Sprint(n, true, c.length, nil); string(got) != want || err != nil {
					t.Errorf("%d, known %v: got %s, %v, want %s", n, known, got, err, want)
				}
				if inMemory := known && n <= inline; inMemory && !h2 && (!x.Now.Complete || x.Now.Written < n) {
					t.Errorf("%d: %+v", n, x.Now)
				}
			}
		}
	})
}

// TestC23Unasked: a response that came before its request belongs to nobody.
func TestC23Unasked(t *testing.T) {
	read := make(chan bool)
	s := raw(t, func(_ *wireServer, n int, c net.Conn, br *bufio.Reader) {
		http.ReadRequest(br)
		io.WriteString(c, ok)
		if n == 0 {
			<-read
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		}
		http.ReadRequest(br)
	})
	tr := start(t, Options{})
	get(t, tr, s.URL)
	read <- true
	awaitStale(t, tr)
	if got, x, err := get(t, tr, s.URL); got != "ok" || x.Now.Reused {
		t.Errorf("%q %v", got, err)
	}
}

// awaitStale waits until the kernel has passed on what the other side of the
// unused connection did.
func awaitStale(t *testing.T, tr *Transport) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		tr.pool.mu.Lock()
		alive := false
		for _, e := range tr.pool.entries {
			for _, c := range e.idle {
				alive = alive || c.alive()
			}
		}
		tr.pool.mu.Unlock()
		if !alive {
			return
		}
	}
	t.Fatal("the unused connection stays alive")
}

// request prepares c without sending it.
func (c call) request(ctx context.Context) (*http.Request, *policy.Exchange) {
	x := &policy.Exchange{Body: policy.NewBody(c.body, c.length, 1<<20), Plan: &policy.Plan{}}
	req, err := http.NewRequestWithContext(policy.With(ctx, x), c.method, c.url, nil)
	if err != nil {
		panic(err)
	}
	req.Header, req.Trailer = c.header, c.trailer
	if req.Header == nil {
		req.Header = http.Header{}
	}
	return req, x
}
