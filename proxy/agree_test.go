package proxy_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/proxy"
)

// sees answers every request, and keeps the last one.
func sees(last **http.Request) http.RoundTripper {
	return policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
		*last = r
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
	})
}

// What ties calls together inside the application's own systems does not go to
// a provider; a host that no provider names gets what was sent.
func TestTraceContextStaysInside(t *testing.T) {
	var last *http.Request
	g := newRig(t, sees(&last))
	var plain http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { plain = r.Header }))
	defer srv.Close()
	g.dialled.to = srv.Listener.Addr().String()

	head := http.Header{
		"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		"Tracestate":  {"vendor=a", "other=b"},
		"Baggage":     {"user=alice"},
		"X-Trace":     {"kept"},
	}
	for _, h2 := range []bool{false, true} {
		for target, passes := range map[string]bool{apiURL: false, "http://unknown.example/": true} {
			req, err := http.NewRequest("GET", target, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			req.Header = head.Clone()
			resp, err := g.client(h2, nil).Do(req)
			body(t, resp, err)
			got := plain
			if !passes {
				got = last.Header
			}
			for _, name := range []string{"Traceparent", "Tracestate", "Baggage"} {
				if (len(got[name]) > 0) != passes {
					t.Errorf("%s: %s arrived as %q", target, name, got[name])
				}
			}
			if !passes {
				if l := g.next(); l.x.Trace != head.Get("Traceparent") {
					t.Errorf("%s: the journal has trace %q", target, l.x.Trace)
				}
			}
			if got.Get("X-Trace") != "kept" {
				t.Errorf("%s: X-Trace was lost", target)
			}
		}
	}
}

func odd(g *rig, _ *proxy.Limits) {
	g.config.Clients = append(g.config.Clients, proxy.Client{Name: "odd", Token: block.Plaintext("a/b+c%d e")})
}

// Programs write the user info of the proxy's URL in two odd ways: Ruby makes a
// space of the plus, axios 1.x sends what is percent-encoded as it is.
func TestC30OddlyWrittenCredentials(t *testing.T) {
	var last *http.Request
	g := newRig(t, sees(&last), withClients, odd)
	for _, c := range []struct {
		user, client, account string
	}{
		{"billing acct_1:t0ken-b", "billing", "acct_1"},
		{"odd:a/b+c%d e", "odd", ""},
		{"odd:a%2Fb%2Bc%25d%20e", "odd", ""},
		{"odd:a%2fb+c%25d%20e", "odd", ""},
		{"odd acct_2:a%2Fb%2Bc%25d%20e", "odd", "acct_2"},
		{"odd:a%252Fb%252Bc%2525d%2520e", "", ""}, // encoded twice
		{"odd:a/b+c%d+e", "", ""},                 // a plus is no space in a token
		{"odd:a%2Fb%2Bc%d e", "", ""},             // no encoding at all
		{"odd%20acct_2:a%2Fb%2Bc%25d%20e", "", ""},
		{" acct_1:t0ken-b", "", ""},
		{"billing:a%2Fb%2Bc%25d%20e", "", ""}, // another's token
	} {
		last = nil
		status := map[bool]int{true: 200, false: 407}[c.client != ""]
		resp, text, err := exchange(raw(t, g.addr), "GET", "GET https://api.example.com/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: "+basicAuth(c.user)+"\r\n\r\n")
		if err != nil || resp.StatusCode != status || (last != nil) != (status == 200) {
			t.Errorf("%q: %v %v %s", c.user, resp, err, text)
			continue
		}
		if l := g.next(); l.x.Client != c.client || l.x.Account != c.account {
			t.Errorf("%q: client %q, account %q", c.user, l.x.Client, l.x.Account)
		}
		resp, text, err = exchange(raw(t, g.addr), "CONNECT", "CONNECT api.example.com:443 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: "+basicAuth(c.user)+"\r\n\r\n")
		if err != nil || resp.StatusCode != status {
			t.Errorf("CONNECT %q: %v %v %s", c.user, resp, err, text)
		} else if status != 200 {
			g.next()
		}
	}
}

// Another host goes by its own name; a mock at an address sees the provider's.
func TestHostOfAnUpstream(t *testing.T) {
	var last *http.Request
	g := newRig(t, sees(&last))
	m, err := g.set.Provider(apiHost).Match("GET", "/")
	if err != nil {
		t.Fatal(err)
	}
	for upstream, want := range map[string]string{
		"":                             apiHost,
		"https://staging.example.com":  "staging.example.com",
		"http://stripe-mock:12111":     "stripe-mock:12111",
		"http://localhost:12111":       "localhost:12111",
		"http://127.0.0.1:12111":       apiHost,
		"https://[::1]:12111":          apiHost,
		"https://api.example.com:8443": "api.example.com:8443",
	} {
		m.Plan.Upstream = nil
		if upstream != "" {
			if m.Plan.Upstream, err = url.Parse(upstream); err != nil {
				t.Fatal(err)
			}
		}
		for _, h2 := range []bool{false, true} {
			resp, err := g.client(h2, nil).Get(apiURL)
			if body(t, resp, err); resp.StatusCode != 200 || last.Host != want {
				t.Errorf("upstream %q: Host %q, want %q", upstream, last.Host, want)
			}
			g.next()
		}
	}
}
