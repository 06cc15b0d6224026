package telemetry

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// writings are the ways in which a secret may end up in a text.
var writings = map[string]func(string) string{
	"raw":              func(s string) string { return s },
	"base64":           func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64 raw":       func(s string) string { return base64.RawStdEncoding.EncodeToString([]byte(s)) },
	"base64 url":       func(s string) string { return base64.URLEncoding.EncodeToString([]byte(s)) },
	"base64 raw url":   func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"basic, password":  func(s string) string { return basic("u", s) },
	"basic, password2": func(s string) string { return basic("us", s) },
	"basic, password3": func(s string) string { return basic("use", s) },
	"basic, user":      func(s string) string { return basic(s, "") },
	"basic, user2":     func(s string) string { return basic(s, "pw") },
	"query":            url.QueryEscape,
	"query, lower":     func(s string) string { return lowerEscapes(url.QueryEscape(s)) },
	"path":             url.PathEscape,
	"all escaped":      func(s string) string { return percent(s) },
	"json":             func(s string) string { return encoded(s, true) },
	"json, no html":    func(s string) string { return encoded(s, false) },
	"json in json":     func(s string) string { return encoded(encoded(s, true), true) },
	"json thrice":      func(s string) string { return encoded(encoded(encoded(s, false), true), false) },
	"json in query":    func(s string) string { return url.QueryEscape(encoded(s, true)) },
	"base64 in query":  func(s string) string { return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(s))) },
	"quoted":           strconv.Quote,
	"quoted ascii":     strconv.QuoteToASCII,
	"hex":              func(s string) string { return hex.EncodeToString([]byte(s)) },
	"HEX":              func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
	"url.Error": func(s string) string {
		return (&url.Error{Op: "Get", URL: "https://example.com/?q=" + url.QueryEscape(s), Err: errors.New("refused")}).Error()
	},
	"url, joined": func(s string) string {
		return (&url.URL{Scheme: "https", Host: "example.com", Path: "/bot" + s + "/send"}).String()
	},
	"header": func(s string) string { return fmt.Sprint(http.Header{"X-Other": {"Bearer " + s}}) },
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func encoded(s string, html bool) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	if err := e.Encode(s); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i:i+3], strings.ToLower(string(b[i:i+3])))
		}
	}
	return string(b)
}

// leaks reports whether a part of what was written stands in out: any eight
// characters of it, in a row, that hold nothing but it.
func leaks(secret, written, out string) bool {
	if strings.Contains(out, secret) {
		return true
	}
	for i := 0; i+8 <= len(written); i++ {
		if part := written[i : i+8]; !strings.Contains(neutral, part) && strings.Contains(out, part) {
			return true
		}
	}
	return false
}

// neutral is what writings add by themselves.
const neutral = `Get "https://example.com/?q=": refused https://example.com/bot/send map[X-Other:[Bearer ]] Basic `

func TestP52EveryFormOfASecret(t *testing.T) {
	for _, secret := range []string{
		"sk_live_51H8xNvKcanarycanary", `p@ss"w\o'r d/ü+%&=<>#?\u0041`, "Zürich–\U0001F511-key", "ab+/cd==efghijkl", "line one of it\nline two of it", "\x01\x7f\xfebinary\xff\x80value",
		"AAAAAAAA%AA\x01", `%41 of "it"%42`,
	} {
		r := NewRedactor(fixed{"other-secret-value", secret})
		for name, write := range writings {
			for _, around := range [][2]string{{"", ""}, {"before ", " after"}, {`{"a":"`, `"}`}, {"(", ")"}} {
				in := around[0] + write(secret) + around[1]
				out := r.Text(in)
				if !strings.Contains(out, mask) || leaks(secret, write(secret), out) {
					t.Errorf("%s of %q:\n in %q\nout %q", name, secret, in, out)
				}
				if !strings.HasPrefix(out, around[0]) || !strings.HasSuffix(out, around[1]) {
					t.Errorf("%s of %q: %q lost what is around it: %q", name, secret, in, out)
				}
			}
		}
	}
}

func TestP52AnySecretAnywhere(t *testing.T) {
	names := make([]string, 0, len(writings))
	for name := range writings {
		names = append(names, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringN(12, 40, 80).Filter(func(s string) bool { return strings.Trim(s, "\x00 \n") != "" && len(s) >= 12 }).Draw(t, "secret")
		name := rapid.SampledFrom(names).Draw(t, "writing")
		r := NewRedactor(fixed{secret})
		in := rapid.StringOf(rapid.RuneFrom([]rune("ab \"{[,%é"))).Draw(t, "before") + " " + writings[name](secret) + " " + rapid.String().Draw(t, "after")
		if out := r.Text(in); !strings.Contains(out, mask) || strings.Contains(out, secret) {
			t.Fatalf("%s of %q:\n in %q\nout %q", name, secret, in, out)
		}
	})
}

func TestP52LinesOfAKey(t *testing.T) {
	r := NewRedactor(fixed{"-----BEGIN PRIVATE KEY-----\nshort\nMIGHAgEAMBMGByqGSM49AgEG\nCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----"})
	if out := r.Text("cannot parse CCqGSM49AwEHBG0wawIBAQQg here"); out != "cannot parse [redacted] here" {
		t.Error(out)
	}
	for _, in := range []string{"-----BEGIN PRIVATE KEY-----", "a short line"} {
		if out := r.Text(in); out != in {
			t.Error(out)
		}
	}
}

func TestP52SecretEndsInsideAnEscape(t *testing.T) {
	if out := NewRedactor(fixed{"secret\xc3"}).Text(`a secret\u00e9 b`); out != "a [redacted] b" {
		t.Error(out)
	}
}

func TestRedactorOverlaps(t *testing.T) {
	r := NewRedactor(fixed{"abcdef", "defghi", "abcd"})
	for in, want := range map[string]string{
		"xabcdefghix": "x[redacted]x", "abcdabcd": "[redacted][redacted]", "abcde": "[redacted]e", "abc": "abc", "": "",
	} {
		if out := r.Text(in); out != want {
			t.Errorf("%q: %q, want %q", in, out, want)
		}
	}
}

func TestRedactorLeavesTheRest(t *testing.T) {
	r := NewRedactor(manySecrets)
	for _, in := range []string{
		"could not connect to api.stripe.com: connection refused",
		"[secret env:STRIPE_KEY]: the environment variable is not set",
		"postern.hcl:12,3-20: the token: it is empty",
		`C:\users\new %41 100% \u00e9 \`, "%", `\`, `\u12`, `\ud83d\udd11`, "%zz%4", "status=503; retry.wait=2s; limit.would_wait=published: 2s",
		"https://example.com:8443/a?b=c&page_key_id=7", "duration: 3s, key: none",
	} {
		if out := r.Text(in); out != in {
			t.Errorf("%q became %q", in, out)
		}
	}
}

// growing is a list of secrets as tests like it.
type growing struct{ learn, forget func(string) }

func (g *growing) Watch(learn, forget func(string)) { g.learn, g.forget = learn, forget }

func TestRedactorLearns(t *testing.T) {
	g := &growing{}
	r := NewRedactor(g)
	see := func(want string) {
		t.Helper()
		if out := r.Text("a rotated-secret b"); out != want {
			t.Errorf("%q, want %q", out, want)
		}
	}
	see("a rotated-secret b")
	g.learn("rotated-secret")
	g.learn("rotated-secret") // once more
	see("a [redacted] b")
	g.forget("rotated-secret")
	see("a [redacted] b")
	g.forget("rotated-secret")
	see("a rotated-secret b")
	g.forget("rotated-secret") // there is none
	g.learn("rotated-secret")
	see("a [redacted] b")
	if out := (*Redactor)(nil).Text("x password=y"); out != "x password=[redacted]" {
		t.Error(out)
	}
}

func TestP52ByName(t *testing.T) {
	r := NewRedactor(nil)
	for in, want := range map[string]string{
		"Authorization: Basic dXNlcjpwYXNz":                   "Authorization: [redacted]",
		"authorization:Bearer abc\nHost: x":                   "authorization:[redacted]\nHost: x",
		"Set-Cookie: a=b; Path=/\r\nX: y":                     "Set-Cookie: [redacted]\r\nX: y",
		"X-Api-Key: k1, then":                                 "X-Api-Key: [redacted]",
		"map[Authorization:[Bearer abc] Accept:[*/*]]":        "map[Authorization:[[redacted]] Accept:[*/*]]",
		"https://h/p?api_key=abc&x=1":                         "https://h/p?api_key=[redacted]&x=1",
		`Get "https://h/p?x=1&access_token=abc": refused`:     `Get "https://h/p?x=1&access_token=[redacted]": refused`,
		`{"password":"a\"b","x":1}`:                           `{"password":"[redacted]","x":1}`,
		`{"client_secret": "a"}`:                              `{"client_secret": "[redacted]"}`,
		`{\"refresh_token\":\"abc\",\"x\":\"y\"}`:             `{\"refresh_token\":\"[redacted]\",\"x\":\"y\"}`,
		`{"token":12345,"x":1}`:                               `{"token":[redacted],"x":1}`,
		"postgres://postern:hunter2@db/x":                     "postgres://postern:[redacted]@db/x",
		"redis://:hunter2@127.0.0.1:6379/0":                   "redis://:[redacted]@127.0.0.1:6379/0",
		"http://127.0.0.1:8080/p/stripe":                      "http://127.0.0.1:8080/p/stripe",
		"grant_type=refresh_token&refresh_token=r1&scope=all": "grant_type=refresh_token&refresh_token=[redacted]&scope=all",
		"host=db password='hunter 2' x=y":                     "host=db password='[redacted]' x=y",
		`password="hunter2" x=y`:                              `password="[redacted]" x=y`,
		"password=":                                           "password=",
	} {
		if out := r.Text(in); out != want {
			t.Errorf("%q\n got %q\nwant %q", in, out, want)
		}
	}
}

func FuzzText(f *testing.F) {
	r := NewRedactor(fixed{"canary-4711-secret", "påss wörd"})
	for _, write := range writings {
		f.Add("a " + write("canary-4711-secret") + " b")
	}
	f.Add(`"token":"\`)
	f.Add(`\ud83d%`)
	f.Add("://:@=:=")
	f.Fuzz(func(t *testing.T, s string) {
		out := r.Text(s)
		if strings.Contains(out, "canary-4711-secret") {
			t.Errorf("%q became %q", s, out)
		}
		if fit := r.fit(s); strings.ContainsFunc(fit, unfit) {
			t.Errorf("%q became %q, which does not fit a line", s, fit)
		}
	})
}
