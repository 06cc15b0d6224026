package upstream

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/postern-proxy/postern/policy"
)

// peer is one connection of a server that speaks HTTP/2 frame by frame.
type peer struct {
	*http2.Framer
	conn net.Conn
	n    int // of the connection, from 0
	buf  bytes.Buffer
	enc  *hpack.Encoder
}

func (p *peer) headers(stream uint32, end bool, kv ...string) {
	p.buf.Reset()
	for i := 0; i < len(kv); i += 2 {
		p.enc.WriteField(hpack.HeaderField{Name: kv[i], Value: kv[i+1]})
	}
	p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: p.buf.Bytes(), EndHeaders: true, EndStream: end})
}

type h2server struct {
	URL      string
	requests atomic.Int64
	conns    atomic.Int64
	acked    atomic.Int64 // connections whose settings the client knows
	roots    *x509.CertPool
}

func (s *h2server) transport(t *testing.T) *Transport { return start(t, Options{RootCAs: s.roots}) }

// h2peer calls handle when the headers of a request have arrived. Settings may
// be given.
func h2peer(t *testing.T, handle func(p *peer, stream uint32, fields map[string]string), settings ...http2.Setting) *h2server {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	s := &h2server{roots: x509.NewCertPool()}
	s.roots.AddCert(cert.Certificate())
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: cert.TLS.Certificates, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	s.URL = "https://" + l.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := int(s.conns.Add(1)) - 1
			wg.Go(func() { s.serve(&peer{conn: c, n: n}, handle, settings) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return s
}

func (s *h2server) serve(p *peer, handle func(*peer, uint32, map[string]string), settings []http2.Setting) {
	defer p.conn.Close()
	p.enc = hpack.NewEncoder(&p.buf)
	if _, err := io.ReadFull(p.conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	p.Framer = http2.NewFramer(p.conn, p.conn)
	p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.WriteSettings(settings...)
	for {
		f, err := p.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if f.IsAck() {
				s.acked.Add(1)
			} else {
				p.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				p.WritePing(true, f.Data)
			}
		case *http2.MetaHeadersFrame:
			if f.PseudoValue("method") == "" {
				continue // trailers
			}
			s.requests.Add(1)
			fields := map[string]string{}
			for _, h := range f.Fields {
				fields[h.Name] += h.Value
			}
			handle(p, f.StreamID, fields)
		}
	}
}

func (p *peer) ok(stream uint32) {
	p.headers(stream, false, ":status", "200")
	p.WriteData(stream, true, []byte("ok"))
}

// TestP19Refused: what HTTP/2 lets a provider say about work it did not do, and
// that nothing is sent again for it.
func TestP19Refused(t *testing.T) {
	tests := []struct {
		name     string
		second   func(p *peer, stream uint32)
		executed policy.Executed
	}{
		{"REFUSED_STREAM", func(p *peer, s uint32) { p.WriteRSTStream(s, http2.ErrCodeRefusedStream) }, policy.No},
		{"GOAWAY before it", func(p *peer, s uint32) { p.WriteGoAway(s-2, http2.ErrCodeNo, nil) }, policy.No},
		{"GOAWAY in anger before it", func(p *peer, s uint32) { p.WriteGoAway(s-2, http2.ErrCodeEnhanceYourCalm, nil) }, policy.No},
		{"GOAWAY after it, then closed", func(p *peer, s uint32) { p.WriteGoAway(s, http2.ErrCodeNo, nil); p.conn.Close() }, policy.Maybe},
		{"CANCEL", func(p *peer, s uint32) { p.WriteRSTStream(s, http2.ErrCodeCancel) }, policy.Maybe},
		{"INTERNAL_ERROR", func(p *peer, s uint32) { p.WriteRSTStream(s, http2.ErrCodeInternal) }, policy.Maybe},
		{"PROTOCOL_ERROR", func(p *peer, s uint32) { p.WriteRSTStream(s, http2.ErrCodeProtocol) }, policy.Maybe},
		{"closed", func(p *peer, _ uint32) { p.conn.Close() }, policy.Maybe},
		{"garbage", func(p *peer, _ uint32) { p.conn.Write(bytes.Repeat([]byte("x"), 100)) }, policy.Maybe},
	}
	for _, tt := range tests {
		for _, method := range []string{"GET", "POST", "POST with a body"} {
			t.Run(tt.name+"/"+method, func(t *testing.T) {
				s := h2peer(t, func(p *peer, stream uint32, _ map[string]string) {
					if p.n > 0 || stream != 3 {
						p.ok(stream)
					} else {
						tt.second(p, stream)
					}
				})
				tr := s.transport(t)
				if got, _, err := get(t, tr, s.URL); got != "ok" || err != nil {
					t.Fatal(got, err)
				}
				c := call{method: method[:3], url: s.URL, header: http.Header{"Idempotency-Key": {"k"}}}
				if strings.HasPrefix(method, "POST") {
					c.method = "POST"
				}
				if strings.HasSuffix(method, "body") {
					c.body, c.length = text("hello")
				}
				_, x, err := c.do(t.Context(), tr)
				var e *Error
				if !errors.As(err, &e) || x.Now.Executed() != tt.executed || !x.Now.Connected || !x.Now.Reused {
					t.Errorf("%v %+v", err, x.Now)
				}
				if n := s.requests.Load(); n != 2 {
					t.Errorf("%d requests arrived", n)
				}
				if got, _, err := get(t, tr, s.URL); got != "ok" || err != nil {
					t.Errorf("afterwards: %q %v", got, err)
				}
			})
		}
	}
}

// TestP19FirstStream: a connection that is refused on its first request.
func TestP19FirstStream(t *testing.T) {
	s := h2peer(t, func(p *peer, _ uint32, _ map[string]string) { p.WriteGoAway(0, http2.ErrCodeInadequateSecurity, nil) })
	_, x, err := get(t, s.transport(t), s.URL)
	if err == nil || x.Now.Executed() != policy.No || s.requests.Load() != 1 {
		t.Errorf("%v %+v", err, x.Now)
	}
}

func TestC23ResponsesH2(t *testing.T) {
	status := func(v string) func(*peer, uint32) {
		return func(p *peer, s uint32) { p.headers(s, true, ":status", v) }
	}
	tests := map[string]func(p *peer, stream uint32){
		"status 099": status("099"),
		"status 600": status("600"),
		"status 999": status("999"),
		"status abc": status("abc"),
		"no status":  func(p *peer, s uint32) { p.headers(s, true, "a", "b") },
		"65 KB":      func(p *peer, s uint32) { p.headers65(s) },
		"1xx flood":  func(p *peer, s uint32) { p.flood(s, 1000, 10) },
		"large 1xx":  func(p *peer, s uint32) { p.flood(s, 9, 9000) },
		"data first": func(p *peer, s uint32) { p.WriteData(s, true, []byte("x")) },
		"push": func(p *peer, s uint32) {
			p.WritePushPromise(http2.PushPromiseParam{StreamID: s, PromiseID: 2, EndHeaders: true})
		},
		"short": func(p *peer, s uint32) {
			p.headers(s, false, ":status", "200", "content-length", "5")
			p.WriteData(s, true, []byte("hel"))
		},
		"none of it": func(p *peer, s uint32) { p.headers(s, true, ":status", "200", "content-length", "5") },
		"long": func(p *peer, s uint32) {
			p.headers(s, false, ":status", "200", "content-length", "2")
			p.WriteData(s, true, []byte("hello"))
		},
		"reset": func(p *peer, s uint32) {
			p.headers(s, false, ":status", "200")
			p.WriteRSTStream(s, http2.ErrCodeInternal)
		},
		"upper case":  func(p *peer, s uint32) { p.headers(s, true, ":status", "200", "X-A", "b") },
		"LF in value": func(p *peer, s uint32) { p.headers(s, true, ":status", "200", "x-a", "b\nc") },
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			s := h2peer(t, func(p *peer, stream uint32, _ map[string]string) { f(p, stream) })
			got, x, err := get(t, s.transport(t), s.URL)
			var e *Error
			if !errors.As(err, &e) || s.requests.Load() != 1 || x.Now.Executed() == policy.No {
				t.Errorf("%q %v %+v", got, err, x.Now)
			}
		})
	}
}

func (p *peer) headers65(s uint32) {
	p.buf.Reset()
	p.enc.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	for i := range 9 {
		p.enc.WriteField(hpack.HeaderField{Name: fmt.Sprint("x", i), Value: strings.Repeat("\x00\xff"[1:], 8000), Sensitive: true})
	}
	block := bytes.Clone(p.buf.Bytes())
	for i := 0; len(block) > 0; i++ {
		n := min(len(block), 16000)
		if i == 0 {
			p.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: block[:n], EndStream: true, EndHeaders: n == len(block)})
		} else {
			p.WriteContinuation(s, n == len(block), block[:n])
		}
		block = block[n:]
	}
}

func (p *peer) flood(s uint32, n, size int) {
	for range n {
		p.headers(s, false, ":status", "103", "link", strings.Repeat("a", size))
	}
	p.ok(s)
}

// TestP8Streams: many calls share connections, no more streams than the
// provider allows on each, and one dial at a time.
func TestP8Streams(t *testing.T) {
	var mu sync.Mutex
	open := map[*peer]map[uint32]bool{}
	most := 0
	release := make(chan bool)
	s := h2peer(t, func(p *peer, stream uint32, _ map[string]string) {
		mu.Lock()
		defer mu.Unlock()
		if open[p] == nil {
			open[p] = map[uint32]bool{}
		}
		open[p][stream] = true
		most = max(most, len(open[p]))
		go func() {
			<-release
			mu.Lock()
			defer mu.Unlock()
			delete(open[p], stream)
			p.ok(stream)
		}()
	}, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 10})
	tr := s.transport(t)
	var wg sync.WaitGroup
	for n := range int64(35) {
		wg.Go(func() {
			if got, _, err := get(t, tr, s.URL); got != "ok" || err != nil {
				t.Error(got, err)
			}
		})
		for end := time.Now().Add(patience); (s.requests.Load() <= n || s.acked.Load() < s.conns.Load()) && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	close(release)
	wg.Wait()
	if most > 10 || s.conns.Load() != 4 {
		t.Errorf("%d connections, up to %d streams", s.conns.Load(), most)
	}
}

// TestP8ColdStart: calls that begin together dial an HTTP/2 host once.
func TestP8ColdStart(t *testing.T) {
	s := h2peer(t, func(p *peer, stream uint32, _ map[string]string) { p.ok(stream) })
	tr := s.transport(t)
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			if got, _, err := get(t, tr, s.URL); got != "ok" || err != nil {
				t.Error(got, err)
			}
		})
	}
	wg.Wait()
	if s.conns.Load() != 1 {
		t.Errorf("%d connections", s.conns.Load())
	}
}

// TestC20RequestHeadH2 is what a provider sees of a request.
func TestC20RequestHeadH2(t *testing.T) {
	seen := make(chan map[string]string, 1)
	s := h2peer(t, func(p *peer, stream uint32, f map[string]string) { seen <- f; p.ok(stream) })
	body, n := text("abc")
	c := call{method: "POST", url: s.URL + "/a%2Fb?c;d=%zz", body: body, length: n, header: http.Header{
		"Connection": {"close, X-A"}, "Keep-Alive": {"5"}, "Proxy-Connection": {"x"}, "Transfer-Encoding": {"chunked"}, "Content-Length": {"99"},
		"Upgrade": {"h2c"}, "Http2-Settings": {"x"}, "Expect": {"100-continue"}, "X-A": {"1"}, "Te": {"trailers"},
		"Proxy-Authorization": {"secret"}, "Host": {"evil"},
	}}
	keys := len(c.header)
	resp, _, err := c.do(t.Context(), s.transport(t))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	got := await(t, seen, "the request")
	want := map[string]string{
		":method": "POST", ":path": "/a%2Fb?c;d=%zz", ":scheme": "https", ":authority": strings.TrimPrefix(s.URL, "https://"),
		"content-length": "3", "x-a": "1", "te": "trailers",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if len(c.header) != keys {
		t.Errorf("the headers of the caller were changed: %v", c.header)
	}
}
