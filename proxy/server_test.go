package proxy_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclparse"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/proxy"
	"github.com/postern-proxy/postern/proxy/ca"
)

func TestConfig(t *testing.T) {
	for text, want := range map[string]string{
		"": "", `listen = "[::1]:0"`: "", `listen = "localhost:8080"`: "",
		`listen = "0.0.0.0:8080"`:         "client has to be declared",
		`listen = ":8080"`:                "client has to be declared",
		`listen = "proxy.internal:8080"`:  "client has to be declared",
		`listen = "8080"`:                 "HOST:PORT",
		`unmatched = "allow"`:             "tunnel",
		`private_networks = ["10.0.0.1"]`: "network", `private_networks = ["10.0.0.1/8"]`: "network", `private_networks = ["10.0.0.0/8", "fd00::/8"]`: "",
		"listen = \"0.0.0.0:8080\"\nclient \"a\" { token = env(\"X\") }":           "",
		"client \"a+b\" { token = env(\"X\") }":                                    "'+'",
		"client \"a\" { token = env(\"X\") }\nclient \"a\" { token = env(\"Y\") }": "twice",
		"client \"a\" {}":              "token",
		"tls {\n  cert = \"a.pem\"\n}": "key",
		"client \"a\" {\n  token = env(\"X\")\n  providers = [\"stripe\"]\n}": "",
		"trust = \"t\"\nca = \"c\"\ntls {\n cert = \"c\"\n key = \"k\"\n }":   "",
	} {
		f, diags := hclparse.NewParser().ParseHCL([]byte(text), "postern.hcl")
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		var c proxy.Config
		diags = block.Decode(f.Body, block.NewContext("dev", block.NewSecrets(nil)), &c)
		got := ""
		for _, d := range diags {
			got += d.Summary + " " + d.Detail + "\n"
		}
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s\ngave %q, want %q", text, got, want)
		}
	}
}

// Unmatched hosts are tunnelled on loopback, and denied where others can come.
func TestC27UnmatchedDefault(t *testing.T) {
	for listen, want := range map[string]int{"127.0.0.1:0": 200, "0.0.0.0:0": 403} {
		up, _ := net.Listen("tcp", "127.0.0.1:0")
		g := newRig(t, &recorder{}, withClients, func(g *rig, _ *proxy.Limits) { g.config.Listen = listen; g.dialled.to = up.Addr().String() })
		_, port, _ := net.SplitHostPort(g.addr)
		resp, _, err := exchange(raw(t, "127.0.0.1:"+port), "CONNECT", "CONNECT other.example:443 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: "+basicAuth("billing:t0ken-b")+"\r\n\r\n")
		if err != nil || resp.StatusCode != want {
			t.Errorf("%s: %v %v", listen, resp, err)
		}
		up.Close()
	}
}

func TestPortsFollowThePolicy(t *testing.T) {
	up := &recorder{}
	g := newRig(t, up)
	with := func(address string) *policy.Set {
		set := policy.StaticSet(map[string]http.RoundTripper{apiHost: up})
		set.Provider(apiHost).Listen = address
		return set
	}
	get := func(addr net.Addr) error {
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			return err
		}
		defer c.Close()
		resp, _, err := exchange(c, "GET", "GET /v1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		if err == nil && resp.StatusCode != 200 {
			err = errors.New(resp.Status)
		}
		return err
	}
	if err := g.server.Swap(with("127.0.0.1:0"), g.config); err != nil {
		t.Fatal(err)
	}
	addr := g.server.Port("127.0.0.1:0")
	if err := get(addr); err != nil {
		t.Error(err)
	}
	if err := g.server.Swap(with("127.0.0.1:0"), g.config); err != nil || g.server.Port("127.0.0.1:0") != addr {
		t.Error("a reload moved the port", err)
	}
	for _, bad := range []string{"0.0.0.0:0", g.addr} {
		if err := g.server.Swap(with(bad), g.config); err == nil {
			t.Errorf("%s was opened", bad)
		}
		if err := get(addr); err != nil {
			t.Errorf("a failed reload of %s changed something: %v", bad, err)
		}
	}
	if err := g.server.Swap(g.set, g.config); err != nil {
		t.Fatal(err)
	}
	if err := get(addr); err == nil {
		t.Error("the port is still open")
	}
	resp, text, err := exchange(raw(t, g.addr), "GET", "GET /p/api.example.com/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("the proxy's own port: %v %v %s", resp, err, text)
	}
}

func TestC26ListenerWithTLS(t *testing.T) {
	dir := t.TempDir()
	outer, err := ca.Open(filepath.Join(dir, "outer"))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := outer.Leaf("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	writeLeaf(t, dir, leaf)
	for _, h2 := range []bool{false, true} {
		g := newRig(t, origin(t, h2, echo), withClients, func(g *rig, _ *proxy.Limits) {
			g.config.TLS = &block.TLS{Cert: block.Path(filepath.Join(dir, "cert.pem")), Key: block.Path(filepath.Join(dir, "key.pem"))}
		})
		g.roots.AppendCertsFromPEM(outer.PEM())
		client := g.client(h2, nil)
		client.Transport.(*http.Transport).Proxy = http.ProxyURL(&url.URL{Scheme: "https", User: url.UserPassword("billing", "t0ken-b"), Host: g.addr})
		for _, u := range []string{apiURL + "x", "http://" + apiHost + "/x"} {
			resp, err := client.Get(u)
			contains(t, body(t, resp, err), `"uri":"/x"`)
		}
	}
}

func writeLeaf(t *testing.T, dir string, leaf *tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: leaf.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEgress(t *testing.T) {
	var seen *policy.Exchange
	up := origin(t, true, echo)
	g := newRig(t, policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
		seen = policy.From(r.Context())
		if r.URL.Path == "/fail" {
			seen.Attempts = 1
			return nil, errors.New("broken")
		}
		return up.RoundTrip(r)
	}))
	egress := g.handler.Egress(apiHost, "acct_1")
	for _, c := range []struct {
		url, text string
		code      policy.Code
		journal   int
	}{
		{"/v1/x?y", `"uri":"/v1/x?y"`, "", 200},
		{"https://API.example.com./v1", `"host":"api.example.com"`, "", 200},
		{"https://second.example.com/", "", policy.HostMismatch, 421},
		{"https://unknown.example/", "", policy.HostMismatch, 421},
		{"ftp://api.example.com/", "", policy.BadRequest, 400},
		{"/fail", "", "", 502},
	} {
		req, _ := http.NewRequest("POST", c.url, struct{ io.Reader }{strings.NewReader("hello")})
		resp, err := egress(req)
		var d *policy.Denial
		if errors.As(err, &d) && d.Code != c.code || d == nil && c.code != "" {
			t.Errorf("%s: %v", c.url, err)
		}
		if err == nil {
			if h := resp.Header; h.Get("Postern-Id") != seen.ID || h.Get("Postern-Source") != "provider" || h.Get("Postern-Outcome") != "ok" || !seen.Aside {
				t.Errorf("%s: %v", c.url, h)
			}
			contains(t, body(t, resp, err), c.text, `"body":"hello"`)
		}
		if l := g.next(); l.Status != c.journal || c.journal == 200 && (l.x != seen || l.x.Account != "acct_1" || l.In != 5 || l.Out == 0 || l.x.ID == "") {
			t.Errorf("%s: journal %+v", c.url, l.Result)
		}
	}
	if _, err := g.handler.Egress("unknown", "")(&http.Request{URL: &url.URL{Path: "/"}}); err == nil {
		t.Error("an unknown provider was called")
	}
}

func TestConnectIsForTheProxyAlone(t *testing.T) {
	up := &recorder{}
	g := newRig(t, up, func(g *rig, _ *proxy.Limits) { g.set.Provider(apiHost).Listen = "127.0.0.1:0" })
	port := g.server.Port("127.0.0.1:0").String()
	for name, c := range map[string]net.Conn{"a provider's port": raw(t, port), "a tunnel": g.tunnel(apiHost+":443", apiHost)} {
		resp, text, err := exchange(c, "CONNECT", "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n")
		if err != nil || resp.StatusCode != 400 {
			t.Errorf("%s: %v %v %s", name, resp, err, text)
		}
	}
}

// Nothing comes from the environment of this process.
func TestP4EnvironmentIsNotUsed(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	g := blindRig(t, echo)
	resp, _, err := exchange(raw(t, g.addr), "CONNECT", "CONNECT other.example:443 HTTP/1.1\r\nHost: x\r\n\r\n")
	if err != nil || resp.StatusCode != 200 {
		t.Error(resp, err)
	}
	if resp, _, err = exchange(raw(t, g.addr), "GET", "GET http://other.example/ HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil || resp.StatusCode != 200 {
		t.Error(resp, err)
	}
}
