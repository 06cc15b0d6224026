package credential

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mask(resp *http.Response, e *echo) *masked {
	m := NewLive().masking(&policy.Exchange{}, e)
	m.take(resp)
	return m
}

// masking masks text as it comes in pieces and is read with a buffer of size.
func masking(t testing.TB, secret string, src io.Reader, size int) string {
	t.Helper()
	resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(src)}
	mask(resp, newEcho(secret))
	var out bytes.Buffer
	p := make([]byte, size)
	for {
		n, err := resp.Body.Read(p)
		out.Write(p[:n])
		if err == io.EOF {
			return out.String()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzMask: what comes out holds no form of the secret, is as long as what went
// in, and differs from it only where there are asterisks; where the secret is
// not in it, it is the same.
func FuzzMask(f *testing.F) {
	f.Add("secret-key-1234", "you sent secret-key-1234!", uint8(3), uint8(7))
	f.Add(`a"b/c<d&e f+g%h`, `{"k":"a\"b/c<d&e f+g%h"} a%22b%2fc`, uint8(1), uint8(1))
	f.Add("aaaaaaaaaaaa", strings.Repeat("a", 50), uint8(5), uint8(11))
	f.Add("abcabcabcabd", "abcabcabcabcabcabd", uint8(2), uint8(4))
	f.Fuzz(func(t *testing.T, secret, text string, cut, size uint8) {
		if len(secret) > 200 || len(text) > 4096 {
			return
		}
		at := 0
		if len(text) > 0 {
			at = int(cut) % len(text)
		}
		text = text[:at] + secret + text[at:] + base64.StdEncoding.EncodeToString([]byte(secret))
		src := io.MultiReader(strings.NewReader(text[:at+len(secret)/2]), iotest.HalfReader(strings.NewReader(text[at+len(secret)/2:])))
		got := masking(t, secret, src, int(size)+1)
		if len(got) != len(text) {
			t.Fatalf("%d bytes of %d", len(got), len(text))
		}
		for i := range len(got) {
			if got[i] != text[i] && got[i] != '*' {
				t.Fatalf("byte %d is %q, was %q", i, got[i], text[i])
			}
		}
		e := newEcho(secret)
		if len(secret) >= shortest && !strings.Contains(secret, "*") && e.in([]byte(got)) {
			t.Fatalf("%q still holds a form of %q", got, secret)
		}
		if !e.in([]byte(text)) && got != text {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

// TestMaskStream: what cannot be the beginning of a secret is not held back.
func TestMaskStream(t *testing.T) {
	src, provider := io.Pipe()
	resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: src}
	mask(resp, newEcho("secret-key-1234"))
	defer resp.Body.Close()
	p := make([]byte, 100)
	for _, event := range []string{"data: one\n\n", "data: two\n\n"} {
		go io.WriteString(provider, event)
		if n, err := resp.Body.Read(p); string(p[:n]) != event || err != nil {
			t.Errorf("%q, %v", p[:n], err)
		}
	}
	go func() { io.WriteString(provider, "data: sec"); provider.CloseWithError(io.ErrUnexpectedEOF) }()
	got, err := io.ReadAll(resp.Body)
	if string(got) != "data: " || err != io.ErrUnexpectedEOF {
		t.Errorf("%q, %v: what broke off must end so, without the half of a secret", got, err)
	}
}

// TestMaskNothing: short values stay, and so do bodies that cannot be read.
func TestMaskNothing(t *testing.T) {
	resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("a short text"))}
	body := resp.Body
	if mask(resp, newEcho("short")); resp.Body != body {
		t.Error("an answer is looked at although there is nothing to look for")
	}
	for coding, body := range map[string]string{"br": "secret-key-1234", "gzip": "secret-key-1234", "deflate": "secret-key-1234", "gzip, gzip": "x"} {
		resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Encoding": {coding}}, Body: io.NopCloser(strings.NewReader(body))}
		m := mask(resp, newEcho("secret-key-1234"))
		if got, err := io.ReadAll(resp.Body); string(got) != body || err != nil || m.told.Load() || resp.Header.Get("Content-Encoding") != coding {
			t.Errorf("%s: %q, %v, %v", coding, got, err, resp.Header)
		}
	}
}
