package policy_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// TestP41Injection: the application's own copies go in every spelling, and
// exactly one value leaves (claim C7).
func TestP41Injection(t *testing.T) {
	raw := func() http.Header {
		return http.Header{
			"Authorization": {"Bearer mine", "Bearer too"}, "authorization": {"Bearer raw"}, "AUTHORIZATION": {"x"},
			"X-Api-Key": {"mine"}, "x-api-key": {"raw"}, "X_Api_Key": {"under"}, "X-Other": {"kept"}, "Cookie": {"kept=1"},
		}
	}
	count := func(h http.Header, name string) (n int) {
		for k, v := range h {
			if strings.EqualFold(strings.ReplaceAll(k, "_", "-"), name) {
				n += len(v)
			}
		}
		return n
	}
	for _, c := range []struct {
		name, src, path, kind, body string
		check                       func(t *testing.T, r *http.Request, body string)
	}{
		{"bearer", `credential "bearer" { token = env("NEW") }`, "/x", "", "", func(t *testing.T, r *http.Request, _ string) {
			if r.Header.Get("Authorization") != "Bearer new-key-0123456789" || count(r.Header, "authorization") != 1 || r.Header.Get("X-Other") != "kept" || r.Header.Get("Cookie") == "" {
				t.Errorf("%v", r.Header)
			}
		}},
		{"scheme", "credential \"bearer\" {\ntoken = env(\"NEW\")\nscheme = \"token\"\n}", "/x", "", "", func(t *testing.T, r *http.Request, _ string) {
			if r.Header.Get("Authorization") != "token new-key-0123456789" {
				t.Errorf("%v", r.Header)
			}
		}},
		{"basic", "credential \"basic\" {\nusername = \"me\"\npassword = env(\"PASSWORD\")\n}", "/x", "", "", func(t *testing.T, r *http.Request, _ string) {
			if u, p, _ := r.BasicAuth(); u != "me" || p != "pass/word+0123456" || count(r.Header, "authorization") != 1 {
				t.Errorf("%v", r.Header)
			}
		}},
		{"basic, key alone", `credential "basic" { username = env("NEW") }`, "/x", "", "", func(t *testing.T, r *http.Request, _ string) {
			if u, p, _ := r.BasicAuth(); u != "new-key-0123456789" || p != "" {
				t.Errorf("%v", r.Header)
			}
		}},
		{"header", "credential \"header\" {\nname = \"x-api-KEY\"\nvalue = env(\"NEW\")\n}", "/x", "", "", func(t *testing.T, r *http.Request, _ string) {
			if r.Header.Get("X-Api-Key") != "new-key-0123456789" || count(r.Header, "x-api-key") != 1 {
				t.Errorf("%v", r.Header)
			}
		}},
		{"query", "credential \"query\" {\nname = \"key\"\nvalue = env(\"ODD\")\n}", "/x?a=%zz&key=mine&b=1;key=semi&%6bey=coded&key&c=%2F", "", "", func(t *testing.T, r *http.Request, _ string) {
			if q := r.URL.RawQuery; q != "a=%zz&b=1&c=%2F&key="+url.QueryEscape(`a b/c+d"e&f-0123456789`) {
				t.Errorf("%s", q)
			}
		}},
		{"path", "credential \"path\" {\ntoken = env(\"NEW\")\nprefix = \"/bot${token}\"\n}", "/botMINE/send%2Fit", "", "", func(t *testing.T, r *http.Request, _ string) {
			if p := r.URL.EscapedPath(); p != "/botnew-key-0123456789/send%2Fit" {
				t.Errorf("%s", p)
			}
		}},
		{"path, none sent", "credential \"path\" {\ntoken = env(\"ODD\")\nprefix = \"/bot${token}\"\n}", "/send", "", "", func(t *testing.T, r *http.Request, _ string) {
			if p := r.URL.EscapedPath(); p != `/bota%20b%2Fc%2Bd%22e%26f-0123456789/send` || strings.Count(r.URL.RequestURI(), "/") != 2 {
				t.Errorf("%s", p)
			}
		}},
		{"form", `credential "body" { fields = { secret = env("ODD") } }`, "/x", "application/x-www-form-urlencoded", "secret=mine&a=1&s%65cret=coded", func(t *testing.T, _ *http.Request, body string) {
			if f, _ := url.ParseQuery(body); len(f["secret"]) != 1 || f.Get("secret") != `a b/c+d"e&f-0123456789` || f.Get("a") != "1" {
				t.Errorf("%s", body)
			}
		}},
		{"JSON", `credential "body" { fields = { secret = env("ODD") } }`, "/x", "application/json; charset=utf-8", `{"secret":"mine","n":9007199254740993,"s\u0065cret":{"deep":1},"secret":null}`, func(t *testing.T, _ *http.Request, body string) {
			if strings.Count(body, "ret\":") != 1 || !strings.Contains(body, `"n":9007199254740993`) || !json.Valid([]byte(body)) || strings.Contains(body, "mine") {
				t.Errorf("%s", body)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := play(t, step{status: 200})
			h := raw()
			if c.kind != "" {
				h.Set("Content-Type", c.kind)
			}
			x, resp, err := compile(t, s.RoundTrip, c.src).do(call{method: "POST", path: c.path, header: h, body: c.body})
			finish(t, resp, err)
			c.check(t, s.sent[0], s.body[0])
			if len(x.Plan.Slots) != 1 {
				t.Errorf("slots %v", x.Plan.Slots)
			}
			if x.Request.Header.Get("Authorization") == "Bearer new-key-0123456789" || strings.Contains(x.Request.URL.String(), "0123456789") {
				t.Error("the secret is in what is kept of the call")
			}
		})
	}
}

// TestC3FailsClosed: without its credential nothing leaves, and no sentence
// shows it.
func TestC3FailsClosed(t *testing.T) {
	for _, c := range []struct {
		name, src, kind, body string
		code                  policy.Code
	}{
		{"unset", `credential "bearer" { token = env("MISSING") }`, "", "", policy.CredentialUnavailable},
		{"C21 line break", `credential "bearer" { token = env("BROKEN") }`, "", "", policy.CredentialUnavailable},
		{"no body to put it", `credential "body" { fields = { a = env("NEW") } }`, "text/plain", "x", policy.BadRequest},
		{"JSON array", `credential "body" { fields = { a = env("NEW") } }`, "application/json", "[]", policy.BadRequest},
		{"body too long", "retry { buffer = \"1KiB\" }\ncredential \"body\" { fields = { a = env(\"NEW\") } }", "application/json", `{"a":"` + strings.Repeat("x", 2000) + `"}`, policy.BodyTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := play(t, step{status: 200})
			h := http.Header{"Content-Type": {c.kind}}
			_, _, err := compile(t, s.RoundTrip, c.src).do(call{method: "POST", path: "/x", header: h, body: c.body})
			d := denied(t, err, c.code)
			if len(s.sent) != 0 || strings.Contains(d.Error()+d.Detail, "X-Evil") || d.Executed != "" {
				t.Errorf("sent %d times: %v", len(s.sent), d)
			}
		})
	}
}

const threeKeys = `credential "bearer" { token = [env("NEW"), env("OLD"), env("THIRD")] }
`

// refusing is a provider that takes some keys only.
func refusing(good *string) (policy.RoundTripper, *[]string) {
	var seen []string
	return func(r *http.Request) (*http.Response, error) {
		key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		key, _, _ = strings.Cut(key, "-")
		seen = append(seen, key)
		status := 401
		if strings.Contains(*good, key) {
			status = 200
		} else if *good == "400" {
			status = 400
		}
		x := policy.From(r.Context())
		x.Now.Connected, x.Now.Written, x.Now.Answered = true, 1, true
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}, nil
	}, &seen
}

// TestP27Rotation: on a 401, and on nothing else, the next key is tried, at
// most twice a call; what works is remembered, across reloads and for all
// routes that share the credential, and the newest is tried again when the one
// in use is refused.
func TestP27Rotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := "400"
		base, seen := refusing(&good)
		src := oneTry + threeKeys + `route "/r" {
			timeout { attempt = "1s" }
		}`
		h := compile(t, base, src)
		one := func(path string, want string, status int) {
			t.Helper()
			*seen = nil
			_, resp, err := h.do(call{method: "POST", path: path})
			finish(t, resp, err)
			if got := strings.Join(*seen, " "); got != want || resp.StatusCode != status {
				t.Errorf("tried %q, answered %d; want %q, %d", got, resp.StatusCode, want, status)
			}
		}
		one("/x", "new", 400)
		good = "old"
		one("/x", "new old", 200)
		one("/r", "old", 200)
		h.compile(src)
		one("/x", "old", 200)
		good = "third"
		one("/x", "old third", 200)
		good = "new"
		one("/x", "third new", 200)
		good = "none"
		one("/x", "new old third", 401)
		one("/x", "new", 401) // all were refused: no storm
		time.Sleep(2 * time.Minute)
		good = "old"
		one("/x", "new old", 200)
	})
}

// TestP40Overlap: a newer value in front starts again with it.
func TestP40Overlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := "old"
		base, seen := refusing(&good)
		h := compile(t, base, `credential "bearer" { token = [env("NEW"), env("OLD")] }`)
		_, resp, err := h.do(call{method: "GET", path: "/x"})
		finish(t, resp, err)
		h.compile(`credential "bearer" { token = [env("THIRD"), env("OLD")] }`)
		*seen, good = nil, "third old"
		_, resp, err = h.do(call{method: "GET", path: "/x"})
		finish(t, resp, err)
		if (*seen)[0] != "third" {
			t.Errorf("tried %q first", (*seen)[0])
		}
	})
}

// TestC54Echo: an injected secret that the provider echoes is masked, in every
// spelling and across the borders of reads; the rest stays as it is. Without a
// credential the same answer comes through whole: the test can see.
func TestC54Echo(t *testing.T) {
	const user, secret = "the-user-name", `pass/word+0123456`
	pair := base64.StdEncoding.EncodeToString([]byte(user + ":" + secret))
	slashed := strings.ReplaceAll(secret, "/", `\/`)
	spellings := []string{
		secret, slashed, url.QueryEscape(secret), url.PathEscape(secret), strings.ToLower("pass%2Fword") + "%2b0123456",
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.URLEncoding.EncodeToString([]byte(secret)), pair,
		base64.StdEncoding.EncodeToString([]byte(`{"password":"` + secret + `"}`)),
	}
	answer := "start " + strings.Join(spellings, " | ") + " | user=" + user + " end"
	src := "credential \"basic\" {\nusername = env(\"USER_NAME\")\npassword = env(\"PASSWORD\")\n}\n" +
		"error {\nmessage = response.header[\"X-Said\"]\n}"
	for name, reader := range map[string]func(io.Reader) io.Reader{
		"at once": func(r io.Reader) io.Reader { return r }, "one byte": iotest.OneByteReader, "half": iotest.HalfReader, "data with EOF": iotest.DataErrReader,
	} {
		for _, src := range []string{src, "timeout {}"} {
			h := compile(t, func(r *http.Request) (*http.Response, error) {
				return &http.Response{
					StatusCode: 418, Header: http.Header{"X-Said": {"you said " + pair}, "X-Plain": {"plain"}}, Trailer: http.Header{"X-End": {secret}},
					Body: io.NopCloser(reader(strings.NewReader(answer))),
				}, nil
			}, src)
			x, resp, err := h.do(call{method: "GET", path: "/x"})
			got := finish(t, resp, err)
			all := got + resp.Header.Get("X-Said") + resp.Trailer.Get("X-End") + x.ProviderMessage
			if src == "timeout {}" {
				if got != answer || !strings.Contains(all, pair) {
					t.Fatalf("%s: the control was changed: %s", name, got)
				}
				continue
			}
			for _, s := range []string{secret, slashed, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret)), pair, "cGFzcy93b3Jk", "Bhc3Mvd29yZ", "wYXNzL3dvcmQ"} {
				if strings.Contains(all, s) {
					t.Errorf("%s: %q came through: %s", name, s, all)
				}
			}
			if len(got) != len(answer) || !strings.HasPrefix(got, "start ***") || !strings.HasSuffix(got, "| user="+user+" end") || resp.Header.Get("X-Plain") != "plain" || !noted(x, "credential", "masked") {
				t.Errorf("%s: %s", name, got)
			}
		}
	}
}

// TestClockSkew: every credential measures the provider's clock, and a refusal
// while it is far from ours says so.
func TestClockSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		date := time.Now().Add(312 * time.Second).UTC().Format(http.TimeFormat)
		s := play(t, step{status: 401, header: map[string]string{"Date": date}})
		h := compile(t, s.RoundTrip, "credential \"bearer\" { token = env(\"NEW\") }\noutcome \"auth\" {\nwhen = response.status == 401\nhint = \"Ask for a key.\"\n}")
		x, resp, err := h.do(call{method: "GET", path: "/x"})
		finish(t, resp, err)
		if want := "The clock of this machine is 312 s behind the provider's: set it right. Ask for a key."; x.Hint != want || x.Attempts != 1 {
			t.Errorf("%d attempts, hint %q", x.Attempts, x.Hint)
		}
	})
}

// TestC3ClearText: a credential leaves in clear text only where the policy
// itself names the place.
func TestC3ClearText(t *testing.T) {
	s := play(t, step{status: 200})
	h := compile(t, s.RoundTrip, `credential "bearer" { token = env("NEW") }`)
	x := &policy.Exchange{Plan: h.set.Provider("p").Plans()[0], Body: policy.NewBody(nil, 0, 0), Start: time.Now()}
	r, _ := http.NewRequest("GET", "http://p.example/x", nil)
	_, err := x.Plan.RoundTrip(r.WithContext(policy.With(t.Context(), x)))
	denied(t, err, policy.NotAllowed)
	if len(s.sent) != 0 {
		t.Error("it left")
	}
}
