package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// switching is an origin that switches to the protocol asked for, says early
// in the packet of the 101, and echoes lines.
func switching(t *testing.T, to func(asked string) string) http.RoundTripper {
	return origin(t, false, func(w http.ResponseWriter, r *http.Request) {
		protocol := to(r.Header.Get("Upgrade"))
		if protocol == "" {
			fmt.Fprintf(w, "not switched: %q %q %q", r.Header.Get("Upgrade"), r.Header.Get("Connection"), r.Header.Get("Http2-Settings"))
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nSec-Websocket-Accept: x\r\n\r\nearly\n", protocol)
		rw.Flush()
		for {
			line, err := rw.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprint(rw, line)
			rw.Flush()
			if line == "bye\n" {
				return
			}
		}
	})
}

func asAsked(asked string) string { return asked }

func TestUpgrade(t *testing.T) {
	for _, protocol := range []string{"websocket", "WebSocket", "custom/1"} {
		g := newRig(t, switching(t, asAsked))
		c := g.tunnel(apiHost+":443", apiHost)
		// The first frame comes before the 101.
		fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: api.example.com\r\nConnection: keep-alive, Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Key: k\r\n\r\nfirst\n", protocol)
		br := bufio.NewReader(c)
		resp, err := http.ReadResponse(br, nil)
		if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != protocol || resp.Header.Get("Connection") != "Upgrade" || resp.Header.Get("Sec-Websocket-Accept") != "x" || resp.Header.Get("Postern-Id") == "" {
			t.Fatalf("%v %v", resp, err)
		}
		for _, want := range []string{"early\n", "first\n"} {
			if line, err := br.ReadString('\n'); line != want {
				t.Fatalf("%q %v, want %q", line, err, want)
			}
		}
		for _, s := range []string{"hello\n", "bye\n"} {
			io.WriteString(c, s)
			if line, err := br.ReadString('\n'); line != s {
				t.Fatalf("%q %v", line, err)
			}
		}
		if _, err := br.ReadByte(); err == nil {
			t.Error("the tunnel outlived the provider's end")
		}
		if l := g.next(); l.Status != 101 || l.In != 16 || l.Out != 22 || l.Outcome != policy.OK {
			t.Errorf("journal %+v", l.Result)
		}
	}
}

func TestUpgradeClientCloses(t *testing.T) {
	g := newRig(t, switching(t, asAsked))
	c := g.tunnel(apiHost+":443", apiHost)
	fmt.Fprint(c, "GET /ws HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 101 {
		t.Fatal(resp, err)
	}
	c.Close()
	if l := g.next(); l.Status != 101 {
		t.Errorf("journal %+v", l.Result)
	}
}

func TestP16OnlyWhatWasAskedFor(t *testing.T) {
	const plain = "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
	const ws = "GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	for name, c := range map[string]struct {
		request string
		to      func(string) string
		status  int
		text    string
	}{
		"unasked 101":     {plain, func(string) string { return "websocket" }, 502, `"code":"unreachable"`},
		"another 101":     {ws, func(string) string { return "other" }, 502, `"code":"unreachable"`},
		"no 101":          {ws, func(string) string { return "" }, 200, `not switched: "websocket" "Upgrade" ""`},
		"h2c":             {"GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", asAsked, 200, `not switched: "" "" ""`},
		"h2c beside":      {"GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: h2c, TLS/1.0, HTTP/2.0\r\n\r\n", asAsked, 200, `not switched: "" "" ""`},
		"h2c, varied":     {"GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: H2C;q=1, h2c/1\r\n\r\n", asAsked, 200, `not switched: "" "" ""`},
		"without a token": {"GET / HTTP/1.1\r\nHost: api.example.com\r\nUpgrade: websocket\r\n\r\n", asAsked, 200, `not switched: "" "" ""`},
		"HTTP/1.0":        {"GET / HTTP/1.0\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", asAsked, 200, `not switched: "" "" ""`},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, switching(t, c.to))
			resp, text, err := exchange(g.tunnel(apiHost+":443", apiHost), "GET", c.request)
			if err != nil || resp.StatusCode != c.status || !strings.Contains(text, c.text) {
				t.Errorf("%v %v %s", resp, err, text)
			}
		})
	}
}

// The handler itself does not trust a transport that lets any 101 through.
func TestC10UnaskedSwitch(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	g := newRig(t, policy.RoundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 101, Header: http.Header{"Upgrade": {"websocket"}}, Body: near}, nil
	}))
	resp, text, err := exchange(g.tunnel(apiHost+":443", apiHost), "GET", "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
	if err != nil || resp.StatusCode != 502 || resp.Header.Get("Postern-Executed") != "yes" {
		t.Fatal(resp, err, text)
	}
	if _, err := far.Write([]byte("x")); err == nil {
		t.Error("the provider's connection is still open")
	}
}

// blindRig is a rig with a host that no provider names.
func blindRig(t *testing.T, handler http.HandlerFunc) *rig {
	g := newRig(t, origin(t, false, echo))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
	g.dialled.to = l.Addr().String()
	return g
}

func (g *rig) passage() (string, int64, int64) {
	g.t.Helper()
	select {
	case p := <-g.passed:
		return p.Target.Address(), p.In, p.Out
	case <-time.After(10 * time.Second):
		g.t.Fatal("no passage")
		panic("")
	}
}

func TestBlindTunnel(t *testing.T) {
	g := blindRig(t, echo)
	c := raw(t, g.addr)
	// What follows CONNECT in its packet is not lost, whatever it is.
	request := "GET /x HTTP/1.1\r\nHost: anything\r\nX_Y: kept\r\nPostern-Tags: kept\r\nConnection: close\r\n\r\n"
	io.WriteString(c, "CONNECT Other.Example:8080 HTTP/1.1\r\nHost: other.example:8080\r\n\r\n"+request)
	br := bufio.NewReader(c)
	if resp, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	rest, err := io.ReadAll(br)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, string(rest), `"uri":"/x"`, `"X_y":["kept"]`, `"Postern-Tags":["kept"]`)
	c.Close()
	if target, in, out := g.passage(); target != "other.example:8080" || in != int64(len(request)) || out != int64(len(rest)) {
		t.Errorf("%s in %d out %d, want %d %d", target, in, out, len(request), len(rest))
	}
	if asked := g.dialled.asked; len(asked) != 1 || asked[0] != "other.example:8080" {
		t.Errorf("dialled %q", asked)
	}
}

func TestUnmatchedAbsoluteForm(t *testing.T) {
	g := blindRig(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Own", "1")
		echo(w, r)
	})
	resp, text, err := exchange(raw(t, g.addr), "POST", "POST http://other.example/a%2Fb?c HTTP/1.1\r\nHost: x\r\nProxy-Connection: keep-alive\r\nPostern-Tags: a=b\r\nContent-Length: 5\r\n\r\nhello")
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("X-Own") != "1" || resp.Header.Get("Postern-Id") != "" {
		t.Fatal(resp, err, text)
	}
	contains(t, text, `"uri":"/a%2Fb?c"`, `"host":"other.example"`, `"body":"hello"`)
	if strings.Contains(text, "Postern") || strings.Contains(text, "Proxy-") || strings.Contains(text, "User-Agent") {
		t.Error(text)
	}
	if target, in, out := g.passage(); target != "other.example:80" || in != 5 || out != int64(len(text)) {
		t.Errorf("%s in %d out %d", target, in, out)
	}
}

func TestUnmatchedRefusedByTheDialer(t *testing.T) {
	g := newRig(t, origin(t, false, echo))
	g.dialled.err = &policy.Denial{Code: policy.NotAllowed, Stage: "guard", Detail: "a private address"}
	for _, request := range []string{"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\n\r\n", "GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\n\r\n"} {
		c := raw(t, g.addr)
		resp, text, err := exchange(c, "GET", request)
		if err != nil || resp.StatusCode != 403 {
			t.Fatalf("%v %v %s", resp, err, text)
		}
		contains(t, text, "a private address", `"executed":"no"`)
		if l := g.next(); l.Status != 403 || l.Code != policy.NotAllowed {
			t.Errorf("journal %+v", l.Result)
		}
		// The connection is still good for another try.
		if resp, _, err := exchange(c, "GET", "GET https://api.example.com/ HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil || resp.StatusCode != 200 {
			t.Error(resp, err)
		}
		g.next()
	}
}

// A shutdown lets calls under way end, and closes at its end what remains.
func TestP54Shutdown(t *testing.T) {
	there, answer := make(chan bool, 3), make(chan bool)
	slow := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			conn, _, _ := http.NewResponseController(w).Hijack()
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			io.Copy(io.Discard, conn)
			return
		}
		if r.URL.Path != "/fast" {
			there <- true
			<-answer
		}
		io.WriteString(w, "done")
	}
	g := newRig(t, origin(t, false, slow))
	up, _ := net.Listen("tcp", "127.0.0.1:0")
	defer up.Close()
	g.dialled.to = up.Addr().String()

	got := make(chan string, 1)
	go func() {
		resp, err := g.client(false, nil).Get(apiURL)
		if err != nil {
			got <- err.Error()
			return
		}
		b, _ := io.ReadAll(resp.Body)
		got <- string(b)
	}()
	<-there
	blind := raw(t, g.addr)
	io.WriteString(blind, "CONNECT other.example:443 HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(blind), &http.Request{Method: "CONNECT"}); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	ws := g.tunnel(apiHost+":443", apiHost)
	io.WriteString(ws, "GET /ws HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(ws), nil); err != nil || resp.StatusCode != 101 {
		t.Fatal(resp, err)
	}
	idle := g.tunnel(apiHost+":443", apiHost)
	if resp, _, err := exchange(idle, "GET", "GET /fast HTTP/1.1\r\nHost: api.example.com\r\n\r\n"); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	down := make(chan error, 1)
	go func() { down <- g.server.Shutdown(ctx) }()
	for { // until nobody is accepted any more
		c, err := net.Dial("tcp", g.addr)
		if err != nil {
			break
		}
		c.Close()
	}
	close(answer)
	if s := <-got; s != "done" {
		t.Errorf("the call under way got %q", s)
	}
	resp, err := http.ReadResponse(bufio.NewReader(idle), nil)
	if err != nil || resp.StatusCode != 503 || !resp.Close || resp.Header.Get("Postern-Executed") != "no" || resp.Header.Get("Retry-After") != "1" || ctx.Err() != nil {
		t.Errorf("an idle connection was not told at once: %v %v", resp, err)
	}
	if err := <-down; err == nil {
		t.Error("tunnels were cut off, and nothing said so")
	}
	for name, c := range map[string]net.Conn{"blind": blind, "upgraded": ws} {
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("the %s tunnel is still open: %v", name, err)
		}
	}
}

// TestF40LateCallIsAnswered: what a provider does not answer in time ends as a
// problem that says so, not as a broken connection.
func TestF40LateCallIsAnswered(t *testing.T) {
	there, answer := make(chan bool, 1), make(chan bool)
	g := newRig(t, origin(t, false, func(http.ResponseWriter, *http.Request) {
		there <- true
		<-answer
	}))
	defer close(answer)
	c := g.tunnel(apiHost+":443", apiHost)
	io.WriteString(c, "GET /slow HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
	<-there
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	down := make(chan error, 1)
	go func() { down <- g.server.Shutdown(ctx) }()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 503 || !strings.Contains(string(text), `"code":"shutting_down"`) || resp.Header.Get("Postern-Executed") != "maybe" {
		t.Errorf("%v %s", resp, text)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}

func TestP54ShutdownWaitsForTunnels(t *testing.T) {
	g := blindRig(t, echo)
	c := raw(t, g.addr)
	io.WriteString(c, "CONNECT other.example:80 HTTP/1.1\r\nHost: x\r\n\r\n")
	br := bufio.NewReader(c)
	if resp, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	down := make(chan error, 1)
	go func() { down <- g.server.Shutdown(t.Context()) }()
	for {
		c, err := net.Dial("tcp", g.addr)
		if err != nil {
			break
		}
		c.Close()
	}
	if resp, text, err := exchange(c, "GET", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil || resp.StatusCode != 200 {
		t.Errorf("in a tunnel during the drain: %v %v %s", resp, err, text)
	}
	c.Close()
	if err := <-down; err != nil {
		t.Error(err)
	}
}
