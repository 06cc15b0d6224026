package op

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/golang-jwt/jwt/v5"
)

const (
	back     = "http://127.0.0.1:1/callback" // nobody listens: the redirect is not followed
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Client("app", "s3cret", back); err != nil {
		t.Fatal(err)
	}
	return s
}

// client follows no redirect.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       10 * time.Second,
}

func do(t *testing.T, req *http.Request, err error) (int, http.Header, string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// post sends a form, as the client "app" unless the form says who asks.
func post(t *testing.T, at string, form url.Values) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, at, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if !form.Has("client_id") && !form.Has("client_assertion") && !form.Has("assertion") {
		req.SetBasicAuth("app", "s3cret")
	}
	return do(t, req, err)
}

type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Expires int    `json:"expires_in"`
	Scope   string `json:"scope"`
	Error   string `json:"error"`
}

func (s *Server) exchange(t *testing.T, form url.Values) (int, tokens) {
	t.Helper()
	status, _, body := post(t, s.At("/token"), form)
	var got tokens
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%d %q: %v", status, body, err)
	}
	return status, got
}

func (s *Server) get(t *testing.T, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, s.At("/me"), nil)
	req.Header.Set("Authorization", "Bearer "+token)
	status, _, body := do(t, req, err)
	return status, body
}

// link is what a client sends a person to, with some parameters changed or, nil, left out.
func (s *Server) link(more url.Values) string {
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {back}, "state": {"a-state-that-is-long"},
		"scope": {"orders.read offline_access"}, "code_challenge_method": {"S256"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])},
	}
	for name, v := range more {
		if q[name] = v; v == nil {
			q.Del(name)
		}
	}
	return s.At("/authorize?" + q.Encode())
}

// allow is what the page's form sends.
func (s *Server) allow(t *testing.T, link string) url.Values {
	t.Helper()
	status, header, body := post(t, link, url.Values{"user": {"ada"}, "answer": {"allow"}, "granted": {"orders.read", "offline_access"}})
	at, err := url.Parse(header.Get("Location"))
	if status != http.StatusSeeOther || err != nil || !strings.HasPrefix(at.String(), back) {
		t.Fatalf("%d %s %s", status, at, body)
	}
	return at.Query()
}

func (s *Server) granted(t *testing.T) tokens {
	t.Helper()
	status, got := s.exchange(t, url.Values{
		"grant_type": {"authorization_code"}, "code": {s.allow(t, s.link(nil)).Get("code")}, "redirect_uri": {back}, "code_verifier": {verifier},
	})
	if status != http.StatusOK || got.Refresh == "" {
		t.Fatalf("%d %+v", status, got)
	}
	return got
}

func (s *Server) refresh(t *testing.T, token string) (int, tokens) {
	t.Helper()
	return s.exchange(t, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func TestPageAndCallback(t *testing.T) {
	s := start(t, Config{})
	req, err := http.NewRequest(http.MethodGet, s.link(nil), nil)
	if status, _, body := do(t, req, err); status != http.StatusOK || !strings.Contains(body, "app wants access") || !strings.Contains(body, `value="orders.read" checked`) {
		t.Errorf("the page: %d %s", status, body)
	}
	if q := s.allow(t, s.link(nil)); q.Get("iss") != s.Issuer() || q.Get("state") != "a-state-that-is-long" || q.Get("code") == "" {
		t.Errorf("the callback: %v", q)
	}
	_, header, _ := post(t, s.link(nil), url.Values{"user": {"ada"}, "answer": {"deny"}})
	if at := header.Get("Location"); !strings.Contains(at, "error=access_denied") || !strings.Contains(at, "iss="+url.QueryEscape(s.Issuer())) {
		t.Errorf("denied: %s", header.Get("Location"))
	}
	status, header, _ := post(t, s.link(url.Values{"redirect_uri": {"http://127.0.0.1:2/elsewhere"}}), url.Values{"user": {"ada"}, "answer": {"allow"}})
	if status < 400 || header.Get("Location") != "" {
		t.Errorf("another redirect: %d %s", status, header.Get("Location"))
	}
}

// TestPKCE: without S256 there is no code, and without the verifier no token.
func TestPKCE(t *testing.T) {
	s := start(t, Config{})
	for name, more := range map[string]url.Values{
		"none": {"code_challenge": nil, "code_challenge_method": nil}, "plain": {"code_challenge_method": {"plain"}},
	} {
		_, header, _ := post(t, s.link(more), url.Values{"user": {"ada"}, "answer": {"allow"}})
		if at := header.Get("Location"); !strings.Contains(at, "error=invalid_request") || strings.Contains(at, "code=") {
			t.Errorf("%s: %s", name, at)
		}
	}
	for _, v := range []string{"", verifier + "x"} {
		status, got := s.exchange(t, url.Values{
			"grant_type": {"authorization_code"}, "code": {s.allow(t, s.link(nil)).Get("code")}, "redirect_uri": {back}, "code_verifier": {v},
		})
		if status != http.StatusBadRequest || got.Error != "invalid_grant" {
			t.Errorf("verifier %q: %d %+v", v, status, got)
		}
	}
}

// TestReuseEndsTheGrant: a refresh token is good once; who shows it again loses everything that came of it.
func TestReuseEndsTheGrant(t *testing.T) {
	s := start(t, Config{})
	first := s.granted(t)
	status, second := s.refresh(t, first.Refresh)
	if status != http.StatusOK || second.Refresh == first.Refresh || second.Access == first.Access {
		t.Fatalf("%d %+v after %+v", status, second, first)
	}
	if status, _ := s.get(t, first.Access); status != http.StatusUnauthorized {
		t.Errorf("the token before the rotation: %d", status)
	}
	if status, _ := s.get(t, second.Access); status != http.StatusOK {
		t.Errorf("the new token: %d", status)
	}
	if status, got := s.refresh(t, first.Refresh); status != http.StatusBadRequest || got.Error != "invalid_grant" {
		t.Errorf("reuse: %d %+v", status, got)
	}
	if status, got := s.refresh(t, second.Refresh); status != http.StatusBadRequest || got.Error != "invalid_grant" {
		t.Errorf("the newest after reuse: %d %+v", status, got)
	}
	if status, _ := s.get(t, second.Access); status != http.StatusUnauthorized || s.Good(second.Access, false) {
		t.Errorf("the newest access token after reuse: %d", status)
	}
	if asked, calls := len(s.RequestsTo("/token")), len(s.RequestsTo("/me")); asked != 4 || calls != 3 {
		t.Errorf("%d requests of the token endpoint and %d of the API were recorded", asked, calls)
	}
}

func TestExpiry(t *testing.T) {
	s := start(t, Config{Life: time.Second})
	got := s.granted(t)
	if got.Expires > 1 {
		t.Errorf("expires_in %d", got.Expires)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if status, _ := s.get(t, got.Access); status == http.StatusUnauthorized {
			break
		} else if time.Now().After(deadline) {
			t.Fatal("a token of one second is still good after five")
		}
	}
	if !s.Good(got.Refresh, true) {
		t.Error("the refresh token has ended with it")
	}
}

// TestRevocation (RFC 7009): with the refresh token the access token ends, and nobody else's request ends either.
func TestRevocation(t *testing.T) {
	s := start(t, Config{})
	if err := s.Client("other", "0ther", back); err != nil {
		t.Fatal(err)
	}
	got := s.granted(t)
	post(t, s.At("/revoke"), url.Values{"token": {got.Refresh}, "client_id": {"other"}, "client_secret": {"0ther"}})
	if !s.Good(got.Access, false) || !s.Good(got.Refresh, true) {
		t.Error("another client could revoke")
	}
	if status, _, body := post(t, s.At("/revoke"), url.Values{"token": {got.Refresh}, "token_type_hint": {"refresh_token"}}); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	if s.Good(got.Access, false) || s.Good(got.Refresh, true) {
		t.Error("still good after revocation")
	}
	if status, _, body := post(t, s.At("/introspect"), url.Values{"token": {got.Refresh}}); status != http.StatusOK || !strings.Contains(body, `"active":false`) {
		t.Errorf("introspection: %d %s", status, body)
	}
}

// TestWithoutAPerson: the grants that nobody is asked for, and who is refused.
func TestWithoutAPerson(t *testing.T) {
	s := start(t, Config{})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.SigningClient("signer", key.Public(), "k1", jose.ES256)
	s.Issues("robot@example.com", "ada", key.Public(), "k2", jose.ES256)
	signed := func(keyID, issuer, subject, audience string) string {
		tok := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
			"iss": issuer, "sub": subject, "aud": audience, "jti": rand.Text(), "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
		})
		tok.Header["kid"] = keyID
		text, err := tok.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	assertion := func(a string) url.Values {
		return url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {a}, "scope": {"orders.read"}}
	}
	clientSigned := func(a string) url.Values {
		return url.Values{
			"grant_type": {"client_credentials"}, "scope": {"orders.read"}, "client_assertion": {a},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		}
	}
	for _, tt := range []struct {
		name   string
		form   url.Values
		status int
	}{
		{"client credentials", url.Values{"grant_type": {"client_credentials"}, "scope": {"orders.read"}}, 200},
		{"a scope that is none", url.Values{"grant_type": {"client_credentials"}, "scope": {"everything"}}, 400},
		{"a wrong secret", url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {"wrong"}}, 401},
		{"private_key_jwt", clientSigned(signed("k1", "signer", "signer", s.At("/token"))), 200},
		{"private_key_jwt for another", clientSigned(signed("k1", "signer", "signer", "https://elsewhere.example/token")), 401},
		{"assertion", assertion(signed("k2", "robot@example.com", "ada", s.At("/token"))), 200},
		{"assertion for another", assertion(signed("k2", "robot@example.com", "ada", "https://elsewhere.example/token")), 400},
		{"assertion about another", assertion(signed("k2", "robot@example.com", "bob", s.At("/token"))), 400},
	} {
		status, got := s.exchange(t, tt.form)
		if status != tt.status || status == 200 && !s.Good(got.Access, false) || status != 200 && got.Access != "" {
			t.Errorf("%s: %d %+v, want %d", tt.name, status, got, tt.status)
		}
	}
}
