package proxy_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/proxy"
)

// recorder is an upstream that remembers for whom requests were.
type recorder struct {
	mu  sync.Mutex
	saw []string
}

func (r *recorder) RoundTrip(q *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.saw = append(r.saw, q.URL.Scheme+" "+q.URL.Host+" "+q.Host+" "+q.URL.RequestURI())
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
}

func (r *recorder) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := strings.Join(r.saw, "; ")
	r.saw = nil
	return s
}

const same = "https api.example.com api.example.com /"

// What a request in a tunnel may say about its host.
func TestC1HostAgreement(t *testing.T) {
	up := &recorder{}
	g := newRig(t, up)
	type row struct {
		name, connect, sni, request string
		status                      int
	}
	host := func(h string) string { return "GET / HTTP/1.1\r\nHost: " + h + "\r\n\r\n" }
	rows := []row{
		{"same", apiHost + ":443", apiHost, host(apiHost), 200},
		{"same with port", apiHost + ":443", apiHost, host(apiHost + ":443"), 200},
		{"absent SNI", apiHost + ":443", "", host(apiHost), 200},
		{"case of CONNECT", "API.Example.COM:443", apiHost, host(apiHost), 200},
		{"case of SNI", apiHost + ":443", "Api.Example.Com", host(apiHost), 200},
		{"case of Host", apiHost + ":443", apiHost, host("API.EXAMPLE.COM"), 200},
		{"dot in CONNECT", "api.example.com.:443", apiHost, host(apiHost), 200},
		{"dot in Host", apiHost + ":443", apiHost, host("api.example.com."), 200},
		{"absolute form", apiHost + ":443", apiHost, "GET https://api.example.com/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", 200},
		{"IDN as A-label", apiHost + ":443", apiHost, host("xn--pi-xia.example.com"), 421},
		{"IDN as U-label", apiHost + ":443", apiHost, host("аpi.example.com"), 400}, // a Cyrillic а, refused by net/http
		{"other Host", apiHost + ":443", apiHost, host("evil.example"), 421},
		{"other provider's Host", apiHost + ":443", apiHost, host("second.example.com"), 421},
		{"other SNI", apiHost + ":443", "second.example.com", host(apiHost), 421},
		{"SNI and Host other", apiHost + ":443", "second.example.com", host("second.example.com"), 421},
		{"other URL", apiHost + ":443", apiHost, "GET https://second.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n", 421},
		{"other scheme", apiHost + ":443", apiHost, "GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n", 421},
		{"other port in URL", apiHost + ":443", apiHost, "GET https://api.example.com:444/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n", 421},
		{"userinfo in URL", apiHost + ":443", apiHost, "GET https://api.example.com@second.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n", 400},
		{"other port in Host", apiHost + ":443", apiHost, host(apiHost + ":444"), 421},
		{"empty Host", apiHost + ":443", apiHost, host(""), 421},
		{"IP literal in Host", apiHost + ":443", apiHost, host("127.0.0.1"), 421},
		{"IPv6 literal in Host", apiHost + ":443", apiHost, host("[::1]"), 421},
		{"brackets", apiHost + ":443", apiHost, host("[api.example.com]"), 400},
		{"subdomain", apiHost + ":443", apiHost, host("x.api.example.com"), 421},
		{"percent", apiHost + ":443", apiHost, host("api.example%2ecom"), 400},
		{"userinfo in Host", apiHost + ":443", apiHost, host("api.example.com@evil.example"), 400},
		{"two dots", apiHost + ":443", apiHost, host("api.example.com.."), 400},
	}
	for _, c := range rows {
		t.Run(c.name, func(t *testing.T) {
			up.take()
			resp, text, err := exchange(g.tunnel(c.connect, c.sni), "GET", c.request)
			if err != nil || resp.StatusCode != c.status {
				t.Fatalf("%v %v %s, want %d", resp, err, text, c.status)
			}
			want := map[bool]string{true: same}[c.status == 200]
			if saw := up.take(); saw != want {
				t.Errorf("upstream saw %q, want %q", saw, want)
			}
			if c.status == 421 {
				contains(t, text, `"code":"host_mismatch"`)
			}
		})
	}
}

// The same over HTTP/2, where :authority and Host can both be there.
func TestC1HostAgreementH2(t *testing.T) {
	up := &recorder{}
	g := newRig(t, up)
	for _, c := range []struct {
		authority, host string
		status          string
	}{
		{apiHost, "", "200"},
		{"API.example.com:443", "", "200"},
		{"", apiHost, "200"},
		{apiHost, apiHost, "200"},
		{"second.example.com", "", "421"},
		{apiHost, "second.example.com", "421"},
		{"second.example.com", apiHost, "421"},
		{apiHost + ":444", "", "421"},
	} {
		conn := g.tunnel(apiHost+":443", apiHost, "h2")
		if got := h2Get(t, conn, c.authority, c.host); got != c.status {
			t.Errorf(":authority %q, Host %q: %s, want %s", c.authority, c.host, got, c.status)
		}
		if saw := up.take(); (saw == same) != (c.status == "200") {
			t.Errorf(":authority %q, Host %q: upstream saw %q", c.authority, c.host, saw)
		}
	}
}

// h2Get sends one request with raw pseudo-headers and returns its status.
func h2Get(t *testing.T, conn *tls.Conn, authority, host string) string {
	t.Helper()
	io.WriteString(conn, http2.ClientPreface)
	fr := http2.NewFramer(conn, conn)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	fr.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", authority}, {"host", host}} {
		if f[1] != "" {
			enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
	}
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return f.ErrCode.String()
		}
	}
}

// What a CONNECT may name.
func TestC5ConnectAuthority(t *testing.T) {
	up := &recorder{}
	g := newRig(t, up, func(g *rig, _ *proxy.Limits) { g.config.Unmatched = "deny" })
	for authority, want := range map[string]int{
		"api.example.com:443": 200, "api.example.com:80": 200, "API.example.com.:443": 200,
		"api.example.com:8443": 403, "api.example.com": 400, "api.example.com:": 400, "api.example.com:0443": 400, "api.example.com:65536": 400,
		"[api.example.com]:443": 400, "user@api.example.com:443": 400, "api%2eexample.com:443": 400, "api.example.com..:443": 400,
		".api.example.com:443": 400, "api..example.com:443": 400, "_._:443": 400, "xn--a:443": 400, "0x7f.1:443": 400, "127.1:443": 400, "2130706433:443": 400,
		"0177.0.0.1:443": 400, "[fe80::1%25eth0]:443": 400, "[::ffff:127.0.0.1]:443": 400, "127.0.0.1:443": 403, "[::1]:443": 403, "evil.example:443": 403,
		"api.example.com:443/x": 400, "http://api.example.com:443": 400,
	} {
		c := raw(t, g.addr)
		fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n", authority)
		resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: "CONNECT"})
		if err != nil || resp.StatusCode != want {
			t.Errorf("%s: %v %v, want %d", authority, resp, err, want)
		}
		c.Close()
	}
	if asked := g.dialled.asked; len(asked) > 0 {
		t.Errorf("dialled %q", asked)
	}
}

var hosts = map[string]string{ // "" is refused
	"api.example.com": "api.example.com", "API.EXAMPLE.com": "api.example.com", "api.example.com.": "api.example.com", "localhost": "localhost",
	"bücher.example": "xn--bcher-kva.example", "BÜCHER.example": "xn--bcher-kva.example", "xn--bcher-kva.example": "xn--bcher-kva.example", "faß.de": "xn--fa-hia.de",
	"my_bucket.s3.example.com": "my_bucket.s3.example.com", "_dmarc.example.com": "_dmarc.example.com", "r3---sn-x.example.com": "r3---sn-x.example.com",
	"192.0.2.1": "192.0.2.1", "[2001:DB8:0:0::1]": "2001:db8::1", "1.2.3.com": "1.2.3.com", "0x7f.example": "0x7f.example",
	"": "", ".": "", "..": "", "a..b": "", ".a": "", "a.b..": "", "_": "", "__.example.com": "", "-.example.com": "", "-a.example.com": "", "a-.example.com": "",
	"api.example%2ecom": "", "api.example.com%00": "", "api.example.com\x00": "", "api example.com": "", "a@b.com": "", "a/b.com": "", "a\\b.com": "", "a?b": "", "a#b": "", "a:b": "",
	"[api.example.com]": "", "[127.0.0.1]": "", "[::1": "", "::1": "", "[]": "", "[::1]x": "", "[fe80::1%eth0]": "", "[::ffff:192.0.2.1]": "",
	"127.1": "", "2130706433": "", "0x7f000001": "", "0x7f.0.0.1": "", "0177.0.0.1": "", "127.0.0.01": "", "192.0.2.1.": "", "１９２.0.2.1": "", "1.2.3.4.5": "", "256.1.1.1": "", "0x": "", "a.0x": "",
	"xn--a": "", "xn--": "", "xn--example-.com": "", "xn--localhost-": "", "xn--google-.com": "", "XN--a.com": "",
	strings.Repeat("a", 64) + ".com": "", strings.Repeat("a.", 127) + "com": "", "ex\u200bample.com": "example.com", "a\u3002b.example": "a.b.example", "*.example.com": "",
}

func TestC5NormaliseHost(t *testing.T) {
	for in, want := range hosts {
		got, err := proxy.NormaliseHost(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v, want %q", in, got, err, want)
		}
	}
}

// Whatever is accepted is one plain spelling, and stays itself.
func FuzzC5NormaliseHost(f *testing.F) {
	for in := range hosts {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := proxy.NormaliseHost(in)
		if err != nil {
			if got != "" {
				t.Fatalf("%q: %q with %v", in, got, err)
			}
			return
		}
		again := got
		if strings.Contains(got, ":") {
			again = "[" + got + "]"
		}
		if twice, err := proxy.NormaliseHost(again); err != nil || twice != got {
			t.Fatalf("%q: %q, then %q %v", in, got, twice, err)
		}
		if strings.Trim(got, "abcdefghijklmnopqrstuvwxyz0123456789-_.:") != "" || len(got) > 253 || strings.HasSuffix(got, ".") {
			t.Fatalf("%q: %q", in, got)
		}
		a, err := proxy.ParseAuthority(again, "443")
		if err != nil || a.Host != got {
			t.Fatalf("%q: authority %v %v", again, a, err)
		}
		if back, err := proxy.ParseAuthority(a.Text("https"), "443"); err != nil || back != a {
			t.Fatalf("%v as text: %v %v", a, back, err)
		}
	})
}

func TestP5BrowsersAreRefused(t *testing.T) {
	up := &recorder{}
	g := newRig(t, up, func(g *rig, _ *proxy.Limits) { g.set.Provider("second.example.com").Listen = "127.0.0.1:0" })
	port := g.server.Port("127.0.0.1:0").String()
	for _, way := range []struct{ addr, path string }{{g.addr, "/p/api.example.com/"}, {port, "/"}} {
		_, number, _ := strings.Cut(way.addr, ":")
		for head, want := range map[string]int{
			"Host: " + way.addr: 200, "Host: localhost:" + number: 200, "Host: [::1]:1": 200, "Host: app.localhost": 200,
			"Host: evil.example": 421, "Host: evil.example:" + number: 421, "Host: 127.1": 400, "Host: ": 400,
			"Host: localhost\r\nSec-Fetch-Site: cross-site": 403, "Host: localhost\r\nSec-Fetch-Site: same-site": 403,
			"Host: localhost\r\nSec-Fetch-Site: none": 200, "Host: localhost\r\nSec-Fetch-Site: same-origin": 200,
			"Host: localhost\r\nOrigin: https://evil.example": 403, "Host: localhost\r\nOrigin: null": 403, "Host: localhost\r\nOrigin: http://localhost:3000": 403,
			"Host: localhost\r\nOrigin: http://localhost": 200, "Host: evil.example\r\nOrigin: http://evil.example": 421,
		} {
			resp, text, err := exchange(raw(t, way.addr), "GET", "GET "+way.path+" HTTP/1.1\r\n"+head+"\r\n\r\n")
			if err != nil || resp.StatusCode != want {
				t.Errorf("%s %q: %v %v %s, want %d", way.path, head, resp, err, text, want)
			}
			if saw := up.take(); (saw != "") != (want == 200) {
				t.Errorf("%s %q: upstream saw %q", way.path, head, saw)
			}
		}
	}
}

func TestBaseURL(t *testing.T) {
	up := &recorder{}
	g := newRig(t, up, func(g *rig, _ *proxy.Limits) { g.set.Provider("second.example.com").Listen = "127.0.0.1:0" })
	port := g.server.Port("127.0.0.1:0").String()
	const api, second = "https api.example.com api.example.com ", "https second.example.com second.example.com "
	for _, c := range []struct {
		addr, target   string
		status         int
		account, saw   string
		detail, method string
	}{
		{g.addr, "/p/api.example.com/v1/a%2fb//c?x=%zz", 200, "", api + "/v1/a%2fb//c?x=%zz", "", "GET"},
		{g.addr, "/p/api.example.com", 200, "", api + "/", "", "GET"},
		{g.addr, "/p/api.example.com?", 200, "", api + "/?", "", "GET"},
		{g.addr, "/p/api.example.com@acct_1/v1", 200, "acct_1", api + "/v1", "", "GET"},
		{g.addr, "/p/api.example.com@a%40b/v1", 200, "a@b", api + "/v1", "", "GET"},
		{g.addr, "/p/api.example.com@a%0ab/v1", 400, "", "", "account", "GET"},
		{g.addr, "/p/unknown/v1", 403, "", "", "no_provider", "GET"},
		{g.addr, "/p/", 403, "", "", "no_provider", "GET"},
		{g.addr, "/", 400, "", "", "HTTPS_PROXY", "GET"},
		{g.addr, "/contracts/refund", 400, "", "", "not built", "POST"},
		{g.addr, "/p/api.example.com/v1", 403, "", "", "TRACE", "TRACE"},
		{port, "/p/api.example.com/v1", 200, "", second + "/p/api.example.com/v1", "", "GET"},
		{port, "/v1/a%2fb?q", 200, "", second + "/v1/a%2fb?q", "", "GET"},
		{port, "http://api.example.com/v1", 200, "", "http api.example.com api.example.com /v1", "", "GET"},
	} {
		resp, text, err := exchange(raw(t, c.addr), c.method, c.method+" "+c.target+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if err != nil || resp.StatusCode != c.status || !strings.Contains(text, c.detail) {
			t.Errorf("%s: %v %v %s", c.target, resp, err, text)
		}
		if saw := up.take(); saw != c.saw {
			t.Errorf("%s: upstream saw %q, want %q", c.target, saw, c.saw)
		}
		if l := g.next(); l.x.Account != c.account {
			t.Errorf("%s: account %q", c.target, l.x.Account)
		}
	}
}

func TestClearTextCredentialIsRefused(t *testing.T) {
	up := &recorder{}
	g := newRig(t, up)
	m, _ := g.set.Provider(apiHost).Match("GET", "/")
	m.Plan.Slots = []policy.Slot{{In: policy.InHeader, Name: "Authorization"}}
	for target, want := range map[string]int{"http://api.example.com/": 403, "https://api.example.com/": 200} {
		resp, text, err := exchange(raw(t, g.addr), "GET", "GET "+target+" HTTP/1.1\r\nHost: x\r\n\r\n")
		if err != nil || resp.StatusCode != want {
			t.Errorf("%s: %v %v %s", target, resp, err, text)
		}
		if saw := up.take(); (saw != "") != (want == 200) {
			t.Errorf("%s: upstream saw %q", target, saw)
		}
	}
}

func TestPlainHTTPInATunnel(t *testing.T) {
	up := &recorder{}
	g := newRig(t, up)
	connect := "CONNECT api.example.com:%d HTTP/1.1\r\nHost: x\r\n\r\nGET /x HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
	for port, want := range map[int]string{80: "HTTP/1.1 200 OK", 443: "HTTP/1.1 400 Bad Request"} {
		c := raw(t, g.addr)
		fmt.Fprintf(c, connect, port)
		br := bufio.NewReader(c)
		if resp, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		if line, err := br.ReadString('\n'); strings.TrimSpace(line) != want {
			t.Errorf("port %d: %q %v", port, line, err)
		}
		if saw := up.take(); (saw == "http api.example.com api.example.com /x") != (port == 80) {
			t.Errorf("port %d: upstream saw %q", port, saw)
		}
	}
}

// What stands before an @ may be a password: it is refused, and not repeated.
func TestP52UserInfoIsNotRepeated(t *testing.T) {
	g := newRig(t, &recorder{})
	for _, request := range []string{
		"GET https://user:hunter2@api.example.com/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET https://hunter2@api.example.com/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET https://user:hunter2@api.example.com:443x/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT user:hunter2@api.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		resp, text, err := exchange(raw(t, g.addr), "GET", request)
		if err != nil || resp.StatusCode != 400 || strings.Contains(text, "hunter2") {
			t.Errorf("%q: %v %v %s", request, resp, err, text)
		}
		if strings.Contains(request, "443x") {
			continue // refused before there is a request
		}
		if l := g.next(); strings.Contains(fmt.Sprint(l.Err), "hunter2") {
			t.Errorf("%q: journal %v", request, l.Err)
		}
	}
}
