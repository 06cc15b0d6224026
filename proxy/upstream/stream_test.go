package upstream

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

func TestP13Trailers(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Announced")
			w.WriteHeader(200)
			io.Copy(io.Discard, r.Body)
			io.WriteString(w, "body")
			w.Header().Set("X-Announced", r.Trailer.Get("X-Sum"))
			w.Header().Set(http.TrailerPrefix+"X-Late", "late")
		})
		for _, n := range []int{0, 10, 1 << 20} {
			trailer := http.Header{"X-Sum": nil}
			body := io.MultiReader(strings.NewReader(strings.Repeat("x", n)), atEOF(func() { trailer["X-Sum"] = []string{"abc"} }))
			resp, _, err := call{method: "POST", url: srv.URL, body: body, length: -1, trailer: trailer}.do(t.Context(), tr)
			if err != nil {
				t.Fatal(err)
			}
			if _, announced := resp.Trailer["X-Announced"]; !announced || resp.Header.Get("Trailer") != "" {
				t.Errorf("announced: %v, headers %v", resp.Trailer, resp.Header)
			}
			got, err := io.ReadAll(resp.Body)
			if string(got) != "body" || err != nil || resp.Trailer.Get("X-Announced") != "abc" || resp.Trailer.Get("X-Late") != "late" {
				t.Errorf("%d: %q %v %v", n, got, err, resp.Trailer)
			}
			resp.Body.Close()
		}
	})
}

// TestC21Trailer: a trailer that would be more than one is not sent.
func TestC21Trailer(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		whole := make(chan error, 1)
		srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			whole <- err
		})
		_, _, err := call{method: "POST", url: srv.URL, body: strings.NewReader("x"), length: -1, trailer: http.Header{"X-T": {"hunter2\r\nX: y"}}}.do(t.Context(), tr)
		var d *policy.Denial
		if !errors.As(err, &d) || d.Code != policy.BadRequest || strings.Contains(err.Error(), "hunter2") {
			t.Error(err)
		}
		if await(t, whole, "the request") == nil {
			t.Error("the request came to its end")
		}
	})
}

// TestP15LateTrailers: what comes before slow trailers does not wait for them.
func TestP15LateTrailers(t *testing.T) {
	next := make(chan bool)
	s := raw(t, func(s *wireServer, _ int, c net.Conn, br *bufio.Reader) {
		s.read(br)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n")
		if <-next {
			io.WriteString(c, "A: b\r\n\r\n")
		}
	})
	resp, _, err := call{url: s.URL}.do(t.Context(), start(t, Options{}))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	buf := make([]byte, 100)
	if n, err := resp.Body.Read(buf); string(buf[:n]) != "hello" || err != nil {
		t.Fatalf("%q %v", buf[:n], err)
	}
	next <- true
	if n, err := resp.Body.Read(buf); n != 0 || err != io.EOF || resp.Trailer.Get("A") != "b" {
		t.Errorf("%d %v %v", n, err, resp.Trailer)
	}
}

// atEOF is an empty reader that calls f.
type atEOF func()

func (f atEOF) Read([]byte) (int, error) { f(); return 0, io.EOF }

// TestP15Events: what the provider flushes is there at once, and before it
// sends more.
func TestP15Events(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		next := make(chan bool)
		srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			for i := 0; <-next; i++ {
				fmt.Fprintf(w, "data: %d\n\n", i)
				w.(http.Flusher).Flush()
			}
		})
		resp, _, err := call{url: srv.URL}.do(t.Context(), tr) // before the first event
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		br := bufio.NewReader(resp.Body)
		for i := range 5 {
			next <- true
			line, err := br.ReadString('\n')
			if want := fmt.Sprintf("data: %d\n", i); line != want || err != nil {
				t.Fatalf("%q %v", line, err)
			}
			br.ReadString('\n')
		}
		next <- false
		if _, err := br.ReadByte(); err != io.EOF {
			t.Error(err)
		}
	})
}

// TestP15Uploads: what the application sends is passed on at once.
func TestP15Uploads(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex()
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			br := bufio.NewReader(r.Body)
			for {
				line, err := br.ReadString('\n')
				if err != nil {
					return
				}
				io.WriteString(w, "echo "+line)
				w.(http.Flusher).Flush()
			}
		})
		pr, pw := io.Pipe()
		resp, _, err := call{method: "POST", url: srv.URL, body: pr, length: -1}.do(t.Context(), tr)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		br := bufio.NewReader(resp.Body)
		for i := range 5 {
			fmt.Fprintf(pw, "%d\n", i)
			if line, err := br.ReadString('\n'); line != fmt.Sprintf("echo %d\n", i) || err != nil {
				t.Fatalf("%q %v", line, err)
			}
		}
		pw.Close()
		if _, err := br.ReadByte(); err != io.EOF {
			t.Error(err)
		}
	})
}

func TestP13EarlyHintsBoth(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
			n, _ := strconv.Atoi(r.URL.Query().Get("n"))
			w.Header().Set("Link", "</a.css>")
			for range n {
				w.WriteHeader(http.StatusEarlyHints)
			}
			w.WriteHeader(200)
		})
		for n, want := range map[int]bool{0: true, 1: true, 10: true, 11: false, 100: false} {
			var seen atomic.Int64
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				if code == 103 && h.Get("Link") == "</a.css>" {
					seen.Add(1)
				}
				return nil
			}})
			resp, x, err := call{url: srv.URL + "/?n=" + strconv.Itoa(n)}.do(ctx, tr)
			if (err == nil) != want || want && seen.Load() != int64(n) || seen.Load() > mostInformed {
				t.Errorf("%d: %d seen, %v", n, seen.Load(), err)
			}
			if err == nil {
				resp.Body.Close()
			} else if x.Now.Executed() != policy.Maybe {
				t.Errorf("%d: %+v", n, x.Now)
			}
		}
	})
}

// TestF21Expect: a provider never sees the expectation, so it makes no
// difference what it would do about it.
func TestF21Expect(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			fmt.Fprint(w, r.Header.Get("Expect"), len(b))
		})
		for _, n := range []int64{5, 100 << 10} {
			c := call{method: "POST", url: srv.URL, header: http.Header{"Expect": {"100-continue"}}, body: strings.NewReader(strings.Repeat("x", int(n))), length: n}
			resp, _, err := c.do(t.Context(), tr)
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := io.ReadAll(resp.Body); string(b) != fmt.Sprint(n) {
				t.Errorf("%q", b)
			}
			resp.Body.Close()
		}
	})
	for name, response := range map[string]string{
		"100 though not asked": "HTTP/1.1 100 Continue\r\n\r\n" + ok, "twice": strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 2) + ok, "final only": ok,
	} {
		s := answer(t, response, false)
		tr := start(t, Options{})
		for range 2 {
			body, n := text("hello")
			resp, _, err := call{method: "POST", url: s.URL, header: http.Header{"Expect": {"100-continue"}}, body: body, length: n}.do(t.Context(), tr)
			if err != nil {
				t.Fatal(name, err)
			}
			if b, _ := io.ReadAll(resp.Body); string(b) != "ok" {
				t.Errorf("%s: %q", name, b)
			}
		}
		if s.conns.Load() != 1 {
			t.Errorf("%s: %d connections", name, s.conns.Load())
		}
	}
}

// TestP15Cancel: when the application leaves, the provider notices at once, in
// whatever the attempt was doing.
func TestP15Cancel(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		for _, when := range []string{"headers", "body", "between reads", "upload"} {
			t.Run(when, func(t *testing.T) {
				here, gone := make(chan bool, 1), make(chan bool, 1)
				srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
					switch when {
					case "headers":
						here <- true
						<-r.Context().Done()
					case "upload":
						r.Body.Read(make([]byte, 1))
						here <- true
						io.Copy(io.Discard, r.Body)
					default:
						w.WriteHeader(200)
						w.(http.Flusher).Flush()
						here <- true
						<-r.Context().Done()
					}
					gone <- true
				})
				cause := errors.New("the application left")
				ctx, cancel := context.WithCancelCause(t.Context())
				c := call{method: "POST", url: srv.URL}
				if when == "upload" {
					pr, pw := io.Pipe()
					defer pw.Close()
					go pw.Write([]byte("x"))
					c.body, c.length = pr, -1
				}
				go func() { <-here; cancel(cause) }()
				resp, _, err := c.do(ctx, tr)
				if when == "between reads" {
					await(t, gone, "the cancellation") // without a read or a close of ours
				}
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				if !errors.Is(err, cause) {
					t.Error(err)
				}
				if when != "between reads" {
					await(t, gone, "the cancellation")
				}
			})
		}
	})
}

// TestF17Reset: a connection that breaks in the middle of a body is an error.
func TestF17Reset(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		for _, length := range []bool{true, false} {
			srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
				if length {
					w.Header().Set("Content-Length", "100")
				}
				io.WriteString(w, "half")
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			})
			resp, x, err := call{url: srv.URL}.do(t.Context(), tr)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			var e *Error
			if string(b) != "half" || !errors.As(err, &e) || e.Op != OpBody || e.Timeout || !x.Now.Answered || x.Now.Whole {
				t.Errorf("%q %v", b, err)
			}
			resp.Body.Close()
		}
	})
}

// TestP17EarlyAnswer: a provider that answers before it has read the body gets
// no more of it, and its answer is passed on.
func TestP17EarlyAnswer(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		for name, status := range map[string]int{"stuck application": 401, "large body": 413} {
			t.Run(name, func(t *testing.T) {
				srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
					http.NewResponseController(w).EnableFullDuplex() // or it reads the body first
					w.WriteHeader(status)
					io.WriteString(w, "no")
				})
				c := call{method: "POST", url: srv.URL, length: -1}
				var read atomic.Int64
				if status == 401 {
					pr, pw := io.Pipe() // nothing comes
					defer pw.Close()
					c.body = pr
				} else {
					c.body, c.length = &endless{read: &read}, 1<<40
				}
				resp, x, err := c.do(t.Context(), tr)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != status || string(b) != "no" || err != nil || x.Now.Complete {
					t.Errorf("%d %q %v %+v", resp.StatusCode, b, err, x.Now)
				}
				if idle(tr) != 0 {
					t.Error("the connection is used again")
				}
				if n := read.Load(); n > 64<<20 {
					t.Errorf("%d bytes were read", n)
				}
			})
		}
	})
}

// TestP17AnswerAndReset: a provider that answers and then slams the door is
// still heard.
func TestP17AnswerAndReset(t *testing.T) {
	s := raw(t, func(_ *wireServer, _ int, c net.Conn, br *bufio.Reader) {
		http.ReadRequest(br)
		io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
	})
	resp, _, err := call{method: "POST", url: s.URL, body: &endless{new(atomic.Int64)}, length: 1 << 40}.do(t.Context(), start(t, Options{}))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); resp.StatusCode != 413 || string(b) != "no" || err != nil {
		t.Errorf("%d %q %v", resp.StatusCode, b, err)
	}
}

// TestP17StopsSending: the rest of a body that was answered already does not go
// out, although the provider would read it.
func TestP17StopsSending(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		const far = 200 << 20
		received := make(chan int64, 1)
		srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			rc.EnableFullDuplex()
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			rc.Flush()
			n := int64(0)
			for buf := make([]byte, 64<<10); n < far; {
				rc.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
				m, err := r.Body.Read(buf)
				n += int64(m)
				if err != nil {
					break
				}
			}
			received <- n
		})
		resp, _, err := call{method: "POST", url: srv.URL, body: &endless{new(atomic.Int64)}, length: -1}.do(t.Context(), tr)
		if err != nil {
			t.Fatal(err)
		}
		if n := await(t, received, "the end of the request"); n >= far {
			t.Errorf("%d bytes arrived", n)
		}
		resp.Body.Close()
	})
}

// endless is a body without end.
type endless struct{ read *atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.read.Add(int64(len(p)))
	return len(p), nil
}

// TestErrRequestBody: an application that breaks off is told apart from a
// provider that does, and the provider sees no complete request.
func TestErrRequestBody(t *testing.T) {
	broke := errors.New("connection reset by the application")
	both(t, func(t *testing.T, h2 bool) {
		whole := make(chan error, 1)
		srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			whole <- err
		})
		for _, length := range []int64{10, 1 << 20, -1} {
			for _, sent := range []string{"", "abc"} {
				body := io.MultiReader(strings.NewReader(sent), failing{broke})
				resp, x, err := call{method: "POST", url: srv.URL, body: body, length: length}.do(t.Context(), tr)
				if err == nil {
					resp.Body.Close()
				}
				if !errors.Is(err, ErrRequestBody) || !errors.Is(err, broke) {
					t.Errorf("%d %q: %v", length, sent, err)
				}
				want := policy.Maybe
				if length == 10 {
					want = policy.No // it was read before anything was sent
				}
				if x.Now.Executed() != want {
					t.Errorf("%d %q: %+v", length, sent, x.Now)
				}
				if want == policy.Maybe && await(t, whole, "the request") == nil {
					t.Errorf("%d %q: the provider saw the end of the body", length, sent)
				}
			}
		}
		short, _ := text("abc")
		if _, _, err := (call{method: "POST", url: srv.URL, body: short, length: 1 << 20}).do(t.Context(), tr); !errors.Is(err, ErrRequestBody) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestF18Deadlines is every limit of an exchange, and what each is called.
func TestF18Deadlines(t *testing.T) {
	const soon, late = 150 * time.Millisecond, time.Hour
	both(t, func(t *testing.T, h2 bool) {
		release := make(chan bool)
		srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/silent":
				<-release
			case "/deaf": // reads no body and says nothing
				<-release
			case "/stalls":
				io.WriteString(w, "half")
				w.(http.Flusher).Flush()
				<-release
			case "/drips":
				for range 10 {
					io.WriteString(w, "drip")
					w.(http.Flusher).Flush()
					time.Sleep(soon / 5)
				}
			case "/reads":
				io.Copy(io.Discard, r.Body)
			}
		})
		defer close(release)
		attempt := func() policy.Exchange {
			return policy.Exchange{Deadline: time.Now().Add(soon), Total: time.Now().Add(late), Idle: late}
		}
		total := func() policy.Exchange { return policy.Exchange{Total: time.Now().Add(soon)} }
		idle := func() policy.Exchange { return policy.Exchange{Total: time.Now().Add(late), Idle: soon} }
		idleOnly := func() policy.Exchange { return policy.Exchange{Idle: soon} }
		pr, pw := io.Pipe()
		defer pw.Close()
		tests := []struct {
			path string
			x    func() policy.Exchange
			body io.Reader
			op   Op // "" is no error
			app  bool
		}{
			{"/silent", attempt, nil, OpHeaders, false},
			{"/silent", total, nil, OpHeaders, false},
			{"/stalls", attempt, nil, OpBody, false},
			{"/stalls", idle, nil, OpBody, false},
			{"/stalls", idleOnly, nil, OpBody, false},
			{"/drips", attempt, nil, "", false}, // a stream outlives the deadlines
			{"/drips", total, nil, "", false},
			{"/drips", idle, nil, "", false},
			{"/deaf", attempt, &endless{new(atomic.Int64)}, OpWrite, false},
			{"/deaf", idleOnly, &endless{new(atomic.Int64)}, OpWrite, false},
			{"/reads", attempt, pr, OpWrite, false},
			{"/reads", idle, pr, "", true}, // the application is the one that stalls
			{"/reads", idleOnly, pr, "", true},
		}
		for _, tt := range tests {
			c := call{method: "POST", url: srv.URL + tt.path, x: tt.x(), body: tt.body}
			if tt.body != nil {
				c.length = -1
			}
			if tt.path == "/stalls" && c.x.Deadline != (time.Time{}) {
				c.x.Idle = soon
			}
			resp, _, err := c.do(t.Context(), tr)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			var e *Error
			switch {
			case tt.app:
				if !errors.Is(err, ErrRequestBody) {
					t.Errorf("%s: %v", tt.path, err)
				}
			case tt.op == "":
				if err != nil {
					t.Errorf("%s: %v", tt.path, err)
				}
			default:
				ok := errors.As(err, &e) && e.Timeout && (e.Op == tt.op || tt.path == "/deaf" && e.Op == OpHeaders)
				if !ok {
					t.Errorf("%s: %v", tt.path, err)
				}
			}
		}
	})
}

// TestF18VirtualTime runs in memory, where three hours take no time.
func TestF18VirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := New(Options{IdleTimeout: time.Hour, Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				br := bufio.NewReader(theirs)
				for i := 0; ; i++ {
					if _, err := http.ReadRequest(br); err != nil {
						return
					}
					if i == 0 {
						time.Sleep(2 * time.Hour)
						io.WriteString(theirs, ok)
					}
				}
			}()
			return ours, nil
		}})
		defer tr.Close()
		for i, want := range []time.Duration{2 * time.Hour, 3 * time.Hour} {
			begin := time.Now()
			resp, _, err := call{url: "http://127.0.0.1", x: policy.Exchange{Deadline: begin.Add(3 * time.Hour), Idle: time.Minute}}.do(t.Context(), tr)
			if err == nil {
				resp.Body.Close()
			}
			if took := time.Since(begin); took != want || (err == nil) != (i == 0) {
				t.Errorf("%v after %v", err, took)
			}
		}
	})
}

// TestF18Past: an attempt that is late before it begins sends nothing.
func TestF18Past(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		var n atomic.Int64
		srv, tr := serve(t, h2, func(http.ResponseWriter, *http.Request) { n.Add(1) })
		for i := range 2 {
			_, x, err := call{url: srv.URL, x: policy.Exchange{Total: time.Now().Add(-time.Second)}}.do(t.Context(), tr)
			var e *Error
			if !errors.As(err, &e) || !e.Timeout || n.Load() != int64(i) || x.Now.Executed() != policy.No {
				t.Errorf("%v %+v", err, x.Now)
			}
			if _, _, err := get(t, tr, srv.URL); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestStreaming100MB goes both ways at once, in little memory.
func TestStreaming100MB(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		const size = 100 << 20
		srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex()
			w.WriteHeader(200)
			io.Copy(w, r.Body)
		})
		for _, length := range []int64{size, -1} {
			sent, got := sha256.New(), sha256.New()
			var seed [32]byte
			rand.Read(seed[:])
			body := io.TeeReader(io.LimitReader(mrand.NewChaCha8(seed), size), sent)
			resp, x, err := call{method: "POST", url: srv.URL, body: body, length: length}.do(t.Context(), tr)
			if err != nil {
				t.Fatal(err)
			}
			var most uint64
			buf := make([]byte, 32<<10)
			n := int64(0)
			for i := 0; ; i++ {
				m, err := resp.Body.Read(buf)
				got.Write(buf[:m])
				n += int64(m)
				if i%1000 == 0 {
					var s runtime.MemStats
					runtime.ReadMemStats(&s)
					most = max(most, s.HeapInuse)
				}
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			resp.Body.Close()
			if n != size || string(sent.Sum(nil)) != string(got.Sum(nil)) || most > 64<<20 {
				t.Errorf("%d bytes came back, %d MiB of heap", n, most>>20)
			}
			_ = x
		}
	})
}

// TestC48Answers: 200 goroutines, some of which give up at random, and never
// does one get the answer of another.
func TestC48Answers(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			if d, _ := strconv.Atoi(r.Header.Get("X-Delay")); d > 0 {
				time.Sleep(time.Duration(d) * time.Microsecond)
			}
			w.Header().Set("X-Tag", r.Header.Get("X-Tag"))
			for range 1 + len(b)/1000 {
				io.WriteString(w, r.Header.Get("X-Tag")+"\n")
				w.(http.Flusher).Flush()
			}
		})
		var wg sync.WaitGroup
		var whole, broken atomic.Int64
		for g := range 200 {
			wg.Go(func() {
				for i := range 8 {
					tag := fmt.Sprintf("%d-%d", g, i)
					ctx, cancel := context.WithCancel(t.Context())
					if mrand.IntN(2) == 0 {
						go func() {
							time.Sleep(time.Duration(mrand.IntN(3000)) * time.Microsecond)
							cancel()
						}()
					}
					n := int64(mrand.IntN(3) * mrand.IntN(40_000))
					c := call{
						method: "POST", url: srv.URL, body: strings.NewReader(strings.Repeat("x", int(n))), length: n,
						header: http.Header{"X-Tag": {tag}, "X-Delay": {strconv.Itoa(mrand.IntN(2000))}},
					}
					if mrand.IntN(3) == 0 && n > 0 {
						c.length = -1
					}
					resp, _, err := c.do(ctx, tr)
					if err != nil {
						broken.Add(1)
						cancel()
						continue
					}
					if mrand.IntN(4) == 0 {
						resp.Body.Close() // unread
						cancel()
						continue
					}
					b, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					cancel()
					want := strings.Repeat(tag+"\n", int(1+n/1000))
					switch {
					case resp.Header.Get("X-Tag") != tag || !strings.HasPrefix(want, string(b)):
						t.Errorf("%s got %s, %q", tag, resp.Header.Get("X-Tag"), b)
					case err == nil && string(b) != want:
						t.Errorf("%s: a short answer ended cleanly", tag)
					case err == nil:
						whole.Add(1)
					default:
						broken.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if whole.Load() < 200 || broken.Load() < 50 {
			t.Errorf("%d whole, %d broken: this shows little", whole.Load(), broken.Load())
		}
	})
}

// TestC48CancelledLate: a connection that is being cut, because the application
// left in the moment the answer was complete, is nobody else's.
func TestC48CancelledLate(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	tr := start(t, Options{})
	k := key{scheme: "https", host: "x"}
	_, e, _ := tr.take(k, nil)
	for _, stopped := range []bool{true, false} {
		c := newConn(tr, k, e, newWire(ours), 0)
		c.stop = func() bool { return stopped }
		c.done(true)
		if got := idle(tr) == 1; got != stopped {
			t.Errorf("in time: %v, kept: %v", stopped, got)
		}
		tr.take(k, nil)
	}
}

// TestCloseDoesNotHang closes bodies in every state.
func TestCloseDoesNotHang(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		release := make(chan bool)
		srv, tr := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex()
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			<-release
		})
		defer close(release)
		for _, reading := range []bool{false, true} {
			pr, pw := io.Pipe()
			resp, _, err := call{method: "POST", url: srv.URL, body: pr, length: -1}.do(t.Context(), tr)
			if err != nil {
				t.Fatal(err)
			}
			read := make(chan error, 1)
			if reading {
				resp.Body.Read(make([]byte, 4))
				go func() {
					_, err := resp.Body.Read(make([]byte, 1))
					read <- err
				}()
			}
			closed := make(chan error, 1)
			go func() { resp.Body.Close(); closed <- resp.Body.Close() }()
			await(t, closed, "close")
			if reading && await(t, read, "the end of the read") == nil {
				t.Error("a closed body could be read")
			}
			pw.Close()
		}
	})
}

// TestCloseKeepsSmallRest: a short body that was not read does not cost the
// connection.
func TestCloseKeepsSmallRest(t *testing.T) {
	s := answer(t, ok, false)
	tr := start(t, Options{})
	for range 3 {
		resp, _, err := call{url: s.URL}.do(t.Context(), tr)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if _, err := resp.Body.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Error(err)
		}
	}
	if s.conns.Load() != 1 {
		t.Errorf("%d connections", s.conns.Load())
	}
}
