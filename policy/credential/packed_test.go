package credential

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/postern-proxy/postern/policy"
)

const packedSecret = "sk_live_51H8xNvKabcdefghijklmnop"

// packers compress as providers do.
var packers = map[string]struct {
	coding string
	open   func(io.Writer) io.WriteCloser
}{
	"gzip":        {"gzip", func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }},
	"old gzip":    {"X-Gzip", func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }},
	"deflate":     {"deflate", func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }},
	"raw deflate": {"deflate", func(w io.Writer) io.WriteCloser { z, _ := flate.NewWriter(w, 5); return z }},
}

func pack(t testing.TB, name, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := packers[name].open(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// rung is what an alarm said.
type rung struct {
	times  int
	masked bool
}

// unpacked masks an answer.
func unpacked(t testing.TB, resp *http.Response) (*http.Response, *policy.Exchange, *rung) {
	t.Helper()
	l, a := NewLive(), new(rung)
	l.Echoed = func(provider, endpoint string, masked bool) {
		a.times++
		if a.masked = masked; provider != "p" || endpoint != "GET /x" {
			t.Errorf("the alarm is about %s %s", provider, endpoint)
		}
	}
	x := &policy.Exchange{Plan: &policy.Plan{Provider: "p"}, Endpoint: "GET /x"}
	l.masking(x, newEcho(packedSecret)).take(resp)
	return resp, x, a
}

func answerOf(coding string, body io.Reader, length int) *http.Response {
	h := http.Header{"Content-Encoding": {coding}, "Content-Type": {"application/json"}, "Etag": {`"1"`}}
	if length >= 0 {
		h["Content-Length"] = []string{strconv.Itoa(length)}
	}
	return &http.Response{StatusCode: 200, Header: h, Body: io.NopCloser(body), ContentLength: int64(length)}
}

// TestC54Compressed: an echo in a compressed answer is masked like any other;
// one that holds none goes through untouched, byte for byte (pitfall P11).
func TestC54Compressed(t *testing.T) {
	for name, p := range packers {
		t.Run(name, func(t *testing.T) {
			text := `{"error":"` + strings.Repeat("no such key ", 50) + packedSecret + `"}`
			body := pack(t, name, text)
			for _, length := range []int{len(body), -1} {
				resp, x, a := unpacked(t, answerOf(p.coding, iotest.HalfReader(bytes.NewReader(body)), length))
				got, err := io.ReadAll(resp.Body)
				if want := strings.ReplaceAll(text, packedSecret, strings.Repeat("*", len(packedSecret))); string(got) != want || err != nil {
					t.Errorf("%q, %v", got, err)
				}
				said, wanted := resp.Header.Get("Content-Length"), strconv.Itoa(len(text))
				if length < 0 {
					wanted = ""
				}
				if resp.Header.Get("Content-Encoding") != "" || said != wanted || resp.ContentLength != int64(len(text)) {
					t.Errorf("%d %v", resp.ContentLength, resp.Header)
				}
				if *a != (rung{1, true}) || len(x.Notes) != 1 || x.Notes[0].Key != "masked" {
					t.Errorf("%+v %v", a, x.Notes)
				}
			}
			body = pack(t, name, strings.ReplaceAll(text, packedSecret, "sk_live_of_somebody_else"))
			resp, x, a := unpacked(t, answerOf(p.coding, iotest.OneByteReader(bytes.NewReader(body)), len(body)))
			got, err := io.ReadAll(resp.Body)
			if !bytes.Equal(got, body) || err != nil || resp.Header.Get("Content-Encoding") != p.coding || resp.ContentLength != int64(len(body)) {
				t.Errorf("a clean answer was changed: %v %v", err, resp.Header)
			}
			if a.times != 0 || len(x.Notes) != 0 {
				t.Errorf("%+v %v", a, x.Notes)
			}
		})
	}
}

// TestC54CompressedTooLong: what cannot be masked is passed on as it is, with
// another alarm.
func TestC54CompressedTooLong(t *testing.T) {
	random := make([]byte, policy.PeekLimit+1000)
	rand.Read(random)
	for name, text := range map[string]string{
		"packed":   packedSecret + string(random),
		"unpacked": packedSecret + strings.Repeat("a", policy.PeekLimit),
	} {
		body := pack(t, "gzip", text)
		resp, x, a := unpacked(t, answerOf("gzip", bytes.NewReader(body), len(body)))
		got, err := io.ReadAll(resp.Body)
		if !bytes.Equal(got, body) || err != nil || resp.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: changed: %d bytes of %d, %v", name, len(got), len(body), err)
		}
		if *a != (rung{1, false}) || len(x.Notes) != 1 || x.Notes[0].Key != "echoed" {
			t.Errorf("%s: %+v %v", name, a, x.Notes)
		}
	}
	body := pack(t, "gzip", strings.Repeat("a", policy.PeekLimit-len(packedSecret))+packedSecret)
	if _, _, a := unpacked(t, answerOf("gzip", bytes.NewReader(body), len(body))); *a != (rung{1, true}) {
		t.Errorf("at the limit: %+v", a)
	}
}

// TestC54CompressedBreaksOff: an answer that broke off ends so, also if an echo
// was in what came of it.
func TestC54CompressedBreaksOff(t *testing.T) {
	broken := errors.New("broken")
	for text, want := range map[string]string{
		"a " + packedSecret + " b":                  "a " + strings.Repeat("*", len(packedSecret)) + " b",
		packedSecret + " " + packedSecret[:20]:      strings.Repeat("*", len(packedSecret)) + " ",
		"clean, but for " + packedSecret[:20] + "x": "",
	} {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		io.WriteString(z, text)
		z.Flush()
		body := b.Bytes()
		if want == "" {
			want = string(body)
		}
		resp, _, a := unpacked(t, answerOf("gzip", io.MultiReader(bytes.NewReader(body), iotest.ErrReader(broken)), 1000))
		got, err := io.ReadAll(resp.Body)
		if string(got) != want || err != broken || a.times > 0 != (want[0] == '*' || want[0] == 'a') {
			t.Errorf("%q became %q, %v, %+v", text, got, err, a)
		}
	}
}

// TestC54CompressedStream: a compressed stream is held up once, for a second;
// then it flows, and an echo in its beginning is told of. An event stream is not
// held up at all.
func TestC54CompressedStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, provider := io.Pipe()
		z := gzip.NewWriter(provider)
		said := make(chan string)
		go func() {
			for text := range said {
				io.WriteString(z, text)
				z.Flush()
			}
			z.Close()
			provider.Close()
		}()
		go func() { said <- packedSecret + " and "; time.Sleep(time.Minute); said <- "more"; close(said) }()
		start := time.Now()
		resp, x, a := unpacked(t, answerOf("gzip", src, -1))
		if held := time.Since(start); held != heldFor || x.Upstream != held || *a != (rung{1, false}) {
			t.Errorf("held for %v, %v of it upstream; %+v", held, x.Upstream, a)
		}
		r, err := gzip.NewReader(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 100)
		n, err := r.Read(p)
		if string(p[:n]) != packedSecret+" and " || err != nil || time.Since(start) != heldFor {
			t.Errorf("%q, %v after %v", p[:n], err, time.Since(start))
		}
		rest, err := io.ReadAll(r)
		if string(rest) != "more" || err != nil || time.Since(start) != time.Minute {
			t.Errorf("%q, %v after %v", rest, err, time.Since(start))
		}

		events := answerOf("gzip", strings.NewReader("not even gzip"), -1)
		events.Header.Set("Content-Type", "text/event-stream; charset=utf-8")
		before := time.Now()
		if resp, _, _ = unpacked(t, events); time.Since(before) != 0 {
			t.Errorf("an event stream is held up for %v", time.Since(before))
		}
		if got, err := io.ReadAll(resp.Body); string(got) != "not even gzip" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestC54CompressedLeft: nothing stays behind of an answer that the application
// did not wait for.
func TestC54CompressedLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, provider := io.Pipe()
		resp := answerOf("gzip", src, -1)
		resp.Body = src
		resp, _, _ = unpacked(t, resp)
		resp.Body.Close()
		if _, err := provider.Write([]byte("x")); err != io.ErrClosedPipe {
			t.Errorf("somebody still reads: %v", err)
		}
	})
}

// TestC54CompressedTrailers: they come with the end of the body.
func TestC54CompressedTrailers(t *testing.T) {
	for _, text := range []string{"clean", packedSecret} {
		resp := answerOf("gzip", nil, -1)
		resp.Trailer = http.Header{"X-Key": nil}
		resp.Body = io.NopCloser(&trailing{bytes.NewReader(pack(t, "gzip", text)), func() { resp.Trailer["X-Key"] = []string{"is " + packedSecret} }})
		got, _, a := unpacked(t, resp)
		if _, err := io.ReadAll(got.Body); err != nil {
			t.Fatal(err)
		}
		if v := got.Trailer.Get("X-Key"); v != "is "+strings.Repeat("*", len(packedSecret)) || a.times != 1 {
			t.Errorf("%s: %q %+v", text, v, a)
		}
	}
}

type trailing struct {
	io.Reader
	end func()
}

func (e *trailing) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if err == io.EOF {
		e.end()
	}
	return n, err
}

// TestC54CompressedModel: however it comes and is read, a clean answer is passed
// on as it was, and of any other nothing can be read that is not masked.
func TestC54CompressedModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom([]string{"gzip", "deflate", "raw deflate"}).Draw(rt, "coding")
		text := rapid.StringN(0, 500, 2000).Draw(rt, "text")
		echoed := rapid.Bool().Draw(rt, "echoed")
		if echoed {
			text += packedSecret + rapid.StringN(0, 50, 100).Draw(rt, "after")
		}
		body := pack(t, name, text)
		cut := rapid.IntRange(0, len(body)).Draw(rt, "cut")
		src := io.MultiReader(bytes.NewReader(body[:cut]), iotest.OneByteReader(bytes.NewReader(body[cut:])))
		resp, _, a := unpacked(t, answerOf(packers[name].coding, src, len(body)))
		var out bytes.Buffer
		p := make([]byte, rapid.IntRange(1, 5000).Draw(rt, "size"))
		for err := error(nil); err == nil; {
			var n int
			if n, err = resp.Body.Read(p); err != nil && err != io.EOF {
				rt.Fatal(err)
			}
			out.Write(p[:n])
		}
		switch {
		case !echoed && (!bytes.Equal(out.Bytes(), body) || a.times != 0):
			rt.Fatalf("%q was changed", text)
		case echoed && (out.String() != strings.ReplaceAll(text, packedSecret, strings.Repeat("*", len(packedSecret))) || *a != rung{1, true}):
			rt.Fatalf("%q became %q", text, out.String())
		}
	})
}
