package proxy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postern-proxy/postern/proxy"
)

func echo(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "uri": r.RequestURI, "host": r.Host, "header": r.Header, "body": string(b), "proto": r.Proto})
}

func TestWaysIn(t *testing.T) {
	both(t, func(t *testing.T, h2, up bool) {
		g := newRig(t, origin(t, up, echo))
		through, direct := g.client(h2, nil), &http.Client{Transport: &http.Transport{}}
		defer direct.CloseIdleConnections()
		for _, c := range []struct {
			client *http.Client
			url    string
		}{
			{through, "https://api.example.com/v1/a%2Fb?a;b=%zz"},
			{through, "http://api.example.com/v1/a%2Fb?a;b=%zz"},
			{direct, "http://" + g.addr + "/p/api.example.com/v1/a%2Fb?a;b=%zz"},
		} {
			u, _ := url.Parse(c.url)
			req := &http.Request{Method: "POST", URL: u, Header: http.Header{"X-Forwarded-For": {"app"}}, Body: io.NopCloser(strings.NewReader("hello")), ContentLength: 5}
			resp, err := c.client.Do(req)
			text := body(t, resp, err)
			contains(t, text, `"uri":"/v1/a%2Fb?a;b=%zz"`, `"host":"api.example.com"`, `"body":"hello"`, `"X-Forwarded-For":["app"]`)
			if strings.Contains(text, "User-Agent") && c.client == nil {
				t.Error("a user agent was made up")
			}
			l := g.next()
			if resp.StatusCode != 200 || l.Status != 200 || l.In != 5 || int(l.Out) != len(text) || l.Source != "provider" || l.Outcome != "ok" {
				t.Errorf("%s: %d; journal %+v", c.url, resp.StatusCode, l.Result)
			}
			for k, want := range map[string]string{"Postern-Id": l.x.ID, "Postern-Source": "provider", "Postern-Outcome": "ok", "Postern-Attempts": "1"} {
				if got := resp.Header.Get(k); got != want {
					t.Errorf("%s is %q, want %q", k, got, want)
				}
			}
			if want := map[bool]int{true: 2, false: 1}[h2]; strings.HasPrefix(c.url, "https") && resp.ProtoMajor != want {
				t.Errorf("answered with %s", resp.Proto)
			}
		}
	})
}

func TestAbsoluteHTTPS(t *testing.T) {
	g := newRig(t, origin(t, false, echo))
	resp, text, err := exchange(raw(t, g.addr), "GET", "GET https://API.example.com:443/v1?x HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n")
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	contains(t, text, `"uri":"/v1?x"`, `"host":"api.example.com"`)
}

func TestRefusalIsAProblem(t *testing.T) {
	g := newRig(t, origin(t, false, echo), func(g *rig, _ *proxy.Limits) { g.config.Unmatched = "deny" })
	for _, method := range []string{"GET", "HEAD"} {
		resp, text, err := exchange(raw(t, g.addr), method, method+" http://unknown.example/ HTTP/1.1\r\nHost: unknown.example\r\n\r\n")
		if err != nil || resp.StatusCode != 403 {
			t.Fatal(resp, err)
		}
		l := g.next()
		if l.Status != 403 || l.Code != "no_provider" || l.Outcome != "denied" || l.Executed != "no" || l.Source != "postern" {
			t.Errorf("journal %+v", l.Result)
		}
		for k, want := range map[string]string{
			"Content-Type": "application/problem+json", "Postern-Source": "postern", "Postern-Outcome": "denied",
			"Postern-Attempts": "0", "Postern-Executed": "no", "Postern-Id": l.x.ID,
		} {
			if got := resp.Header.Get(k); got != want {
				t.Errorf("%s is %q, want %q", k, got, want)
			}
		}
		if method == "HEAD" {
			continue
		}
		var p map[string]any
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		for k, want := range map[string]any{"type": "urn:postern:problem:no_provider", "status": 403., "code": "no_provider", "executed": "no", "id": l.x.ID, "attempts": 0., "retryable": false, "outcome": "denied"} {
			if p[k] != want {
				t.Errorf("%s is %v, want %v", k, p[k], want)
			}
		}
		// stripe-node takes a JSON answer without the member error for a success.
		if e, _ := p["error"].(map[string]any); e["code"] != "no_provider" || !strings.HasPrefix(fmt.Sprint(e["message"]), fmt.Sprint(p["detail"])) {
			t.Errorf("error is %v", p["error"])
		}
		for k := range p {
			if !strings.Contains(" type title status detail code outcome provider endpoint account id attempts executed retryable retry_after provider_request_id provider_code hint docs error ", fmt.Sprintf(" %s ", k)) {
				t.Errorf("%s is no member of a problem", k)
			}
		}
	}
}

// A key does not make net/http send a call of an unmatched host again: whether
// its provider honours the key is not known.
func TestP7NoHiddenRetryOfUnmatched(t *testing.T) {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		var times atomic.Int64
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != "POST" {
				return
			}
			times.Add(1)
			if r.Header.Get(name) != "k" {
				t.Errorf("%s did not arrive: %v", name, r.Header)
			}
			panic(http.ErrAbortHandler)
		}))
		t.Cleanup(srv.Close)
		g := newRig(t, &recorder{})
		g.dialled.to = srv.Listener.Addr().String()
		if resp, text, err := exchange(raw(t, g.addr), "GET", "GET http://other.example/ HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, text, err) // the connection is kept
		}
		resp, text, err := exchange(raw(t, g.addr), "POST", "POST http://other.example/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"+name+": k\r\n\r\n")
		if err != nil || resp.StatusCode != 502 || times.Load() != 1 || !strings.Contains(text, `"executed":"maybe"`) {
			t.Errorf("%s: sent %d times: %v %s %v", name, times.Load(), resp, text, err)
		}
	}
}
