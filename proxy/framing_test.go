package proxy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/proxy"
)

// wire is an origin that keeps the bytes of everything sent to it, and answers
// every request it can read.
type wire struct {
	l    net.Listener
	wg   sync.WaitGroup
	mu   sync.Mutex
	seen map[net.Conn]*bytes.Buffer
}

func newWire(t *testing.T) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{l: l, seen: map[net.Conn]*bytes.Buffer{}}
	w.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.wg.Go(func() { w.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); w.wg.Wait() })
	return w
}

func (w *wire) serve(c net.Conn) {
	defer c.Close()
	br := bufio.NewReader(io.TeeReader(c, &kept{w, c}))
	for {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		io.Copy(io.Discard, r.Body)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
}

type kept struct {
	w *wire
	c net.Conn
}

func (k *kept) Write(p []byte) (int, error) {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	b := k.w.seen[k.c]
	if b == nil {
		b = new(bytes.Buffer)
		k.w.seen[k.c] = b
	}
	return b.Write(p)
}

// take returns the bytes of each connection since the last call.
func (w *wire) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, b := range w.seen {
		if b.Len() > 0 {
			out = append(out, b.String())
			b.Reset()
		}
	}
	return out
}

// unambiguous parses raw bytes strictly as requests: every line ends in CRLF,
// one of Content-Length and Transfer-Encoding at most and once, no folding, no
// odd names. It returns their request lines.
func unambiguous(raw string) ([]string, error) {
	var lines []string
	for raw != "" {
		head, rest, ok := strings.Cut(raw, "\r\n\r\n")
		if !ok {
			return lines, fmt.Errorf("no end of head in %q", raw)
		}
		if strings.ContainsAny(strings.ReplaceAll(head, "\r\n", ""), "\r\n\x00") {
			return lines, fmt.Errorf("bare CR, LF or NUL in %q", head)
		}
		fields := strings.Split(head, "\r\n")
		lines = append(lines, fields[0])
		length, chunked := -1, false
		for _, f := range fields[1:] {
			name, value, ok := strings.Cut(f, ": ")
			if !ok || strings.ContainsAny(name, " \t_") {
				return lines, fmt.Errorf("field %q", f)
			}
			switch strings.ToLower(name) {
			case "content-length":
				if length >= 0 {
					return lines, fmt.Errorf("two lengths in %q", head)
				}
				if _, err := fmt.Sscanf(value, "%d", &length); err != nil || fmt.Sprint(length) != value {
					return lines, fmt.Errorf("length %q", value)
				}
			case "transfer-encoding":
				if chunked || value != "chunked" {
					return lines, fmt.Errorf("encoding in %q", head)
				}
				chunked = true
			}
		}
		switch {
		case chunked && length >= 0:
			return lines, fmt.Errorf("both framings in %q", head)
		case chunked:
			_, rest, ok = strings.Cut("\r\n"+rest, "\r\n0\r\n")
			trailer, rest2, end := strings.Cut("\r\n"+rest, "\r\n\r\n")
			if rest = rest2; !ok || !end || strings.Contains(strings.ToLower(trailer), "content-length") {
				return lines, fmt.Errorf("no last chunk, or framing in a trailer: %q %q", head, trailer)
			}
		case length > len(rest):
			return lines, fmt.Errorf("%d bytes of %d in %q", len(rest), length, rest)
		case length > 0:
			rest = rest[length:]
		}
		raw = rest
	}
	return lines, nil
}

const apiHead = "Host: api.example.com\r\n"

// What two servers could frame in two ways.
var framings = []struct {
	name, text string
	refused    bool
}{
	{"plain", "POST / HTTP/1.1\r\n" + apiHead + "Content-Length: 5\r\n\r\nhello", false},
	{"chunked", "POST / HTTP/1.1\r\n" + apiHead + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false},
	{"CL and TE", "POST / HTTP/1.1\r\n" + apiHead + "Content-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
	{"CL twice, equal", "POST / HTTP/1.1\r\n" + apiHead + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", false},
	{"CL twice, different", "POST / HTTP/1.1\r\n" + apiHead + "Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello", true},
	{"CL list", "POST / HTTP/1.1\r\n" + apiHead + "Content-Length: 5, 5\r\n\r\nhello", true},
	{"CL signed", "POST / HTTP/1.1\r\n" + apiHead + "Content-Length: +5\r\n\r\nhello", true},
	{"CL negative", "POST / HTTP/1.1\r\n" + apiHead + "Content-Length: -5\r\n\r\nhello", true},
	{"CL hex", "POST / HTTP/1.1\r\n" + apiHead + "Content-Length: 0x5\r\n\r\nhello", true},
	{"CL huge", "POST / HTTP/1.1\r\n" + apiHead + "Content-Length: 99999999999999999999\r\n\r\nhello", true},
	{"TE unknown", "POST / HTTP/1.1\r\n" + apiHead + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", true},
	{"TE list", "POST / HTTP/1.1\r\n" + apiHead + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", true},
	{"TE twice", "POST / HTTP/1.1\r\n" + apiHead + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", true},
	{"TE folded", "POST / HTTP/1.1\r\n" + apiHead + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", false},
	{"obs-fold", "GET / HTTP/1.1\r\n" + apiHead + "X: a\r\n b\r\n\r\n", false},
	{"space before colon", "POST / HTTP/1.1\r\n" + apiHead + "Content-Length : 5\r\n\r\nhello", true},
	{"tab in name", "POST / HTTP/1.1\r\n" + apiHead + "Content-Length\t: 5\r\n\r\nhello", true},
	{"NUL in value", "GET / HTTP/1.1\r\n" + apiHead + "X: a\x00b\r\n\r\n", true},
	{"bare CR in value", "GET / HTTP/1.1\r\n" + apiHead + "X: a\rTransfer-Encoding: chunked\r\n\r\n", true},
	{"bare LF", "GET / HTTP/1.1\nHost: api.example.com\n\n", false},
	{"underscore", "POST / HTTP/1.1\r\n" + apiHead + "Content_Length: 5\r\n\r\n", true},
	{"two Hosts", "GET / HTTP/1.1\r\n" + apiHead + "Host: api.example.com\r\n\r\n", true},
	{"no Host", "GET / HTTP/1.1\r\n\r\n", true},
	{"HTTP/1.2", "GET / HTTP/1.2\r\n" + apiHead + "\r\n", true},
	{"HTTP/2.0", "GET / HTTP/2.0\r\n" + apiHead + "\r\n", true},
	{"preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true},
	{"HTTP/0.9", "GET /\r\n\r\n", true},
	{"TE on HTTP/1.0", "POST / HTTP/1.0\r\n" + apiHead + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n", false},
	{"space in target", "GET / x HTTP/1.1\r\n" + apiHead + "\r\n", true},
	{"chunk size with space", "POST / HTTP/1.1\r\n" + apiHead + "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", false},
	{"chunk size 0x5", "POST / HTTP/1.1\r\n" + apiHead + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", true},
	{"chunk without CRLF", "POST / HTTP/1.1\r\n" + apiHead + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", true},
	{"chunk ends in LF", "POST / HTTP/1.1\r\n" + apiHead + "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", true},
	{"chunk extension", "POST / HTTP/1.1\r\n" + apiHead + "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n", false},
	{"length in the trailer", "POST / HTTP/1.1\r\n" + apiHead + "Trailer: X-A\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\nX-A: b\r\n\r\n", false},
	{"framing as trailer", "POST / HTTP/1.1\r\n" + apiHead + "Trailer: Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n", true},
	{"TE named by Connection", "POST / HTTP/1.1\r\n" + apiHead + "Connection: Transfer-Encoding, Content-Length\r\nContent-Length: 5\r\n\r\nhello", false},
}

// Whatever is accepted goes out as one unambiguous request; what follows it on
// the connection is a request of its own, or nothing.
func TestC18C20Framing(t *testing.T) {
	w := newWire(t)
	g := newRig(t, sender(t, "http", w.l.Addr().String(), nil), func(_ *rig, l *proxy.Limits) { l.Header, l.Idle = time.Second, time.Second })
	for i, f := range framings {
		t.Run(f.name, func(t *testing.T) {
			c := g.tunnel(apiHost+":443", apiHost)
			path := fmt.Sprintf("/%d ", i)
			io.WriteString(c, strings.Replace(f.text, "/ ", path, 1))
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				if !f.refused {
					t.Error(err)
				}
				resp = &http.Response{StatusCode: 400}
			}
			if refused := resp.StatusCode >= 400; refused != f.refused {
				t.Errorf("answered %d", resp.StatusCode)
			}
			c.CloseWrite()
			io.Copy(io.Discard, c) // until the proxy is through with the connection
			lines := 0
			for _, sent := range w.take() {
				if !strings.Contains(sent, path) {
					continue // the rest of what was refused before
				}
				got, err := unambiguous(sent)
				// A refused body breaks off in the middle, with the connection.
				if err != nil && !f.refused {
					t.Error(err)
				}
				lines += len(got)
			}
			if lines > 1 || !f.refused && lines != 1 {
				t.Errorf("%d requests arrived", lines)
			}
		})
	}
}

// Nothing that a framing could hide is taken for a request.
func TestC18NothingIsSmuggled(t *testing.T) {
	w := newWire(t)
	g := newRig(t, sender(t, "http", w.l.Addr().String(), nil), func(_ *rig, l *proxy.Limits) { l.Header, l.Idle = time.Second, time.Second })
	const hidden = "GET /smuggled HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
	for name, text := range map[string]string{
		"in a body":           fmt.Sprintf("POST / HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s", apiHead, len(hidden), hidden),
		"in a chunk":          fmt.Sprintf("POST / HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", apiHead, len(hidden), hidden),
		"after HTTP/1.0":      "POST / HTTP/1.0\r\n" + apiHead + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + hidden,
		"after an upgrade":    "GET / HTTP/1.1\r\n" + apiHead + "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: " + fmt.Sprint(len(hidden)) + "\r\n\r\n" + hidden,
		"behind differing CL": "POST / HTTP/1.1\r\n" + apiHead + "Content-Length: 0\r\nContent-Length: " + fmt.Sprint(len(hidden)) + "\r\n\r\n" + hidden,
	} {
		c := g.tunnel(apiHost+":443", apiHost)
		io.WriteString(c, text)
		br := bufio.NewReader(c)
		if resp, err := http.ReadResponse(br, nil); err == nil {
			io.Copy(io.Discard, resp.Body)
		}
		c.CloseWrite()
		io.Copy(io.Discard, br)
		for _, sent := range w.take() {
			if lines, err := unambiguous(sent); err != nil || len(lines) != 1 || strings.Contains(lines[0], "smuggled") {
				t.Errorf("%s: %q %v", name, lines, err)
			}
		}
	}
}
