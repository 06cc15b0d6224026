package upstream

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// canned is a connection on which the response is there already.
type canned struct {
	net.Conn
	in   *bytes.Reader
	sent int
}

func (c *canned) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *canned) Write(p []byte) (int, error)      { c.sent += len(p); return len(p), nil }
func (c *canned) Close() error                     { return nil }
func (c *canned) SetDeadline(time.Time) error      { return nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }

// FuzzResponse: whatever a provider sends, nothing panics, and what we take for
// a whole response net/http takes for the same one.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		ok, "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n2;x=y\r\nok\r\n0\r\nA: b\r\n\r\n", "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + ok,
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc", "HTTP/1.1 200 OK\nA: b\n c\n\n", "HTTP/1.1 999 X\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nPragma: no-cache\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s), false, false)
		f.Add([]byte(s), true, false)
		f.Add([]byte(s), false, true)
	}
	f.Add([]byte("HTTP/1.1 200 \nTransfer-Encoding:Chunked\n\n0\r\n\n00"), false, false)
	f.Fuzz(func(t *testing.T, in []byte, head, up bool) {
		method, c := http.MethodGet, call{url: "http://127.0.0.1/"}
		if head {
			method = http.MethodHead
		}
		if up {
			c = upgrade("http://127.0.0.1/", "x")
		}
		c.method = method
		conn := &canned{in: bytes.NewReader(in)}
		tr := New(Options{Dial: func(context.Context, string, string) (net.Conn, error) { return conn, nil }})
		defer tr.Close()
		resp, x, err := c.do(t.Context(), tr)
		if x.Now.Written != int64(conn.sent) {
			t.Errorf("%d bytes sent, noted as %d", conn.sent, x.Now.Written)
		}
		if err != nil {
			if x.Now.Executed() != policy.Maybe {
				t.Errorf("%+v", x.Now)
			}
			return
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode == 101 {
			return
		}
		if resp.StatusCode < 200 || resp.StatusCode > 599 {
			t.Fatalf("status %d", resp.StatusCode)
		}
		agree(t, in, method, resp, got, err)
	})
}

// agree reads in with net/http and compares.
func agree(t *testing.T, in []byte, method string, resp *http.Response, body []byte, bodyErr error) {
	br := bufio.NewReader(bytes.NewReader(in))
	var theirs *http.Response
	for theirs == nil || theirs.StatusCode < 200 {
		var err error
		if theirs, err = http.ReadResponse(br, &http.Request{Method: method}); err != nil {
			t.Fatalf("net/http refuses what we accept: %v", err)
		}
	}
	want, err := io.ReadAll(theirs.Body)
	if (err == nil) != (bodyErr == nil) && bodyErr == nil {
		t.Errorf("we end cleanly, net/http with %v", err)
	}
	if bodyErr == nil && !bytes.Equal(body, want) {
		t.Errorf("body %q, net/http %q", body, want)
	}
	if theirs.StatusCode != resp.StatusCode || theirs.ContentLength != resp.ContentLength {
		t.Errorf("%d %d, net/http %d %d", resp.StatusCode, resp.ContentLength, theirs.StatusCode, theirs.ContentLength)
	}
	for name, values := range resp.Header {
		added := name == "Cache-Control" && resp.Header["Pragma"] != nil
		if !slices.Equal(theirs.Header[name], values) && !added {
			t.Errorf("%s: %q, net/http %q", name, values, theirs.Header[name])
		}
		for _, v := range values {
			if strings.ContainsAny(name+v, "\r\n\x00") {
				t.Errorf("%q: %q", name, v)
			}
		}
	}
}

// FuzzRequestHead: whatever is asked for, what is written is one request as
// net/http reads it, or nothing.
func FuzzRequestHead(f *testing.F) {
	f.Add("GET", "/a?b", "host", "X-A", "b", "")
	f.Add("POST", "/a b", "host:1", "Content-Length", "5", "hello")
	f.Add("PUT", "//x/%0d%0a", "[::1]:1", "Transfer-Encoding", "chunked\r\n", "x")
	f.Add("G\r\nET", "*", "a b", "Connection", "upgrade", "GET / HTTP/1.1\r\n\r\n")
	f.Fuzz(func(t *testing.T, method, target, host, name, value, body string) {
		conn := &recorded{canned: canned{in: bytes.NewReader([]byte(ok))}}
		tr := New(Options{Dial: func(context.Context, string, string) (net.Conn, error) { return conn, nil }})
		defer tr.Close()
		c := call{method: "GET", url: "http://127.0.0.1/"}
		if body != "" {
			c.body, c.length = text(body)
		}
		req, _ := c.request(t.Context())
		if target == "" {
			return // means URL.Path
		}
		req.Method, req.URL.Opaque, req.Host, req.Header[name] = method, target, host, []string{value}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			if conn.out.Len() > 0 && !strings.HasPrefix(method, "HEAD") {
				t.Errorf("%v after %q was written", err, conn.out.String())
			}
			return
		}
		resp.Body.Close()
		line, rest, _ := strings.Cut(conn.out.String(), "\r\n")
		if line != method+" "+target+" HTTP/1.1" || len(strings.Fields(line)) != 3 {
			t.Errorf("request line %q", line)
		}
		br := bufio.NewReader(strings.NewReader("POST / HTTP/1.1\r\n" + rest))
		got, err := http.ReadRequest(br)
		if err != nil {
			t.Fatalf("unreadable: %v", err)
		}
		sent, err := io.ReadAll(got.Body)
		if string(sent) != body || err != nil || br.Buffered() > 0 {
			t.Errorf("%q %v, %d more bytes", sent, err, br.Buffered())
		}
	})
}

type recorded struct {
	canned
	out bytes.Buffer
}

func (r *recorded) Write(p []byte) (int, error) { return r.out.Write(p) }
