package oauth

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// TestChallenge is RFC 7636 appendix B.
func TestChallenge(t *testing.T) {
	if got := Challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"); got != "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" {
		t.Error(got)
	}
}

// TestC57NewVerifier: unguessable, and of the alphabet and length of RFC 7636
// §4.1.
func TestC57NewVerifier(t *testing.T) {
	grammar := regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)
	seen := map[string]bool{}
	for range 100 {
		v := NewVerifier()
		if seen[v] || !grammar.MatchString(v) {
			t.Fatalf("verifier %q", v)
		}
		seen[v] = true
	}
}

func TestAuthorizeLink(t *testing.T) {
	for _, tt := range []struct {
		name   string
		s      Server
		scopes []string
		want   string
	}{
		{
			"RFC 6749 section 4.1.1",
			Server{AuthorizeURL: "https://server.example.com/authorize"},
			nil,
			"https://server.example.com/authorize?client_id=s6BhdRkqt3&redirect_uri=https%3A%2F%2Fclient.example.com%2Fcb&response_type=code&state=xyz",
		},
		{
			"PKCE, scopes, a query of its own",
			Server{AuthorizeURL: "https://as.example/a?tenant=1", PKCE: true},
			[]string{"read:x", "offline_access"},
			"https://as.example/a?client_id=s6BhdRkqt3&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256" +
				"&redirect_uri=https%3A%2F%2Fclient.example.com%2Fcb&response_type=code&scope=read%3Ax%20offline_access&state=xyz&tenant=1",
		},
		{
			"Slack, a user's token",
			Server{AuthorizeURL: "https://slack.com/oauth/v2/authorize", Separator: ",", ScopeName: "user_scope"},
			[]string{"chat:write", "users:read"},
			"https://slack.com/oauth/v2/authorize?client_id=s6BhdRkqt3&redirect_uri=https%3A%2F%2Fclient.example.com%2Fcb&response_type=code&state=xyz&user_scope=chat%3Awrite%2Cusers%3Aread",
		},
		{
			"Google",
			Server{AuthorizeURL: "https://accounts.google.com/o/oauth2/v2/auth", AuthorizeParams: map[string]string{"access_type": "offline", "prompt": "consent"}},
			nil,
			"https://accounts.google.com/o/oauth2/v2/auth?access_type=offline&client_id=s6BhdRkqt3&prompt=consent&redirect_uri=https%3A%2F%2Fclient.example.com%2Fcb&response_type=code&state=xyz",
		},
		{
			"what ties the answer stays ours",
			Server{AuthorizeURL: "https://as.example/a?state=evil&client_id=evil", AuthorizeParams: map[string]string{"redirect_uri": "https://evil.example", "response_type": "token"}},
			nil,
			"https://as.example/a?client_id=s6BhdRkqt3&redirect_uri=https%3A%2F%2Fclient.example.com%2Fcb&response_type=code&state=xyz",
		},
		{"no URL", Server{AuthorizeURL: "as.example/a"}, nil, ""},
	} {
		got := tt.s.AuthorizeLink(client, "https://client.example.com/cb", "xyz", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", tt.scopes)
		if got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
		if strings.Contains(got, client.Secret) || strings.Contains(got, "dBjftJeZ4CVP") {
			t.Errorf("%s: a secret is in the link", tt.name)
		}
	}
}

// TestC57C58NoLink: without a state, or a verifier for PKCE, there is no link.
func TestC57C58NoLink(t *testing.T) {
	s := &Server{AuthorizeURL: "https://as.example/a", PKCE: true}
	if got := s.AuthorizeLink(client, "", "", "v", nil); got != "" {
		t.Errorf("without a state: %s", got)
	}
	if got := s.AuthorizeLink(client, "", "s", "", nil); got != "" {
		t.Errorf("without a verifier: %s", got)
	}
	if got := s.AuthorizeLink(client, "", "s", "v", nil); got == "" {
		t.Error("with both there is none")
	}
}

// TestC57C58Callback: what is not the answer to this browser's request, from
// this server, is refused before anything is exchanged.
func TestC57C58Callback(t *testing.T) {
	const issuer = "https://honest.as.example"
	for _, tt := range []struct {
		name, query, state, issuer, code string
		err                              error
	}{
		{"RFC 6749 section 4.1.2", "code=SplxlOBeZQQYbYS6WxSbIA&state=xyz", "xyz", "", "SplxlOBeZQQYbYS6WxSbIA", nil},
		{
			"RFC 9207 section 2.1", "code=x1848ZT64p4IirMPT0R-X3141MFPTuBX-VFL_cvaplMH58&state=ZWVlNDBlYzA1NjdkMDNhYjg3ZjUxZjAyNGQzMTM2NzI&iss=https%3A%2F%2Fhonest.as.example",
			"ZWVlNDBlYzA1NjdkMDNhYjg3ZjUxZjAyNGQzMTM2NzI", issuer, "x1848ZT64p4IirMPT0R-X3141MFPTuBX-VFL_cvaplMH58", nil,
		},
		{"others beside", "code=a&state=xyz&shop=x.myshopify.com&hmac=1&hmac=2", "xyz", "", "a", nil},
		{"an iss that is not known", "code=a&state=xyz&iss=https%3A%2F%2Felsewhere", "xyz", "", "a", nil},
		{"no state", "code=a", "xyz", "", "", ErrState},
		{"empty states", "code=a&state=", "", "", "", ErrState},
		{"tampered state", "code=a&state=xyZ", "xyz", "", "", ErrState},
		{"longer state", "code=a&state=xyz1", "xyz", "", "", ErrState},
		{"two states", "code=a&state=xyz&state=abc", "xyz", "", "", ErrRepeated},
		{"two codes", "code=a&code=b&state=xyz", "xyz", "", "", ErrRepeated},
		{"two iss", "code=a&state=xyz&iss=https://honest.as.example&iss=https://evil", "xyz", issuer, "", ErrRepeated},
		{"wrong iss", "code=a&state=xyz&iss=https%3A%2F%2Fattacker.example", "xyz", issuer, "", ErrIssuer},
		{"an iss that is nearly right", "code=a&state=xyz&iss=https%3A%2F%2Fhonest.as.example%2F", "xyz", issuer, "", ErrIssuer},
		{"no iss", "code=a&state=xyz", "xyz", issuer, "", ErrIssuer},
		{"an error from elsewhere", "error=access_denied&state=xyz&iss=https://evil", "xyz", issuer, "", ErrIssuer},
		{"an error for another browser", "error=access_denied&state=other", "xyz", "", "", ErrState},
		{"nothing", "state=xyz", "xyz", "", "", ErrNoCode},
		{"a code with a line break", "code=a%0d%0ab&state=xyz", "xyz", "", "", ErrCodeShape},
		{"a huge code", "state=xyz&code=" + strings.Repeat("a", maxCode+1), "xyz", "", "", ErrCodeShape},
	} {
		q, err := url.ParseQuery(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		code, err := CheckCallback(q, tt.state, tt.issuer)
		if code != tt.code || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
			t.Errorf("%s: %q, %v; want %q, %v", tt.name, code, err, tt.code, tt.err)
		}
	}
}

// TestCallbackError: what the server says is told, cleaned.
func TestCallbackError(t *testing.T) {
	for _, tt := range []struct {
		query, text            string
		denied, wrong, perhaps bool
	}{
		{"error=access_denied&error_description=The+user+said+no", "the authorization was refused: access_denied: The user said no", true, false, false},
		{"error=user_cancelled_login", "the authorization was refused: user_cancelled_login", true, false, false},
		{"error=invalid_scope&code=x-code", "the authorization was refused: invalid_scope", false, true, false},
		{"error=temporarily_unavailable", "the authorization was refused: temporarily_unavailable", false, false, true},
		{"error=%3Cscript%3E%0a\"&error_description=a%0ab%E2%80%AEc+xyz-state", "the authorization was refused: unreadable: a b c [redacted]", false, false, false},
	} {
		q, err := url.ParseQuery(tt.query + "&state=xyz-state")
		if err != nil {
			t.Fatal(err)
		}
		code, err := CheckCallback(q, "xyz-state", "")
		var e *Error
		if code != "" || !errors.As(err, &e) {
			t.Fatalf("%s: %q, %v", tt.query, code, err)
		}
		if err.Error() != tt.text || e.Denied() != tt.denied || e.Misconfigured() != tt.wrong || e.Temporary() != tt.perhaps || e.Revoked() || e.Executed {
			t.Errorf("%s: %q, %+v", tt.query, err, *e)
		}
	}
}

func FuzzCheckCallback(f *testing.F) {
	f.Add("code=a&state=xyz&iss=https://as.example", "xyz", "https://as.example")
	f.Add("error=access_denied&error_description=%0a&state=xyz", "xyz", "")
	f.Add("code=a&code=b&state=xyz", "xyz", "")
	f.Fuzz(func(t *testing.T, query, state, issuer string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		code, err := CheckCallback(q, state, issuer)
		if (code == "") == (err == nil) {
			t.Fatalf("code %q, error %v", code, err)
		}
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n\x1b\u202e\u2028") {
				t.Fatalf("error %q", err)
			}
			return
		}
		if state == "" || q.Get("state") != state || issuer != "" && q.Get("iss") != issuer || q.Has("error") && q.Get("error") != "" || len(q["code"]) != 1 {
			t.Fatalf("%q was taken", query)
		}
	})
}
