package policy_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

const tenMinutes = oneTry + `fallback { stale = "10m" }` + "\n"

// feed is a provider that answers as it is told to, until it is down.
type feed struct {
	header map[string]string
	body   string
	status int
	down   *step // what it does instead
	sent   int
	cut    bool // the body breaks off
	length int64
}

func (f *feed) RoundTrip(r *http.Request) (*http.Response, error) {
	x := policy.From(r.Context())
	f.sent++
	if f.down != nil {
		x.Now.Connected, x.Now.Written = f.down.now.Connected, f.down.now.Written
		if f.down.err != nil {
			return nil, f.down.err
		}
		x.Now.Answered = true
		return &http.Response{StatusCode: f.down.status, ProtoMajor: 2, Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(strings.NewReader("down")), Request: r}, nil
	}
	x.Now.Connected, x.Now.Written, x.Now.Answered = true, 1, true
	h := http.Header{}
	for k, v := range f.header {
		h.Set(k, v)
	}
	body := io.Reader(strings.NewReader(f.body))
	if f.cut {
		body = io.MultiReader(body, broken{})
	}
	length := f.length
	if length == 0 {
		length = int64(len(f.body))
	}
	return &http.Response{StatusCode: f.status, ProtoMajor: 2, Header: h, ContentLength: length, Body: io.NopCloser(body), Request: r}, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

var gone = &step{err: errBroke, now: unsent}

// TestFallback: while the provider cannot be asked, in whatever way, a safe call
// gets the last good answer, with its age, until that is too old; and the new one
// as soon as there is one.
func TestFallback(t *testing.T) {
	for name, down := range map[string]*step{
		"unreachable": gone, "reset": {err: errBroke, now: sent}, "timeout": {err: timedOut{}, now: sent}, "503": {status: 503}, "408": {status: 408},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &feed{status: 200, body: `{"n":1}`, header: map[string]string{"Content-Type": "application/json", "ETag": `"1"`, "X-RateLimit-Remaining": "3", "Retry-After": "9"}}
				h := compile(t, f.RoundTrip, tenMinutes)
				c := call{method: "GET", path: "/x?a=1", header: http.Header{"User-Agent": {"one"}}}
				_, resp, err := h.do(c)
				finish(t, resp, err)
				f.down = down
				time.Sleep(90 * time.Second)
				c.header = http.Header{"User-Agent": {"another"}, "X-Request-Id": {"7"}}
				x, resp, err := h.do(c)
				if text := finish(t, resp, err); text != f.body || resp.StatusCode != 200 || resp.ContentLength != 7 {
					t.Errorf("%d %q", resp.StatusCode, text)
				}
				if resp.Header.Get("Age") != "90" || resp.Header.Get("ETag") != `"1"` || resp.Header.Get("X-RateLimit-Remaining") != "" || resp.Header.Get("Retry-After") != "" {
					t.Errorf("%v", resp.Header)
				}
				if x.Source != policy.Stale || x.Outcome != policy.OK || !noted(x, "fallback", "stale") || f.sent != 2 {
					t.Errorf("%s, %s, %v; sent %d", x.Source, x.Outcome, x.Notes, f.sent)
				}
				h.compile(tenMinutes) // survives a reload
				time.Sleep(8*time.Minute + 30*time.Second)
				_, resp, err = h.do(c)
				finish(t, resp, err)
				time.Sleep(time.Second)
				if _, resp, err := h.do(c); err == nil && resp.StatusCode == 200 {
					t.Error("an answer of more than ten minutes was given")
				}
				f.down, f.body = nil, `{"n":2}`
				x, resp, err = h.do(c)
				if text := finish(t, resp, err); text != f.body || x.Source == policy.Stale {
					t.Errorf("%q from %s", text, x.Source)
				}
				f.down = down
				_, resp, err = h.do(c)
				if text := finish(t, resp, err); text != f.body || resp.Header.Get("Age") != "0" {
					t.Errorf("%q, %v", text, resp.Header)
				}
			})
		})
	}
}

type timedOut struct{}

func (timedOut) Error() string { return "too late" }
func (timedOut) Timeout() bool { return true }

// TestFallbackBreaker: an open breaker gives the old answer and sends nothing.
func TestFallbackBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &feed{status: 200, body: "good"}
		h := compile(t, f.RoundTrip, tenMinutes+"breaker {\ncalls = 2\nopen = \"60s\"\n}")
		c := call{method: "GET", path: "/x"}
		_, resp, err := h.do(c)
		finish(t, resp, err)
		f.down = &step{status: 500}
		for range 4 {
			_, resp, err := h.do(c)
			finish(t, resp, err)
		}
		before := f.sent
		x, resp, err := h.do(c)
		if text := finish(t, resp, err); text != "good" || f.sent != before || x.Attempts != 0 || x.Source != policy.Stale {
			t.Errorf("%q from %s, %d attempts", text, x.Source, x.Attempts)
		}
		_, _, err = h.do(call{method: "POST", path: "/x"})
		denied(t, err, policy.BreakerOpen)
	})
}

// TestC47FallbackKeeps: what is kept and what is not.
func TestC47FallbackKeeps(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		name string
		call call
		feed feed
		kept bool
	}{
		{"GET 200", call{}, feed{body: "b"}, true},
		{"HEAD 200", call{method: "HEAD"}, feed{}, true},
		{"empty", call{}, feed{}, true},
		{"public", call{}, feed{header: map[string]string{"Cache-Control": "public, max-age=60"}}, true},
		{"varies", call{}, feed{header: map[string]string{"Vary": "Accept, Authorization"}}, true},
		{"gzip", call{header: http.Header{"Accept-Encoding": {"gzip, br"}}}, feed{body: "\x1f\x8bxx", header: map[string]string{"Content-Encoding": "gzip"}}, true},
		{"without a length, HTTP/2", call{}, feed{body: "b", length: -1}, true},
		{"1 MiB", call{}, feed{body: long}, true},
		{"POST", call{method: "POST"}, feed{}, false},
		{"PUT", call{method: "PUT"}, feed{}, false},
		{"DELETE", call{method: "DELETE"}, feed{}, false},
		{"GET with a body", call{body: "q"}, feed{}, false},
		{"204", call{}, feed{status: 204}, false},
		{"404", call{}, feed{status: 404}, false},
		{"301", call{}, feed{status: 301}, false},
		{"206", call{}, feed{status: 206}, false},
		{"range", call{header: http.Header{"Range": {"bytes=0-1"}}}, feed{}, false},
		{"Content-Range", call{}, feed{header: map[string]string{"Content-Range": "bytes 0-1/2"}}, false},
		{"condition", call{header: http.Header{"If-None-Match": {`"1"`}}}, feed{}, false},
		{"another method inside", call{header: http.Header{"X-Http-Method-Override": {"DELETE"}}}, feed{}, false},
		{"no-store asked for", call{header: http.Header{"Cache-Control": {"no-store"}}}, feed{}, false},
		{"no-store", call{}, feed{header: map[string]string{"Cache-Control": "max-age=0, No-Store"}}, false},
		{"private", call{}, feed{header: map[string]string{"Cache-Control": "private=\"x\", max-age=60"}}, false},
		{"cookie", call{}, feed{header: map[string]string{"Set-Cookie": "a=b"}}, false},
		{"varies with anything", call{}, feed{header: map[string]string{"Vary": "*"}}, false},
		{"varies with what is not looked at", call{}, feed{header: map[string]string{"Vary": "Accept, User-agent"}}, false},
		{"event stream", call{}, feed{header: map[string]string{"Content-Type": "text/event-stream; charset=utf-8"}}, false},
		{"encoding not asked for", call{}, feed{header: map[string]string{"Content-Encoding": "br"}}, false},
		{"not the encoding it says", call{header: http.Header{"Accept-Encoding": {"gzip"}}}, feed{body: "plain", header: map[string]string{"Content-Encoding": "gzip"}}, false},
		{"truncated", call{}, feed{body: "b", cut: true, length: 5}, false},
		{"truncated, without a length", call{}, feed{body: "b", cut: true, length: -1}, false},
		{"shorter than it says", call{}, feed{body: "b", length: 5}, false},
		{"more than 1 MiB", call{}, feed{body: long + "x"}, false},
		{"more than 1 MiB, without a length", call{}, feed{body: long + "x", length: -1}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			if c.call.method == "" {
				c.call.method = "GET"
			}
			c.call.path = "/x"
			if c.feed.status == 0 {
				c.feed.status = 200
			}
			h := compile(t, c.feed.RoundTrip, tenMinutes)
			_, resp, err := h.do(c.call)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.ReadAll(resp.Body)
			resp.Body.Close()
			c.feed.down = gone
			x, resp, err := h.do(c.call)
			switch kept := err == nil; {
			case kept != c.kept:
				t.Errorf("%s: kept %v, %v", c.name, kept, err)
			case kept:
				want := c.feed.body
				if c.call.method == "HEAD" {
					want = ""
				}
				if text := finish(t, resp, err); text != want || x.Source != policy.Stale {
					t.Errorf("%s: %d bytes from %s", c.name, len(text), x.Source)
				}
			default:
				denied(t, err, policy.CodeUnreachable)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // not read to its end
		f := &feed{status: 200, body: "whole"}
		h := compile(t, f.RoundTrip, tenMinutes)
		_, resp, err := h.do(call{method: "GET", path: "/x"})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadFull(resp.Body, make([]byte, 3))
		resp.Body.Close()
		f.down = gone
		_, _, err = h.do(call{method: "GET", path: "/x"})
		denied(t, err, policy.CodeUnreachable)
	})
}

// TestC45FallbackApart: nobody gets the answer of another: another client, account,
// host, path, query, provider, header, or key of the policy.
func TestC45FallbackApart(t *testing.T) {
	const src = tenMinutes + `credential "bearer" { token = env("NEW") }`
	base := call{provider: "p", method: "GET", path: "/x?a=1", account: "acct", client: "billing", header: http.Header{"Accept": {"application/json"}}}
	for name, change := range map[string]func(*call){
		"account":  func(c *call) { c.account = "other" },
		"client":   func(c *call) { c.client = "other" },
		"provider": func(c *call) { c.provider = "q" },
		"path":     func(c *call) { c.path = "/y?a=1" },
		"escaped":  func(c *call) { c.path = "/%78?a=1" },
		"query":    func(c *call) { c.path = "/x?a=2" },
		"no query": func(c *call) { c.path = "/x" },
		"method":   func(c *call) { c.method = "HEAD" },
		"accept":   func(c *call) { c.header = http.Header{"Accept": {"text/csv"}} },
		"tenant":   func(c *call) { c.header["Xero-Tenant-Id"] = []string{"t"} },
		"key":      func(c *call) { c.header["Authorization"] = []string{"Bearer other"} },
		"split":    func(c *call) { c.header = http.Header{"Accept": {"application", "json"}} },
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &feed{status: 200, body: "mine"}
			h := compile(t, f.RoundTrip, src, "q: "+src)
			_, resp, err := h.do(base)
			finish(t, resp, err)
			f.down = gone
			c := base
			c.header = base.header.Clone()
			change(&c)
			if _, resp, err := h.do(c); err == nil {
				t.Errorf("another %s got %q", name, finish(t, resp, err))
			}
			c = base
			_, resp, err = h.do(c)
			if text := finish(t, resp, err); text != "mine" {
				t.Errorf("%q", text)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // the policy's key was replaced
		f := &feed{status: 200, body: "of the old key"}
		h := compile(t, f.RoundTrip, strings.Replace(src, "NEW", "OLD", 1))
		_, resp, err := h.do(base)
		finish(t, resp, err)
		f.down = gone
		h.compile(src)
		if _, resp, err := h.do(base); err == nil {
			t.Errorf("another key got %q", finish(t, resp, err))
		}
		h.compile(strings.Replace(src, `env("NEW")`, `[env("NEW"), env("OLD")]`, 1)) // both overlap
		_, resp, err = h.do(base)
		if text := finish(t, resp, err); text != f.body {
			t.Errorf("%q", text)
		}
	})
}

// TestFallbackNotFor: what is no sign of a provider that is down gets its own
// answer.
func TestFallbackNotFor(t *testing.T) {
	for _, down := range []step{{status: 404}, {status: 401}, {status: 429}, {status: 400}, {status: 409}} {
		synctest.Test(t, func(t *testing.T) {
			f := &feed{status: 200, body: "good"}
			h := compile(t, f.RoundTrip, tenMinutes)
			_, resp, err := h.do(call{method: "GET", path: "/x"})
			finish(t, resp, err)
			f.down = &down
			x, resp, err := h.do(call{method: "GET", path: "/x"})
			if text := finish(t, resp, err); text != "down" || resp.StatusCode != down.status || x.Source == policy.Stale {
				t.Errorf("%d became %d %q from %s", down.status, resp.StatusCode, text, x.Source)
			}
		})
	}
	var plans []string
	for _, st := range compile(t, (&feed{}).RoundTrip, oneTry).set.Provider("p").Plans()[0].Stages {
		plans = append(plans, st.Name)
	}
	if slices.Contains(plans, "fallback") {
		t.Error("a plan without it has the stage")
	}
}
