package credential

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// echoes are the ways in which a provider may repeat a value (pitfall P52).
var echoes = map[string]func(string) string{
	"raw":              func(v string) string { return v },
	"query":            url.QueryEscape,
	"query, lower":     func(v string) string { return lowerEscapes(url.QueryEscape(v)) },
	"path":             url.PathEscape,
	"path, lower":      func(v string) string { return lowerEscapes(url.PathEscape(v)) },
	"JSON":             func(v string) string { return quoted(v) },
	"JSON in JSON":     func(v string) string { return quoted(quoted(v)) },
	"hex":              func(v string) string { return hex.EncodeToString([]byte(v)) },
	"HEX":              func(v string) string { return strings.ToUpper(hex.EncodeToString([]byte(v))) },
	"base64":           func(v string) string { return base64.StdEncoding.EncodeToString([]byte(v)) },
	"base64 url":       func(v string) string { return base64.URLEncoding.EncodeToString([]byte(v)) },
	"basic, password":  func(v string) string { return base64.StdEncoding.EncodeToString([]byte("u:" + v)) },
	"basic, password2": func(v string) string { return base64.StdEncoding.EncodeToString([]byte("us:" + v)) },
	"basic, password3": func(v string) string { return base64.StdEncoding.EncodeToString([]byte("use:" + v)) },
	"basic, name":      func(v string) string { return base64.StdEncoding.EncodeToString([]byte(v + ":pw")) },
	"in base64 url":    func(v string) string { return base64.RawURLEncoding.EncodeToString([]byte("x " + v + " y")) },
}

func quoted(v string) string {
	text, _ := json.Marshal(v)
	return string(text[1 : len(text)-1])
}

// TestC54EveryForm: whatever the value and the way in which it comes back, it is
// found, and of what is left nobody can read it.
func TestC54EveryForm(t *testing.T) {
	for name, write := range echoes {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				secret := rapid.StringMatching(`[ -~]{12,40}|[A-Za-z0-9_.-]{12,60}|[a-zäöü€+/]{12,20}`).Draw(t, "secret")
				before, after := rapid.StringMatching(`[a-z "{:&]{0,9}`).Draw(t, "before"), rapid.StringMatching(`["}&\n ]?[a-z ]{0,9}`).Draw(t, "after")
				in := before + write(secret) + after
				out, found := newEcho(secret).clean(in)
				if !found || len(out) != len(in) {
					t.Fatalf("%q was not found in %q", secret, in)
				}
				left := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(out, before), after), "*", "")
				if len(left) > len(write(secret))-len(secret)*2/3 {
					t.Fatalf("of %q %q is left", in, out)
				}
			})
		})
	}
}

// TestEchoLeavesTheRest: what is no echo is not touched, and takes no memory.
func TestEchoLeavesTheRest(t *testing.T) {
	e := newEcho("sk_live_51H8xNvKabcdefghijklmnop", "short")
	line := "max-age=3600; the short answer to sk_live_51H8xNvKabcdefghijklmno"
	if out, found := e.clean(line); found || out != line {
		t.Errorf("%q, %v", out, found)
	}
	if n := testing.AllocsPerRun(100, func() { e.clean(line) }); n != 0 {
		t.Errorf("%v allocations for a header without an echo", n)
	}
}

// BenchmarkNewEcho is what a new access token costs once.
func BenchmarkEcho(b *testing.B) {
	for name, v := range map[string]string{"opaque": "sk_live_51H8xNvKabcdefghijklmnop", "JWT": strings.Repeat("eyJhbGciOi", 100), "odd": `p@ss"w\o'r d/u+%&=<>#?`} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				newEcho(v)
			}
		})
	}
}

// TestEchoTail: what is held back is the longest end that may be the beginning of
// a form, and no more.
func TestEchoTail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := newEcho(rapid.StringMatching(`[ab]{8,12}|[a-c+/]{8,20}`).Draw(t, "secret"))
		form := rapid.SampledFrom(e.forms).Draw(t, "form")
		p := append([]byte(rapid.StringMatching(`[ab]{0,40}`).Draw(t, "before")), form[:rapid.IntRange(0, len(form)).Draw(t, "length")]...)
		want := 0
		for at := range p {
			for _, f := range e.forms {
				if len(p)-at < len(f) && strings.HasPrefix(string(f), string(p[at:])) {
					want = max(want, len(p)-at)
				}
			}
		}
		if got := e.tail(p); got != want {
			t.Fatalf("%d of %q, want %d", got, p, want)
		}
	})
}
