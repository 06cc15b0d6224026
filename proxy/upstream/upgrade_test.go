package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// echoUpgraded switches to a protocol that echoes lines. It is in the same
// packet as the 101 with its first one.
func echoUpgraded(t *testing.T, closed chan<- bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			t.Errorf("an upgrade over %s", r.Proto)
			return
		}
		to := r.Header.Get("Upgrade")
		if r.URL.Path == "/no" || to == "" {
			http.Error(w, "no upgrade", http.StatusUpgradeRequired)
			return
		}
		if r.URL.Path == "/other" {
			to = "other"
		}
		c, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: %s\r\nX-Key: %s\r\n\r\nhello\n", to, r.Header.Get("Sec-Websocket-Key"))
		for {
			line, err := buf.ReadString('\n')
			if err != nil {
				break
			}
			io.WriteString(c, "echo "+line)
		}
		io.WriteString(c, "bye\n")
		closed <- true
	}
}

func upgrade(url, to string) call {
	return call{url: url, header: http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {to}, "Sec-Websocket-Key": {"abc"}}}
}

// TestP16Upgrade speaks HTTP/1.1 for upgrades, also where all else is HTTP/2.
func TestP16Upgrade(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		closed := make(chan bool, 10)
		srv, tr := serve(t, h2, echoUpgraded(t, closed))
		for _, proto := range []string{"websocket", "my-proto/1"} {
			c := upgrade(srv.URL, proto)
			c.x.Deadline, c.x.Idle = time.Now().Add(200*time.Millisecond), 100*time.Millisecond
			resp, x, err := c.do(t.Context(), tr)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != 101 || resp.Header.Get("X-Key") != "abc" || resp.Header.Get("Upgrade") != proto || !x.Now.Answered {
				t.Errorf("%d %v", resp.StatusCode, resp.Header)
			}
			conn := resp.Body.(io.ReadWriteCloser)
			br := bufio.NewReader(conn)
			if line, err := br.ReadString('\n'); line != "hello\n" || err != nil {
				t.Fatalf("%q %v", line, err)
			}
			time.Sleep(time.Until(c.x.Deadline) + 50*time.Millisecond) // no limit of HTTP holds any more
			io.WriteString(conn, "x\n")
			if line, err := br.ReadString('\n'); line != "echo x\n" || err != nil {
				t.Fatalf("%q %v", line, err)
			}
			// F20: half-closed, the other direction finishes.
			if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Error(err)
			}
			if rest, err := io.ReadAll(br); string(rest) != "bye\n" || err != nil {
				t.Errorf("%q %v", rest, err)
			}
			await(t, closed, "the end")
			conn.Close()
			if idle(tr) != 0 {
				t.Error("the connection is used again")
			}
		}
	})
}

func TestP16UpgradeRefused(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		srv, tr := serve(t, h2, echoUpgraded(t, make(chan bool, 10)))
		resp, _, err := upgrade(srv.URL+"/no", "websocket").do(t.Context(), tr)
		if err != nil || resp.StatusCode != http.StatusUpgradeRequired {
			t.Fatal(resp, err)
		}
		if b, _ := io.ReadAll(resp.Body); string(b) != "no upgrade\n" {
			t.Errorf("%q", b)
		}
		if _, rw := resp.Body.(io.Writer); rw {
			t.Error("what is no upgrade can be written to")
		}
		_, x, err := upgrade(srv.URL+"/other", "websocket").do(t.Context(), tr)
		if !errors.Is(err, errUpgrade) || x.Now.Executed() != policy.Maybe {
			t.Error(err)
		}
		// Not an upgrade: h2c, or no Connection: upgrade.
		for _, c := range []call{upgrade(srv.URL, "h2c"), {url: srv.URL, header: http.Header{"Upgrade": {"websocket"}}}} {
			if h2 {
				continue
			}
			resp, _, err := c.do(t.Context(), tr)
			if err != nil || resp.StatusCode != http.StatusUpgradeRequired {
				t.Fatal(resp, err)
			}
			resp.Body.Close()
		}
	})
}

func TestP16UpgradeCancel(t *testing.T) {
	closed := make(chan bool, 1)
	srv, tr := serve(t, true, echoUpgraded(t, closed))
	ctx, cancel := context.WithCancel(t.Context())
	resp, _, err := upgrade(srv.URL, "websocket").do(ctx, tr)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	await(t, closed, "the end")
	resp.Body.Close()
}

// TestC10InsideH2: an unasked 101 over HTTP/2 is an error as well.
func TestC10InsideH2(t *testing.T) {
	p := h2peer(t, func(f *peer, stream uint32, _ map[string]string) {
		f.headers(stream, false, ":status", "101", "upgrade", "websocket")
		f.headers(stream, false, ":status", "200")
		f.WriteData(stream, true, []byte("ok"))
	})
	_, _, err := get(t, p.transport(t), p.URL)
	if err == nil || !strings.Contains(err.Error(), errUpgrade.Error()) {
		t.Error(err)
	}
}
