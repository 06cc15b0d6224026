package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/proxy"
)

const apiURL = "https://" + apiHost + "/"

func TestP6ExpectContinue(t *testing.T) {
	both(t, func(t *testing.T, h2, up bool) {
		g := newRig(t, origin(t, up, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Expect") != "" {
				t.Error("Expect was passed on")
			}
			echo(w, r)
		}))
		client := g.client(h2, nil)
		client.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute // only a 100 makes the body go out
		req, _ := http.NewRequest("POST", apiURL, strings.NewReader("hello"))
		req.Header.Set("Expect", "100-continue")
		resp, err := client.Do(req)
		contains(t, body(t, resp, err), `"body":"hello"`)
	})
}

// A refused call never asks for its body.
func TestC25NoContinueBeforePolicy(t *testing.T) {
	g := newRig(t, policy.RoundTripper(func(*http.Request) (*http.Response, error) {
		return nil, &policy.Denial{Code: policy.NotAllowed, Stage: "allow", Detail: "no"}
	}))
	c := g.tunnel(apiHost+":443", apiHost)
	resp, _, err := exchange(c, "POST", "POST / HTTP/1.1\r\nHost: api.example.com\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	if err != nil || resp.StatusCode != 403 {
		t.Fatal(resp, err)
	}
}

func TestC25UnknownExpectation(t *testing.T) {
	g := newRig(t, policy.RoundTripper(func(*http.Request) (*http.Response, error) {
		t.Error("reached the plan")
		return nil, errors.New("x")
	}))
	resp, _, err := exchange(g.tunnel(apiHost+":443", apiHost), "GET", "GET / HTTP/1.1\r\nHost: api.example.com\r\nExpect: tea\r\n\r\n")
	if err != nil || resp.StatusCode != 417 {
		t.Error(resp, err)
	}
	req, _ := http.NewRequest("GET", apiURL, nil)
	req.Header.Set("Expect", "tea")
	resp, err = g.client(true, nil).Do(req)
	body(t, resp, err)
	if resp.StatusCode != 417 || resp.ProtoMajor != 2 {
		t.Error(resp.Status, resp.Proto)
	}
}

func TestClientLeavesUpstreamIsCancelled(t *testing.T) {
	both(t, func(t *testing.T, h2, up bool) {
		there, gone := make(chan bool), make(chan bool)
		g := newRig(t, origin(t, up, func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			there <- true
			<-r.Context().Done()
			close(gone)
		}))
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, "POST", apiURL, strings.NewReader("hello"))
		done := make(chan error)
		go func() {
			_, err := g.client(h2, nil).Do(req)
			done <- err
		}()
		<-there
		cancel()
		<-gone
		<-done
		if l := g.next(); l.Status != 499 || l.Outcome != policy.Cancelled || l.In != 5 {
			t.Errorf("journal %+v", l.Result)
		}
	})
}

func TestP9UpstreamFailureIsAProblem(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		g := newRig(t, policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
			x := policy.From(r.Context())
			x.Attempts, x.Now = 1, policy.Attempt{Connected: true, Written: 12}
			return nil, errors.New("read: connection reset SECRET")
		}))
		resp, err := g.client(h2, nil).Get(apiURL)
		text := body(t, resp, err)
		contains(t, text, `"code":"unreachable"`, `"executed":"maybe"`, `"attempts":1`)
		if resp.StatusCode != 502 || resp.Header.Get("Postern-Executed") != "maybe" || strings.Contains(text, "SECRET") {
			t.Errorf("%d %v %s", resp.StatusCode, resp.Header, text)
		}
		if l := g.next(); l.Err == nil || l.Status != 502 || l.Code != policy.CodeUnreachable {
			t.Errorf("journal %+v", l.Result)
		}
	}
}

func TestDenialWithRetryAfter(t *testing.T) {
	g := newRig(t, policy.RoundTripper(func(*http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("wrapped: %w", &policy.Denial{Code: policy.Limited, Stage: "limit", Detail: "full", Hint: "wait", RetryAfter: 1500 * time.Millisecond})
	}))
	resp, err := g.client(false, nil).Get(apiURL)
	contains(t, body(t, resp, err), `"retry_after":2`, `"retryable":true`, `"hint":"wait"`, `"provider":"api.example.com"`)
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "2" || resp.Header.Get("Postern-Outcome") != "rate_limited" {
		t.Error(resp.Status, resp.Header)
	}
}

func TestC77HeaderLimits(t *testing.T) {
	g := newRig(t, origin(t, false, echo))
	for name, c := range map[string]struct {
		head string
		want int
	}{
		"size":   {"GET / HTTP/1.1\r\nHost: api.example.com\r\nX: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", 431},
		"fields": {"GET / HTTP/1.1\r\nHost: api.example.com\r\n" + strings.Repeat("X: a\r\n", 201) + "\r\n", 400},
		"target": {"GET /" + strings.Repeat("a", 16<<10) + " HTTP/1.1\r\nHost: api.example.com\r\n\r\n", 400},
		"fine":   {"GET /" + strings.Repeat("a", 15<<10) + " HTTP/1.1\r\nHost: api.example.com\r\n" + strings.Repeat("X: a\r\n", 190) + "\r\n", 200},
	} {
		resp, text, err := exchange(g.tunnel(apiHost+":443", apiHost), "GET", c.head)
		if err != nil || resp.StatusCode != c.want {
			t.Errorf("%s: %v %v %s", name, resp, err, text)
		}
	}
	req, _ := http.NewRequest("GET", apiURL, nil)
	for i := range 40 {
		req.Header.Set(fmt.Sprint("X-", i), strings.Repeat("a", 2000))
	}
	resp, err := g.client(true, nil).Do(req)
	if err == nil && resp.StatusCode != 431 {
		t.Errorf("h2: %v", resp.Status)
	}
}

// Whoever is slow with a head, a ClientHello or a next request is dropped.
func TestC76SlowHeads(t *testing.T) {
	const limit = 200 * time.Millisecond
	g := newRig(t, origin(t, false, echo), func(_ *rig, l *proxy.Limits) { *l = proxy.Limits{Header: limit, Handshake: limit, Idle: limit} })
	connect := "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n"
	inside := func(text string) func(*testing.T) net.Conn {
		return func(*testing.T) net.Conn {
			c := g.tunnel(apiHost+":443", apiHost)
			io.WriteString(c, text)
			return c
		}
	}
	outside := func(text string) func(*testing.T) net.Conn {
		return func(t *testing.T) net.Conn {
			c := raw(t, g.addr)
			io.WriteString(c, text)
			return c
		}
	}
	for name, open := range map[string]func(*testing.T) net.Conn{
		"nothing": outside(""), "half a head": outside("GET http://api.example.com/ HTTP/1.1\r\nX: "), "empty tunnel": outside(connect),
		"half a ClientHello": outside(connect + "\x16\x03\x01\x02\x00\x01"), "half a head inside": inside("GET / HTTP/1.1\r\nX:"), "idle inside": inside(""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			if _, err := io.Copy(io.Discard, open(t)); errors.Is(err, context.DeadlineExceeded) {
				t.Error("was not dropped")
			}
			if d := time.Since(start); d > 8*time.Second {
				t.Errorf("was dropped after %v", d)
			}
		})
	}
}

func TestC76SlowBody(t *testing.T) {
	both(t, func(t *testing.T, h2, up bool) {
		g := newRig(t, origin(t, up, echo), func(g *rig, _ *proxy.Limits) { g.handler.Stall = 200 * time.Millisecond })
		pr, pw := io.Pipe()
		defer pw.Close()
		defer time.AfterFunc(10*time.Second, func() { pw.Close() }).Stop() // net/http's client may wait for its body after the connection has ended
		go pw.Write([]byte("a"))
		req, _ := http.NewRequest("POST", apiURL, pr)
		resp, err := g.client(h2, nil).Do(req)
		if err == nil {
			contains(t, body(t, resp, err), "made no progress")
		}
		if l := g.next(); l.Status != 400 || l.Code != policy.BadRequest {
			t.Errorf("journal %+v", l.Result)
		}
	})
}

// Whoever announces a body and does not send it gets the refusal at once, and
// is dropped.
func TestC76BodyThatNeverComes(t *testing.T) {
	g := newRig(t, &recorder{}, func(g *rig, l *proxy.Limits) {
		g.config.Unmatched = "deny"
		g.handler.Stall = 200 * time.Millisecond
	})
	for _, framing := range []string{"Content-Length: 5", "Transfer-Encoding: chunked"} {
		c := raw(t, g.addr)
		resp, text, err := exchange(c, "POST", "POST http://other.example/ HTTP/1.1\r\nHost: x\r\n"+framing+"\r\n\r\n")
		if err != nil || resp.StatusCode != 403 {
			t.Fatal(resp, err, text)
		}
		start := time.Now()
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") || time.Since(start) > 8*time.Second {
			t.Errorf("%s: the connection was kept for %v", framing, time.Since(start))
		}
	}
}

// A refusal keeps the connection if the body is there, and what is left of a
// body is never taken for a request.
func TestRefusedBodies(t *testing.T) {
	up := &recorder{}
	g := newRig(t, up, func(g *rig, _ *proxy.Limits) { g.config.Unmatched = "deny" })
	const next = "GET https://api.example.com/next HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, c := range map[string]struct {
		head, body string
		kept       bool
	}{
		"there":    {"Content-Length: 5\r\n", "hello", true},
		"chunked":  {"Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n", true},
		"hidden":   {fmt.Sprintf("Content-Length: %d\r\n", len(next)+5), "hello", false},
		"long":     {"Content-Length: 100000\r\n", strings.Repeat("a", 100000), false},
		"expected": {"Expect: 100-continue\r\nContent-Length: 5\r\n", "", false},
	} {
		conn := raw(t, g.addr)
		br := bufio.NewReader(conn)
		io.WriteString(conn, "POST http://other.example/ HTTP/1.1\r\nHost: x\r\n"+c.head+"\r\n"+c.body)
		resp, err := http.ReadResponse(br, nil)
		if err != nil || resp.StatusCode != 403 || resp.Close == c.kept {
			t.Fatalf("%s: %v %v", name, resp, err)
		}
		io.Copy(io.Discard, resp.Body)
		io.WriteString(conn, next)
		resp, err = http.ReadResponse(br, nil)
		if (err == nil && resp.StatusCode == 200) != c.kept {
			t.Errorf("%s: then %v %v", name, resp, err)
		}
		if saw := up.take(); (saw != "") != c.kept {
			t.Errorf("%s: upstream saw %q", name, saw)
		}
	}
}

// Once an answer has begun, both sides may pause.
func TestStreamsMayPause(t *testing.T) {
	both(t, func(t *testing.T, h2, up bool) {
		g := newRig(t, origin(t, up, func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex()
			w.(http.Flusher).Flush()
			io.Copy(w, r.Body)
		}), func(g *rig, _ *proxy.Limits) { g.handler.Stall = time.Second })
		pr, pw := io.Pipe()
		req, _ := http.NewRequest("POST", apiURL, pr)
		go pw.Write([]byte("a"))
		resp, err := g.client(h2, nil).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond) // longer than the limit that held until the answer began
		io.WriteString(pw, "b")
		pw.Close()
		if text := body(t, resp, nil); text != "ab" {
			t.Errorf("%q", text)
		}
	})
}

// An application that does not read its answer is dropped.
func TestC76SlowReader(t *testing.T) {
	g := newRig(t, origin(t, false, func(w http.ResponseWriter, r *http.Request) {
		for range 1000 {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}), func(g *rig, _ *proxy.Limits) { g.handler.Stall = 300 * time.Millisecond })
	c := g.tunnel(apiHost+":443", apiHost)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
	if l := g.next(); l.Outcome != policy.Cancelled || l.Err == nil {
		t.Errorf("journal %+v", l.Result)
	}
}

func TestP13EarlyHints(t *testing.T) {
	both(t, func(t *testing.T, h2, up bool) {
		g := newRig(t, origin(t, up, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</style.css>")
			w.WriteHeader(103)
			w.Header().Del("Link")
			w.Header().Set("X-Final", "1")
			io.WriteString(w, "done")
		}))
		var hints []string
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, h.Get("Link")))
			return nil
		}}
		req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", apiURL, nil)
		resp, err := g.client(h2, nil).Do(req)
		if text := body(t, resp, err); text != "done" || resp.Header.Get("X-Final") != "1" || resp.Header.Get("Link") != "" {
			t.Errorf("%q %v", text, resp.Header)
		}
		if len(hints) != 1 || hints[0] != "103</style.css>" {
			t.Errorf("hints %q", hints)
		}
	})
}

func TestP18HTTP10(t *testing.T) {
	for _, up := range []bool{false, true} {
		g := newRig(t, origin(t, up, func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush() // unknown length
			io.WriteString(w, "hello")
		}))
		c := g.tunnel(apiHost+":443", apiHost)
		io.WriteString(c, "GET / HTTP/1.0\r\nHost: api.example.com\r\nConnection: keep-alive\r\n\r\n")
		all, err := io.ReadAll(c)
		if text := string(all); err != nil || !strings.HasSuffix(text, "\r\n\r\nhello") || !strings.HasPrefix(text, "HTTP/1.0 200") && !strings.HasPrefix(text, "HTTP/1.1 200") || strings.Contains(text, "chunked") {
			t.Errorf("%v %q", err, text)
		}
	}
}

func TestConnectionClose(t *testing.T) {
	seen := make(chan bool, 1)
	g := newRig(t, origin(t, false, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Close
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		w.Header().Set("Keep-Alive", "timeout=1")
	}))
	c := g.tunnel(apiHost+":443", apiHost)
	resp, _, err := exchange(c, "GET", "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
	if err != nil || resp.Close || resp.Header.Get("X-Hop") != "" || resp.Header.Get("Keep-Alive") != "" {
		t.Errorf("the origin's close was passed on: %v %v", resp, err)
	}
	<-seen
	resp, _, err = exchange(c, "GET", "GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n")
	if err != nil || !resp.Close || <-seen {
		t.Errorf("close: %v %v", resp, err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("the connection stayed open")
	}
}

func TestClientHelloInTheConnectPacket(t *testing.T) {
	g := newRig(t, origin(t, false, echo))
	c := raw(t, g.addr)
	first := &together{Conn: c, before: "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n"}
	tc := tls.Client(first, &tls.Config{RootCAs: g.roots, ServerName: apiHost})
	resp, text, err := exchange(tc, "GET", "GET /x HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	contains(t, text, `"uri":"/x"`)
}

// together sends something in the same packet as the first write, and skips
// the response to it.
type together struct {
	net.Conn
	before  string
	skipped bool
}

func (c *together) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(append([]byte(c.before), p...))
	n -= len(c.before)
	c.before = ""
	return n, err
}

func (c *together) Read(p []byte) (int, error) {
	for one, seen := make([]byte, 1), ""; !c.skipped; {
		if _, err := c.Conn.Read(one); err != nil {
			return 0, err
		}
		seen += string(one)
		c.skipped = strings.HasSuffix(seen, "\r\n\r\n")
	}
	return c.Conn.Read(p)
}

func TestTunnelsResumeTLS(t *testing.T) {
	g := newRig(t, origin(t, false, echo))
	client := g.client(false, nil)
	for i := range 3 {
		resp, err := client.Get(apiURL)
		body(t, resp, err)
		if resp.TLS.DidResume != (i > 0) {
			t.Errorf("connection %d resumed: %v", i, resp.TLS.DidResume)
		}
		client.CloseIdleConnections()
	}
}

func TestP15Streams(t *testing.T) {
	both(t, func(t *testing.T, h2, up bool) {
		more := make(chan bool)
		g := newRig(t, origin(t, up, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", r.URL.Query().Get("type"))
			for i := range 3 {
				fmt.Fprintf(w, "data: %d\n", i)
				w.(http.Flusher).Flush()
				<-more
			}
		}))
		for _, kind := range []string{"text/event-stream", "application/octet-stream"} {
			resp, err := g.client(h2, nil).Get(apiURL + "?type=" + kind)
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(resp.Body)
			for i := range 3 {
				if s, err := lines.ReadString('\n'); s != fmt.Sprintf("data: %d\n", i) {
					t.Fatalf("%q %v", s, err)
				}
				more <- true
			}
			if _, err := lines.ReadByte(); err != io.EOF {
				t.Error(err)
			}
			resp.Body.Close()
			g.next()
		}
	})
}

// Bodies flow both ways at once: each part of the answer is there before the
// next part of the request is sent.
func TestFullDuplex(t *testing.T) {
	both(t, func(t *testing.T, h2, up bool) {
		g := newRig(t, origin(t, up, func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex() // HTTP/1.1 servers are asked to
			w.(http.Flusher).Flush()
			in := bufio.NewReader(r.Body)
			for {
				s, err := in.ReadString('\n')
				if err != nil {
					return
				}
				io.WriteString(w, s)
				w.(http.Flusher).Flush()
			}
		}))
		pr, pw := io.Pipe()
		req, _ := http.NewRequest("POST", apiURL, pr)
		resp, err := g.client(h2, nil).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		out := bufio.NewReader(resp.Body)
		for i := range 3 {
			fmt.Fprintln(pw, i)
			if s, err := out.ReadString('\n'); s != fmt.Sprintln(i) {
				t.Fatalf("%q %v", s, err)
			}
		}
		pw.Close()
		body(t, resp, nil)
	})
}

// An answer that does not wait for the body is passed on, and whoever still
// reads the body then does no harm to the connection.
func TestP17EarlyAnswer(t *testing.T) {
	both(t, func(t *testing.T, h2, up bool) {
		g := newRig(t, origin(t, up, func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex() // else it would wait for the body
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			io.WriteString(w, "too large")
		}))
		client := g.client(h2, nil)
		for range 5 {
			pr, pw := io.Pipe()
			go pw.Write(make([]byte, 100))
			req, _ := http.NewRequest("POST", apiURL, pr)
			resp, err := client.Do(req)
			if text := body(t, resp, err); text != "too large" || resp.StatusCode != 413 {
				t.Errorf("%d %q", resp.StatusCode, text)
			}
			pw.Close()
		}
	})
}

// The transport may read the body when the call is over.
func TestLateReaderOfTheBody(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		late := make(chan error, 1)
		g := newRig(t, policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
			body, err := policy.From(r.Context()).Body.Reader()
			if err != nil {
				return nil, err
			}
			first := make(chan bool)
			go func() {
				one := make([]byte, 1)
				body.Read(one)
				close(first)
				_, err := io.Copy(io.Discard, body) // until the handler's end, and beyond
				late <- err
			}()
			<-first
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
		}))
		pr, pw := io.Pipe()
		go pw.Write([]byte("a"))
		req, _ := http.NewRequest("POST", apiURL, pr)
		resp, err := g.client(h2, nil).Do(req)
		body(t, resp, err)
		if err := <-late; err == nil {
			t.Error("the body ended well")
		}
		pw.Close()
	}
}

func TestP13Trailers(t *testing.T) {
	both(t, func(t *testing.T, h2, up bool) {
		g := newRig(t, origin(t, up, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			w.Header().Set("Trailer", "X-Announced")
			fmt.Fprintf(w, "%s %s %v", b, r.Trailer.Get("X-Sum"), r.Trailer["Postern-Tags"])
			w.Header().Set("X-Announced", "a")
			if r.URL.Path == "/late" {
				w.Header().Set(http.TrailerPrefix+"X-Late", "b")
			}
		}))
		for _, path := range []string{"", "late"} {
			req, _ := http.NewRequest("POST", apiURL+path, struct{ io.Reader }{strings.NewReader("hello")})
			req.Trailer = http.Header{"X-Sum": {"5"}, "Postern-Tags": {"smuggled"}}
			resp, err := g.client(h2, nil).Do(req)
			if text := body(t, resp, err); text != "hello 5 []" {
				t.Errorf("the origin saw %q", text)
			}
			if resp.Trailer.Get("X-Announced") != "a" || (resp.Trailer.Get("X-Late") == "b") != (path == "late") {
				t.Errorf("/%s: trailers %v", path, resp.Trailer)
			}
		}
	})
}

func TestTrailersWithoutBody(t *testing.T) {
	both(t, func(t *testing.T, h2, up bool) {
		g := newRig(t, origin(t, up, func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		}))
		resp, err := g.client(h2, nil).Get(apiURL)
		if body(t, resp, err); resp.Trailer.Get("Grpc-Status") != "0" {
			t.Errorf("trailers %v", resp.Trailer)
		}
	})
}

// A body that the provider cut short never looks whole.
func TestC23ShortBodyIsAborted(t *testing.T) {
	both(t, func(t *testing.T, h2, up bool) {
		for _, length := range []string{"100", ""} {
			g := newRig(t, origin(t, up, func(w http.ResponseWriter, r *http.Request) {
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				io.WriteString(w, "half")
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}))
			resp, err := g.client(h2, nil).Get(apiURL)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if err == nil {
				t.Errorf("length %q: the answer looked whole", length)
			}
			if l := g.next(); l.Outcome != policy.Unreachable || l.Err == nil {
				t.Errorf("journal %+v", l.Result)
			}
		}
	})
}

func TestHeadAndBodilessAnswers(t *testing.T) {
	both(t, func(t *testing.T, h2, up bool) {
		g := newRig(t, origin(t, up, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/204":
				w.WriteHeader(204)
			case "/304":
				w.Header().Set("Etag", `"x"`)
				w.WriteHeader(304)
			default:
				w.Header().Set("Content-Length", "12345")
				w.Header()["Date"] = nil
			}
		}))
		for path, status := range map[string]int{"head": 200, "204": 204, "304": 304} {
			req, _ := http.NewRequest("HEAD", apiURL+path, nil)
			if path != "head" {
				req.Method = "GET"
			}
			resp, err := g.client(h2, nil).Do(req)
			body(t, resp, err)
			if resp.StatusCode != status || path == "head" && (resp.ContentLength != 12345 || resp.Header.Get("Date") != "" || resp.Header.Get("Content-Type") != "") {
				t.Errorf("%s: %d %v", path, resp.StatusCode, resp.Header)
			}
		}
	})
}
