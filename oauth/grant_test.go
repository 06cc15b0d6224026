package oauth

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestExchange is the request and the answer of RFC 6749 §4.1.3 and §4.1.4.
func TestExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{body: `{
			"access_token":"2YotnFZFEjr1zCsicMWpAA", "token_type":"example", "expires_in":3600,
			"refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA", "example_parameter":"example_value"}`}
		token, err := server().Exchange(t.Context(), w.do, client, "SplxlOBeZQQYbYS6WxSbIA", "", "https://client.example.com/cb")
		if err != nil {
			t.Fatal(err)
		}
		r := w.sent[0]
		if r.Method != "POST" || r.URL.String() != "https://as.example/token" || r.Host != "as.example" {
			t.Errorf("%s %s at %s", r.Method, r.URL, r.Host)
		}
		if got := r.Header.Get("Authorization"); got != "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3" {
			t.Errorf("Authorization %q", got)
		}
		if r.Header.Get("Accept") != "application/json" || r.Header.Get("Accept-Encoding") != "identity" || r.Header.Get("User-Agent") == "" {
			t.Errorf("header %v", r.Header)
		}
		if r.GetBody != nil {
			t.Error("a transport could send it again")
		}
		want(t, w.form(t), "grant_type", "authorization_code", "code", "SplxlOBeZQQYbYS6WxSbIA", "redirect_uri", "https://client.example.com/cb")
		expect := Token{
			Access: "2YotnFZFEjr1zCsicMWpAA", Refresh: "tGzv3JOkF0XG5Qx2TlKWIA", Type: "example",
			Expiry: time.Now().Add(time.Hour).UTC(), Raw: token.Raw,
		}
		if !reflect.DeepEqual(*token, expect) {
			t.Errorf("not as expected: expiry %v, scopes %v, type %v", token.Expiry, token.Scopes, token.Type)
		}
		if !strings.Contains(string(token.Raw), `"example_parameter":"example_value"`) {
			t.Error("the answer was not kept")
		}
	})
}

// TestRefresh is RFC 6749 §6. An answer without a refresh token says nothing
// about the old one (P37).
func TestRefresh(t *testing.T) {
	w := &wire{body: good}
	token, err := server().Refresh(t.Context(), w.do, client, "tGzv3JOkF0XG5Qx2TlKWIA", []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	want(t, w.form(t), "grant_type", "refresh_token", "refresh_token", "tGzv3JOkF0XG5Qx2TlKWIA", "scope", "a b")
	if token.Refresh != "" || token.Scopes != nil {
		t.Errorf("refresh %q, scopes %q", token.Refresh, token.Scopes)
	}

	s := server()
	s.RefreshURL = "https://api.figma.com/v1/oauth/refresh"
	w = &wire{body: good}
	if _, err := s.Refresh(t.Context(), w.do, client, "r", nil); err != nil {
		t.Fatal(err)
	}
	if got := w.sent[0].URL.String(); got != s.RefreshURL {
		t.Errorf("refreshed at %s", got)
	}
	if _, err := server().Refresh(t.Context(), w.do, client, "", nil); err == nil || len(w.sent) != 1 {
		t.Error("a refresh without a refresh token was sent")
	}
}

// TestClientCredentials is RFC 6749 §4.4, and Zoom's own grant type.
func TestClientCredentials(t *testing.T) {
	w := &wire{body: good}
	if _, err := server().ClientCredentials(t.Context(), w.do, client, []string{"x"}); err != nil {
		t.Fatal(err)
	}
	want(t, w.form(t), "grant_type", "client_credentials", "scope", "x")

	zoom := server()
	zoom.TokenParams = map[string]string{"grant_type": "account_credentials", "account_id": "A1", "scope": ""}
	w = &wire{body: good}
	if _, err := zoom.ClientCredentials(t.Context(), w.do, client, []string{"x"}); err != nil {
		t.Fatal(err)
	}
	want(t, w.form(t), "grant_type", "account_credentials", "account_id", "A1")
}

// TestAssertion is RFC 7523 §4, without and with a client.
func TestAssertion(t *testing.T) {
	s := server()
	s.Auth = None
	w := &wire{body: good}
	if _, err := s.Assertion(t.Context(), w.do, &Client{}, "eyJhbGciOi.J9leH.aY8Cg", nil); err != nil {
		t.Fatal(err)
	}
	want(t, w.form(t), "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion", "eyJhbGciOi.J9leH.aY8Cg")

	w = &wire{body: good}
	if _, err := server().Assertion(t.Context(), w.do, client, "a.b.c", []string{"s"}); err != nil {
		t.Fatal(err)
	}
	if w.sent[0].Header.Get("Authorization") == "" {
		t.Error("the client did not say who it is")
	}
}

// TestJSONBody is Notion's: Basic, and a body of JSON.
func TestJSONBody(t *testing.T) {
	s := server()
	s.JSON, s.PKCE = true, false
	w := &wire{body: good}
	if _, err := s.Exchange(t.Context(), w.do, client, "c", "", "https://app.example/cb"); err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(w.got[0]), &got); err != nil {
		t.Fatal(err)
	}
	if w.sent[0].Header.Get("Content-Type") != "application/json" || !reflect.DeepEqual(got, map[string]string{
		"grant_type": "authorization_code", "code": "c", "redirect_uri": "https://app.example/cb",
	}) {
		t.Errorf("sent %s", w.got[0])
	}
}

// TestGitHubApp: a 201 with other names (tokenizer #53), by a JWT of the App's.
func TestGitHubApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{TokenURL: "https://api.github.com/app/installations/1/access_tokens", TokenName: "token", Header: map[string]string{"X-GitHub-Api-Version": "2022-11-28"}}
		w := &wire{status: 201, body: `{"token":"ghs_1","expires_at":"2016-07-11T22:14:10Z","permissions":{"issues":"write"}}`}
		token, err := s.AppToken(t.Context(), w.do, &Client{ID: "12345", Key: rsaKey(t)}, map[string]any{"permissions": map[string]string{"issues": "write"}})
		if err != nil {
			t.Fatal(err)
		}
		if token.Access != "ghs_1" || !token.Expiry.Equal(time.Date(2016, 7, 11, 22, 14, 10, 0, time.UTC)) {
			t.Errorf("expiry %v", token.Expiry)
		}
		r := w.sent[0]
		jwt, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || r.Header.Get("X-GitHub-Api-Version") == "" || w.got[0] != `{"permissions":{"issues":"write"}}` {
			t.Errorf("header %v, body %s", r.Header, w.got[0])
		}
		now := time.Now().Unix()
		claims := verify(t, rsaKey(t).Public(), "RS256", jwt)
		if !reflect.DeepEqual(claims, map[string]any{"iss": "12345", "iat": float64(now - 60), "exp": float64(now + 540)}) {
			t.Errorf("claims %v", claims)
		}

		w = &wire{status: 404, body: `{"message":"Not Found","documentation_url":"https://docs.github.com/rest","status":"404"}`}
		_, err = s.AppToken(t.Context(), w.do, &Client{ID: "12345", Key: rsaKey(t)}, nil)
		var e *Error
		if !errors.As(err, &e) || e.Status != 404 || e.Code != "" || e.Description != "Not Found" || !e.Misconfigured() {
			t.Errorf("%v", err)
		}
		if w.got[0] != "{}" {
			t.Errorf("no body is %q", w.got[0])
		}
	})
}

// TestNotSent: what is wrong on our side never leaves, and says what to do.
func TestNotSent(t *testing.T) {
	header := map[string]string{"X-A": "1\r\nX-B: 2"}
	for _, tt := range []struct {
		name string
		s    *Server
		c    *Client
		want string
	}{
		{"no id", server(), &Client{Secret: "s"}, "set client_id"},
		{"no secret", server(), &Client{ID: "i"}, "set client_secret"},
		{"newline in the secret", server(), &Client{ID: "i", Secret: "hunter2\n"}, "line break"},
		{"no key", &Server{TokenURL: "https://as.example", Auth: PrivateKeyJWT}, &Client{ID: "i"}, "set its key"},
		{"header", &Server{TokenURL: "https://as.example", Header: header}, client, "line break"},
		{"parameter", &Server{TokenURL: "https://as.example", TokenParams: map[string]string{"a": "\n"}}, client, "line break"},
		{"no URL", &Server{}, client, "no URL"},
		{"relative URL", &Server{TokenURL: "/token"}, client, "absolute"},
		{"unknown way", &Server{TokenURL: "https://as.example", Auth: 99}, client, "Auth(99)"},
		{"short secret for a MAC", &Server{TokenURL: "https://as.example", Auth: ClientSecretJWT}, &Client{ID: "i", Secret: "hunter2"}, "32 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &wire{body: good}
			_, err := tt.s.ClientCredentials(t.Context(), w.do, tt.c, nil)
			var e *Error
			if !errors.As(err, &e) || e.Executed || !e.Misconfigured() || e.Temporary() || e.Revoked() || e.Ambiguous() {
				t.Fatalf("%#v", err)
			}
			if len(w.sent) != 0 {
				t.Error("it was sent")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("says %q, want %q", err, tt.want)
			}
		})
	}
}

// TestWire: what is built is what a server reads, with and without a body.
func TestWire(t *testing.T) {
	w := new(wire)
	s := &Server{TokenURL: "https://as.example/a%2Fb?c=d", RevokeURL: "https://as.example/revoke?t={token}", RevokeStyle: RevokeStyle{Params: map[string]string{}}}
	do := func(r *http.Request) (*http.Response, bool, error) {
		var b bytes.Buffer
		if err := r.Write(&b); err != nil {
			t.Fatal(err)
		}
		got, err := http.ReadRequest(bufio.NewReader(&b))
		if err != nil {
			t.Fatal(err)
		}
		return w.do(got)
	}
	if _, err := s.ClientCredentials(t.Context(), do, client, nil); err == nil {
		t.Error("nothing was a token")
	}
	if err := s.Revoke(t.Context(), do, client, &Token{Access: "a&b"}); err != nil {
		t.Error(err)
	}
	first, second := w.sent[0], w.sent[1]
	if first.RequestURI != "/a%2Fb?c=d" || first.Host != "as.example" || w.got[0] != "grant_type=client_credentials" || first.ContentLength != int64(len(w.got[0])) {
		t.Errorf("%s at %s: %s", first.RequestURI, first.Host, w.got[0])
	}
	if second.RequestURI != "/revoke?t=a%26b" || second.Method != "POST" || w.got[1] != "" || second.Header.Get("Content-Type") != "" {
		t.Errorf("%s %s: %s", second.Method, second.RequestURI, w.got[1])
	}
}

// TestNoRedirect: what a redirect says is not done.
func TestNoRedirect(t *testing.T) {
	w := &wire{status: http.StatusTemporaryRedirect, header: map[string]string{"Location": "https://evil.example/?token=x"}, body: good}
	_, err := server().Refresh(t.Context(), w.do, client, "r-secret", nil)
	var e *Error
	if !errors.As(err, &e) || e.Status != 307 || !e.Misconfigured() || len(w.sent) != 1 {
		t.Errorf("%v", err)
	}
}
