package oauth

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	const at = "https://as.example/token"
	for _, tt := range []struct {
		name string
		s    Server
		want string // "" is nothing
	}{
		{"least", Server{TokenURL: at}, ""},
		{"plain http is the caller's business", Server{TokenURL: "http://127.0.0.1:1/token"}, ""},
		{"templates", Server{TokenURL: at, RevokeURL: "https://as.example/{client_id}?t={token}"}, ""},
		{"authorization by hand", Server{TokenURL: at, Auth: None, Header: map[string]string{"authorization": "Api-Key x"}}, ""},
		{"none", Server{}, "token URL is needed"},
		{"relative", Server{TokenURL: "/token"}, "the token URL is not absolute"},
		{"no host", Server{TokenURL: "https:///token"}, "the token URL is not absolute"},
		{"other scheme", Server{TokenURL: "ftp://as.example"}, "the token URL is not absolute"},
		{"opaque", Server{TokenURL: "https:as.example"}, "the token URL is not absolute"},
		{"no URL", Server{TokenURL: "https://as.example/%zz"}, "the token URL is no URL"},
		{"a space", Server{TokenURL: "https://as.example/a b"}, "the token URL is no URL"},
		{"user information", Server{TokenURL: at, AuthorizeURL: "https://hunter2@as.example"}, "the authorize URL holds user information"},
		{"fragment", Server{TokenURL: at, RefreshURL: at + "#hunter2"}, "the refresh URL has a fragment"},
		{"empty fragment", Server{TokenURL: at, RefreshURL: at + "#"}, "the refresh URL has a fragment"},
		{"ours in the link", Server{TokenURL: at, AuthorizeParams: map[string]string{"state": "x"}}, `"state" of the authorize URL is set from other attributes`},
		{"scopes in the link", Server{TokenURL: at, ScopeName: "user_scope", AuthorizeParams: map[string]string{"user_scope": "x"}}, `"user_scope" of the authorize URL`},
		{"Slack's other scopes", Server{TokenURL: at, ScopeName: "user_scope", AuthorizeParams: map[string]string{"scope": "x"}}, ""},
		{"line break", Server{TokenURL: at, TokenParams: map[string]string{"a": "hunter2\n"}}, `"a" holds a line break`},
		{"no name", Server{TokenURL: at, TokenParams: map[string]string{"": "hunter2"}}, "no name of a parameter"},
		{"no field", Server{TokenURL: at, Header: map[string]string{"X Y": "hunter2"}}, "no name of a header field"},
		{"field value", Server{TokenURL: at, Header: map[string]string{"X-Y": "hunter2\r\nZ: 1"}}, "X-Y holds a line break"},
		{"own field", Server{TokenURL: at, Header: map[string]string{"accept": "text/html"}}, "Accept is set by the request itself"},
		{"two ways to say who", Server{TokenURL: at, Header: map[string]string{"Authorization": "hunter2"}}, "choose another client authentication than basic"},
		{"the same for the revocation", Server{TokenURL: at, RevokeStyle: RevokeStyle{Header: map[string]string{"Authorization": "Bearer {access_token}"}}}, "choose another"},
		{"issuer", Server{TokenURL: at, Issuer: "https://as.example/tenant"}, ""},
		{"issuer without scheme", Server{TokenURL: at, Issuer: "as.example"}, "the issuer is no URL"},
		{"issuer with a query", Server{TokenURL: at, Issuer: "https://as.example?a=b"}, "the issuer is no URL"},
		{"method", Server{TokenURL: at, RevokeStyle: RevokeStyle{Method: "delete"}}, "use DELETE"},
		{"template in the host", Server{TokenURL: at, RevokeURL: "https://{shop}/revoke"}, "the revoke URL is no URL"},
		{"brace", Server{TokenURL: at, RevokeURL: "https://as.example/{token"}, "brace"},
		{"no template", Server{TokenURL: at, RevokeStyle: RevokeStyle{Params: map[string]string{"a": "{a-b}"}}}, "brace"},
	} {
		err := tt.s.Check()
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: the error shows the value: %v", tt.name, err)
		}
	}
	err := (&Server{TokenURL: "x", RefreshURL: "y", Header: map[string]string{"Host": "z"}}).Check()
	if err == nil || len(strings.Split(err.Error(), "\n")) != 3 {
		t.Errorf("not all at once: %v", err)
	}
}

func TestWords(t *testing.T) {
	for i, name := range authNames {
		var a Auth
		if err := a.UnmarshalText([]byte(name)); err != nil || a != Auth(i) || a.String() != name {
			t.Errorf("%s: %v, %v", name, a, err)
		}
	}
	for i, name := range unitNames {
		var u ExpiryUnit
		if err := u.UnmarshalText([]byte(name)); err != nil || u != ExpiryUnit(i) || u.String() != name {
			t.Errorf("%s: %v, %v", name, u, err)
		}
	}
	for word, want := range map[string]string{
		"":                    "use basic, basic_raw,",
		"Basic":               "use basic, basic_raw,",
		"client_secret_basic": "it is called basic here",
		"tls_client_auth":     "it is called tls here",
	} {
		if err := new(Auth).UnmarshalText([]byte(word)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", word, err)
		}
	}
	if err := new(ExpiryUnit).UnmarshalText([]byte("seconds")); err == nil || !strings.Contains(err.Error(), "use s, ms, epoch") {
		t.Error(err)
	}
	if Auth(99).String() != "Auth(99)" || ExpiryUnit(99).String() != "ExpiryUnit(99)" {
		t.Error("a word for what has none")
	}
}
