package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/policy/credential"
	"github.com/postern-proxy/postern/proxy/upstream"
)

// shop is a provider: an API, and an authorization server that gives tokens of
// its own to an application.
type shop struct {
	api, auth *httptest.Server
	asked     atomic.Int64 // token requests
	down      atomic.Bool
	good      atomic.Pointer[string] // the token that the API takes
	host      atomic.Pointer[string] // under which it was called last
}

func newShop(t *testing.T) *shop {
	s := new(shop)
	s.auth = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := s.asked.Add(1)
		if id, secret, _ := r.BasicAuth(); id != "me" || secret != "client-secret-0123456789" || s.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		token := fmt.Sprintf("shop-access-token-%d-0123456789abcdef", n)
		s.good.Store(&token)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600,"instance_url":"https://acme.shop.example"}`, token)
	}))
	s.api = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		s.host.Store(&host)
		if good := s.good.Load(); good == nil || r.Header.Get("Authorization") != "Bearer "+*good {
			w.WriteHeader(http.StatusUnauthorized)
		}
		fmt.Fprintf(w, "you sent %s", r.Header.Get("Authorization"))
	}))
	t.Cleanup(s.auth.Close)
	t.Cleanup(s.api.Close)
	return s
}

func (s *shop) policy(hosts string) string {
	return fmt.Sprintf(`provider "shop" {
  hosts    = [%s]
  upstream = %q
  credential "oauth2_client_credentials" {
    token_url     = %q
    client_id     = "me"
    client_secret = [file("secret")]
    base_url      = response.body.instance_url
  }
}
`, hosts, s.api.URL, s.auth.URL+"/oauth/token")
}

func text(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestTokensThroughTheGate: an SDK that asks for a token by itself, with the token
// of a client for its credentials, gets one that opens nothing; its calls go to
// where the account's API is, with the true one, which nobody sees and the disk
// has sealed.
func TestTokensThroughTheGate(t *testing.T) {
	s := newShop(t)
	g, dir := startGate(t, map[string]string{
		"shop.hcl": s.policy(`"*.shop.example"`), "secret": "client-secret-0123456789", "client": "token-of-the-application",
		"postern.hcl": "",
		"client.hcl":  "",
	})
	base := "http://" + g.proxy.Addr().String() + "/p/shop"
	ask := func(token string) (access string) {
		t.Helper()
		req, _ := http.NewRequest(http.MethodPost, base+"/oauth/token", strings.NewReader("grant_type=client_credentials"))
		req.SetBasicAuth("dummy", token)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := http.DefaultClient.Do(req)
		var answer struct {
			Token    string `json:"access_token"`
			Life     int    `json:"expires_in"`
			Instance string `json:"instance_url"`
		}
		if got := text(t, resp, err); json.Unmarshal([]byte(got), &answer) != nil || answer.Life != 3600 || answer.Instance != "https://acme.shop.example" || resp.Header.Get("Postern-Source") != "postern" {
			t.Fatalf("%s %q", resp.Status, got)
		}
		return answer.Token
	}
	call := func(token string) *http.Response {
		t.Helper()
		req, _ := http.NewRequest(http.MethodGet, base+"/orders", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if got := text(t, resp, err); resp.StatusCode == http.StatusOK && (got != "you sent Bearer "+strings.Repeat("*", len(*s.good.Load())) || *s.host.Load() != "acme.shop.example") {
			t.Errorf("%s: %q at %s", resp.Status, got, *s.host.Load())
		}
		return resp
	}
	token := ask("dummy")
	if strings.Contains(token, *s.good.Load()) || s.asked.Load() != 1 {
		t.Fatalf("the SDK was given %q", token)
	}
	if resp := call(token); resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}

	// With a client declared, what the SDK is given is what shows who it is.
	put(t, filepath.Join(dir, "postern.hcl"), "proxy {\n  listen = \"127.0.0.1:0\"\n  client \"app\" { token = file(\"client\") }\n}\ninbound { listen = \"127.0.0.1:0\" }\nadmin { listen = \"127.0.0.1:0\" }\n")
	if err := g.reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if resp := call("postern-stub-token"); resp.StatusCode != http.StatusProxyAuthRequired {
		t.Errorf("without a client's token: %s", resp.Status)
	}
	if resp := call(ask("token-of-the-application")); resp.StatusCode != http.StatusOK {
		t.Errorf("with it: %s", resp.Status)
	}
	if s.asked.Load() != 1 {
		t.Errorf("%d token requests", s.asked.Load())
	}

	// A 401 has it renewed once, and the call made again.
	other := "another"
	s.good.Store(&other)
	if resp := call("token-of-the-application"); resp.StatusCode != http.StatusOK || resp.Header.Get("Postern-Attempts") != "2" || s.asked.Load() != 2 {
		t.Errorf("%s after %s attempts, %d token requests", resp.Status, resp.Header.Get("Postern-Attempts"), s.asked.Load())
	}
	for _, name := range []string{"postern.db", "postern.db-wal"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("shop-access-token")) || bytes.Contains(text, []byte("client-secret")) {
			t.Errorf("%s holds a secret", name)
		}
	}
}

// TestC3HostsOfThePolicy: when a policy names a new host, the tokens that were
// sealed before do not go there, until somebody says so.
func TestC3HostsOfThePolicy(t *testing.T) {
	s := newShop(t)
	g, dir := startGate(t, map[string]string{"shop.hcl": s.policy(`"*.shop.example"`), "secret": "client-secret-0123456789"})
	base := "http://" + g.proxy.Addr().String() + "/p/shop/orders"
	resp, err := http.Get(base)
	if text(t, resp, err); resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	put(t, filepath.Join(dir, "shop.hcl"), s.policy(`"*.shop.example", "*.evil.example"`))
	if err := g.reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	resp, err = http.Get(base)
	if got := text(t, resp, err); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(got, "postern secrets reseal --hosts shop") {
		t.Fatalf("%s %s", resp.Status, got)
	}
	if n, _, err := g.keeper.Reseal(t.Context(), connection.Filter{Provider: "shop"}, true); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	resp, err = http.Get(base)
	if text(t, resp, err); resp.StatusCode != http.StatusOK || s.asked.Load() != 1 {
		t.Errorf("%s after %d token requests", resp.Status, s.asked.Load())
	}
}

// TestTokensOutliveTheProcess: a new process goes on with the token of the one
// before, and with the authorization server down.
func TestTokensOutliveTheProcess(t *testing.T) {
	s := newShop(t)
	keep := t.TempDir()
	for n := range 2 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s.down.Store(n > 0)
			g, _ := startGate(t, map[string]string{
				"shop.hcl": s.policy(`"*.shop.example"`), "secret": "client-secret-0123456789",
				"postern.hcl": fmt.Sprintf("store { url = %q }\n", "sqlite:"+filepath.Join(keep, "kept.db")),
			})
			resp, err := http.Get("http://" + g.proxy.Addr().String() + "/p/shop/orders")
			if text(t, resp, err); resp.StatusCode != http.StatusOK || s.asked.Load() != 1 {
				t.Errorf("%s after %d token requests", resp.Status, s.asked.Load())
			}
		})
	}
}

// TestTokensFromUpstream: where a policy calls something else than the provider's hosts, a token endpoint on one of
// them is called there as well, under its own name. The application knows the provider's names alone.
func TestTokensFromUpstream(t *testing.T) {
	var asked atomic.Int64
	mock := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Host == "auth.shop.example" && r.URL.Path == "/token":
			asked.Add(1)
			fmt.Fprint(w, `{"access_token":"token-of-the-mock","token_type":"Bearer","expires_in":3600}`)
		case r.Host == "api.shop.example" && r.Header.Get("Authorization") == "Bearer token-of-the-mock":
			fmt.Fprint(w, "yours")
		default:
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer mock.Close()
	g, _ := startGate(t, map[string]string{"secret": "client-secret-0123456789", "shop.hcl": fmt.Sprintf(`provider "shop" {
  hosts    = ["api.shop.example", "auth.shop.example"]
  upstream = %q
  credential "oauth2_client_credentials" {
    token_url     = "https://auth.shop.example/token"
    client_id     = "me"
    client_secret = [file("secret")]
  }
}
`, mock.URL)})
	resp, err := http.Get("http://" + g.proxy.Addr().String() + "/p/shop/orders")
	if got := text(t, resp, err); resp.StatusCode != http.StatusOK || got != "yours" || asked.Load() != 1 {
		t.Errorf("%s %q, %d token requests", resp.Status, got, asked.Load())
	}
}

// TestTokenEndpointWithCertificate: a client may show who it is by a certificate
// (RFC 8705 §2), and only the one that the policy names is shown.
func TestTokenEndpointWithCertificate(t *testing.T) {
	dir := t.TempDir()
	ours := selfSigned(t, dir, "ours")
	selfSigned(t, dir, "other")
	var asked atomic.Int64
	auth := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.FormValue("client_id") != "me" || r.Header.Get("Authorization") != "" || r.TLS.PeerCertificates[0].Subject.CommonName != "ours" {
			w.WriteHeader(http.StatusTeapot)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"token-for-a-certificate","expires_in":60}`)
	}))
	auth.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours}
	auth.Config.ErrorLog = log.New(io.Discard, "", 0)
	auth.StartTLS()
	defer auth.Close()
	roots := x509.NewCertPool()
	roots.AddCert(auth.Certificate())
	transport := upstream.New(upstream.Options{Guard: new(upstream.Guard), RootCAs: roots})
	defer transport.Close()
	live := credential.NewLive()
	live.Do = func(w credential.Way, r *http.Request) (*http.Response, bool, error) { return ask(transport, w, r) }
	features, err := stages(silent{}, means{live: live})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"ours": "token-for-a-certificate", "other": ""} {
		put(t, filepath.Join(dir, "shop.hcl"), fmt.Sprintf(`provider "shop" {
  hosts = ["api.shop.example"]
  credential "oauth2_client_credentials" {
    token_url = %q
    auth      = "tls"
    client_id = "me"
    tls_cert  = file("%s.pem")
    tls_key   = file("%[2]s.key")
  }
}
`, auth.URL+"/token", name))
		l, diags := load(filepath.Join(dir, "shop.hcl"), block.NewSecrets(nil), features, transport, offline())
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		token, err := sources(l.outbound)[0].Mint(t.Context(), "", "")
		if want == "" && err == nil || want != "" && (err != nil || token.Access != want) {
			t.Errorf("%s: %v, %v", name, token, err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("%d requests", asked.Load())
	}
}

// selfSigned writes a certificate and its key, and returns whom to believe for it.
func selfSigned(t *testing.T, dir, name string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, name+".pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	put(t, filepath.Join(dir, name+".key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return pool
}
