package proxy_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/proxy"
)

func withClients(g *rig, _ *proxy.Limits) {
	g.config.Clients = []proxy.Client{
		{Name: "billing", Token: block.Plaintext("t0ken-b")},
		{Name: "mail", Token: block.Plaintext("t0ken-m"), Providers: []string{"second.example.com"}},
		{Name: "broken", Token: block.Secret{}},
	}
}

func basicAuth(user string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user))
}

func TestC30ProxyCredentials(t *testing.T) {
	up := &recorder{}
	g := newRig(t, up, withClients)
	for _, c := range []struct {
		auth, host      string
		status          int
		client, account string
		code            policy.Code
	}{
		{"", apiHost, 407, "", "", policy.ClientRequired},
		{basicAuth("billing:t0ken-b"), apiHost, 200, "billing", "", ""},
		{strings.ToLower("Basic") + basicAuth("billing:t0ken-b")[5:], apiHost, 200, "billing", "", ""},
		{basicAuth("billing+acct_1:t0ken-b"), apiHost, 200, "billing", "acct_1", ""},
		{basicAuth("billing:t0ken-m"), apiHost, 407, "", "", policy.ClientRefused},
		{basicAuth("billing:"), apiHost, 407, "", "", policy.ClientRefused},
		{basicAuth("broken:"), apiHost, 407, "", "", policy.ClientRefused},
		{basicAuth(":t0ken-b"), apiHost, 407, "", "", policy.ClientRefused},
		{basicAuth("nobody:t0ken-b"), apiHost, 407, "", "", policy.ClientRefused},
		{"Bearer t0ken-b", apiHost, 407, "", "", policy.ClientRefused},
		{"Basic !!", apiHost, 407, "", "", policy.ClientRefused},
		{basicAuth("mail:t0ken-m"), apiHost, 407, "mail", "", policy.ClientRefused},
		{basicAuth("mail:t0ken-m"), "second.example.com", 200, "mail", "", ""},
		{basicAuth("mail:wrong"), "unknown.example", 407, "", "", policy.ClientRefused},
	} {
		for _, method := range []string{"GET", "CONNECT"} {
			target := "https://" + c.host + "/"
			if method == "CONNECT" {
				target = c.host + ":443"
				if c.status == 200 {
					continue // below
				}
			}
			head := ""
			if c.auth != "" {
				head = "Proxy-Authorization: " + c.auth + "\r\n"
			}
			resp, text, err := exchange(raw(t, g.addr), method, method+" "+target+" HTTP/1.1\r\nHost: x\r\n"+head+"\r\n")
			if err != nil || resp.StatusCode != c.status || !strings.Contains(text, string(c.code)) {
				t.Errorf("%s %s %q: %v %v %s", method, target, c.auth, resp, err, text)
				continue
			}
			if (resp.Header.Get("Proxy-Authenticate") != "") != (c.status == 407) {
				t.Errorf("%q: Proxy-Authenticate %q", c.auth, resp.Header.Get("Proxy-Authenticate"))
			}
			if l := g.next(); l.x.Client != c.client || l.x.Account != c.account || l.Code != c.code {
				t.Errorf("%s %q: client %q account %q code %q", method, c.auth, l.x.Client, l.x.Account, l.Code)
			}
			if saw := up.take(); (saw != "") != (c.status == 200) {
				t.Errorf("%q: upstream saw %q", c.auth, saw)
			}
		}
	}
	for _, h2 := range []bool{false, true} {
		resp, err := g.client(h2, url.UserPassword("billing+acct_2", "t0ken-b")).Get(apiURL)
		body(t, resp, err)
		if l := g.next(); l.Status != 200 || l.x.Client != "billing" || l.x.Account != "acct_2" {
			t.Errorf("in a tunnel: %+v %+v", l.Result, l.x.Client)
		}
	}
}

// A tunnel does not outlive its client's right.
func TestClientRemovedByAReload(t *testing.T) {
	g := newRig(t, &recorder{}, withClients)
	client := g.client(false, url.UserPassword("billing", "t0ken-b"))
	resp, err := client.Get(apiURL)
	body(t, resp, err)
	next := *g.config
	next.Clients = next.Clients[1:]
	if err := g.server.Swap(g.set, &next); err != nil {
		t.Fatal(err)
	}
	resp, err = client.Get(apiURL)
	if contains(t, body(t, resp, err), "client_refused"); resp.StatusCode != 407 {
		t.Error(resp.Status)
	}
}

// On a base URL the client's token stands where the provider's key would, and
// does not leave.
func TestTokenInTheSlot(t *testing.T) {
	var seen http.Header
	var query string
	g := newRig(t, policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
		seen, query = r.Header, r.URL.RawQuery
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
	}), withClients)
	m, _ := g.set.Provider(apiHost).Match("GET", "/")
	m.Plan.Slots = []policy.Slot{{In: policy.InHeader, Name: "Authorization"}, {In: policy.InHeader, Name: "X-Api-Key"}, {In: policy.InQuery, Name: "key"}, {In: policy.InPath}, {In: policy.InBody}}
	for _, c := range []struct {
		target, head string
		status       int
		query        string
	}{
		{"/v1", "Authorization: Bearer t0ken-b", 200, ""},
		{"/v1", "Authorization: token t0ken-b", 200, ""},
		{"/v1", "Authorization: " + basicAuth("t0ken-b:"), 200, ""},
		{"/v1", "Authorization: " + basicAuth("any:t0ken-b"), 200, ""},
		{"/v1", "X-Api-Key: t0ken-b", 200, ""},
		{"/v1?a=1&key=t0ken-b&b=%zz", "X: y", 200, "a=1&b=%zz"},
		{"/v1?k%65y=t0ken-b", "X: y", 200, ""},
		{"/v1", "Proxy-Authorization: " + basicAuth("billing:t0ken-b"), 200, ""},
		{"/v1", "X-Api-Key: t0ken-b\r\nX-Other: t0ken-b\r\nX-Third: Token t0ken-b", 200, ""}, // wherever else it stands
		{"/v1", "X-Api-Key: t0ken-b\r\nX-Other: " + basicAuth("any:t0ken-b"), 200, ""},
		{"/v1?a=1&Key=t0ken-b&x[]=%740ken-b&b=%zz", "X-Api-Key: t0ken-b", 200, "a=1&b=%zz"},
		{"/v1?key=t0ken-b", "Proxy-Authorization: " + basicAuth("billing:t0ken-b") + "\r\nX-Other: Token t0ken-b", 200, ""},
		{"/v1", "X-Other: t0ken-b", 407, ""},
		{"/v1?other=t0ken-b", "X: y", 407, ""},
		{"/v1", "Authorization: Bearer wrong", 407, ""},
		{"/v1", "Authorization: Bearer ", 407, ""},
		{"/v1", "Authorization: Bearer t0ken-m", 407, ""},
	} {
		seen = nil
		resp, text, err := exchange(raw(t, g.addr), "GET", "GET /p/api.example.com"+c.target+" HTTP/1.1\r\nHost: postern.internal\r\n"+c.head+"\r\n\r\n")
		if err != nil || resp.StatusCode != c.status {
			t.Errorf("%s %s: %v %v %s", c.target, c.head, resp, err, text)
		}
		if (seen != nil) != (c.status == 200) || c.status == 200 && query != c.query || strings.Contains(fmt.Sprint(seen, query), "t0ken") {
			t.Errorf("%s %s: the plan saw %v ?%s", c.target, c.head, seen, query)
		}
	}
	resp, text, err := exchange(raw(t, g.addr), "GET", "GET /p/unknown/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\n\r\n")
	if err != nil || resp.StatusCode != 407 || strings.Contains(text, "no_provider") {
		t.Errorf("whether a provider exists was told: %v %v %s", resp, err, text)
	}
}

func TestControlHeaders(t *testing.T) {
	var seen http.Header
	g := newRig(t, policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
		seen = r.Header
		x := policy.From(r.Context())
		h := http.Header{"Postern-Id": {"forged"}, "Postern-Other": {"forged"}, "X-Total": {x.Total.Sub(x.Start).String()}}
		if x.Total.IsZero() {
			h.Set("X-Total", "none")
		}
		return &http.Response{StatusCode: 200, Header: h, Body: http.NoBody}, nil
	}))
	for _, c := range []struct {
		head                 string
		status               int
		tags, account, total string
	}{
		{"X: y", 200, "", "", "none"},
		{"Postern-Tags: order=1, customer=c/2", 200, "order=1, customer=c/2", "", "none"},
		{"Postern-Tags: a=1\r\nPostern-Tags: b=2", 200, "a=1,b=2", "", "none"},
		{"Postern-Tags: a", 400, "", "", ""},
		{"Postern-Tags: =1", 400, "", "", ""},
		{"Postern-Tags: a b=1", 400, "", "", ""},
		{"Postern-Tags: a=\xc3\xa9", 400, "", "", ""},
		{"Postern-Tags: a=" + strings.Repeat("x", 65), 400, "", "", ""},
		{"Postern-Tags: a=1,a=1,a=1,a=1,a=1,a=1,a=1,a=1,a=1", 400, "", "", ""},
		{"Postern-Account: acct_1", 200, "", "acct_1", "none"},
		{"Postern-Account: a\r\nPostern-Account: b", 400, "", "", ""},
		{"Postern-Account: " + strings.Repeat("x", 257), 400, "", "", ""},
		{"Proxy-Authorization: " + basicAuth("x+acct_2:"), 200, "", "acct_2", "none"},
		{"Proxy-Authorization: " + basicAuth("x+acct_2:") + "\r\nPostern-Account: acct_1", 200, "", "acct_1", "none"},
		{"Proxy-Authorization: " + basicAuth("x+a\r\nb:"), 400, "", "", ""},
		{"Postern-Timeout: 1500ms", 200, "", "", "1.5s"},
		{"Postern-Timeout: 30", 200, "", "", "30s"},
		{"Postern-Timeout: 2.5", 200, "", "", "2.5s"},
		{"Postern-Timeout: 0", 400, "", "", ""},
		{"Postern-Timeout: -1s", 400, "", "", ""},
		{"Postern-Timeout: soon", 400, "", "", ""},
		{"Postern-Timeout: 25h", 400, "", "", ""},
		{"Postern-Async: true", 400, "", "", ""},
		{"X_Y: 1", 400, "", "", ""},
		{"Connection: X-Mine, Authorization\r\nX-Mine: 1\r\nAuthorization: mine\r\nKeep-Alive: 1\r\nProxy-Connection: x\r\nTE: trailers;q=0.5, gzip\r\nPostern-Future: 1", 200, "", "", "none"},
	} {
		seen = nil
		resp, text, err := exchange(raw(t, g.addr), "GET", "GET https://api.example.com/ HTTP/1.1\r\nHost: x\r\n"+c.head+"\r\n\r\n")
		if err != nil || resp.StatusCode != c.status {
			t.Errorf("%s: %v %v %s", c.head, resp, err, text)
			continue
		}
		l := g.next()
		if c.status != 200 {
			if seen != nil {
				t.Errorf("%s: reached the plan", c.head)
			}
			continue
		}
		if l.x.Tags != c.tags || l.x.Account != c.account || resp.Header.Get("X-Total") != c.total {
			t.Errorf("%s: tags %q account %q total %s", c.head, l.x.Tags, l.x.Account, resp.Header.Get("X-Total"))
		}
		if resp.Header.Get("Postern-Id") != l.x.ID || resp.Header.Get("Postern-Other") != "" {
			t.Errorf("%s: the provider spoke for Postern: %v", c.head, resp.Header)
		}
		for name := range seen {
			if !slices.Contains([]string{"X", "Te", "User-Agent"}, name) {
				t.Errorf("%s: the plan saw %s", c.head, name)
			}
		}
		if strings.Contains(c.head, "TE:") && (len(seen["Te"]) != 1 || seen["Te"][0] != "trailers") {
			t.Errorf("TE became %q", seen["Te"])
		}
	}
}

func TestAcceptEncodingWhereAnswersAreRead(t *testing.T) {
	for reads, wants := range map[bool]map[string]string{
		true:  {"": "", "gzip": "gzip", "br": "identity", "gzip, br": "gzip", "*": "gzip", "zstd, br;q=0.5": "identity"},
		false: {"": "", "gzip": "gzip", "br": "br", "gzip, br": "gzip, br"},
	} {
		for asked, want := range wants {
			var got string
			g := newRig(t, policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
				got = r.Header.Get("Accept-Encoding")
				return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
			}))
			m, _ := g.set.Provider(apiHost).Match("GET", "/")
			m.Plan.ReadsAnswer = reads
			head := ""
			if asked != "" {
				head = "Accept-Encoding: " + asked + "\r\n"
			}
			if resp, _, err := exchange(raw(t, g.addr), "GET", "GET https://api.example.com/ HTTP/1.1\r\nHost: x\r\n"+head+"\r\n"); err != nil || resp.StatusCode != 200 || got != want {
				t.Errorf("reads %v, %q: became %q, want %q (%v)", reads, asked, got, want, err)
			}
		}
	}
}
