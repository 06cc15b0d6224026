package oauth

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

var noAuth = None

// TestRevoke is RFC 7009 §2.1, and the way of each provider that has its own.
func TestRevoke(t *testing.T) {
	both := &Token{Access: "at+1", Refresh: "rt/1", Raw: []byte(`{"access_token":"at+1","stripe_user_id":"acct_1","team":{"id":"T1"}}`)}
	c := &Client{ID: "id", Secret: "sec"}
	const pair = "Basic aWQ6c2Vj"
	for _, tt := range []struct {
		name, url string
		auth      Auth
		style     RevokeStyle
		method    string
		to        string
		header    [2]string
		body      string
	}{
		{"RFC 7009", "https://as.example/revoke", Basic, RevokeStyle{}, "POST", "https://as.example/revoke", [2]string{"Authorization", pair}, "token=rt%2F1&token_type_hint=refresh_token"},
		{"public client, written out", "https://as.example/revoke", Basic, RevokeStyle{Method: "POST", Auth: &noAuth}, "POST", "https://as.example/revoke", [2]string{}, "client_id=id&token=rt%2F1&token_type_hint=refresh_token"},
		{"public client", "https://as.example/revoke", None, RevokeStyle{}, "POST", "https://as.example/revoke", [2]string{}, "client_id=id&token=rt%2F1&token_type_hint=refresh_token"},
		{
			"GitHub", "https://api.github.com/applications/{client_id}/token", Post,
			RevokeStyle{Method: "DELETE", Auth: new(Auth), JSON: true, Params: map[string]string{"access_token": "{access_token}"}},
			"DELETE", "https://api.github.com/applications/id/token",
			[2]string{"Authorization", pair},
			`{"access_token":"at+1"}`,
		},
		{
			"HubSpot", "https://api.hubapi.com/oauth/v1/refresh-tokens/{refresh_token}", Post,
			RevokeStyle{Method: "DELETE", Auth: &noAuth},
			"DELETE", "https://api.hubapi.com/oauth/v1/refresh-tokens/rt%2F1",
			[2]string{},
			"",
		},
		{
			"Stripe", "https://connect.stripe.com/oauth/deauthorize", Post,
			RevokeStyle{Auth: &noAuth, Header: map[string]string{"Authorization": "Bearer {client_secret}"}, Params: map[string]string{"client_id": "{client_id}", "stripe_user_id": "{stripe_user_id}"}},
			"POST", "https://connect.stripe.com/oauth/deauthorize",
			[2]string{"Authorization", "Bearer sec"},
			"client_id=id&stripe_user_id=acct_1",
		},
		{
			"Slack", "https://slack.com/api/auth.revoke", Basic,
			RevokeStyle{Auth: &noAuth, Header: map[string]string{"Authorization": "Bearer {access_token}"}, Params: map[string]string{}},
			"POST", "https://slack.com/api/auth.revoke",
			[2]string{"Authorization", "Bearer at+1"},
			"",
		},
		{
			"Shopify", "https://x.myshopify.com/admin/api_permissions/current.json", Post,
			RevokeStyle{Method: "DELETE", Auth: &noAuth, Header: map[string]string{"X-Shopify-Access-Token": "{access_token}"}},
			"DELETE", "https://x.myshopify.com/admin/api_permissions/current.json",
			[2]string{"X-Shopify-Access-Token", "at+1"},
			"",
		},
		{"Zoom", "https://zoom.us/oauth/revoke", Basic, RevokeStyle{Params: map[string]string{"token": "{access_token}"}}, "POST", "https://zoom.us/oauth/revoke", [2]string{"Authorization", pair}, "token=at%2B1"},
		{"Google", "https://oauth2.googleapis.com/revoke?token={token}", Post, RevokeStyle{Auth: &noAuth, Params: map[string]string{}}, "POST", "https://oauth2.googleapis.com/revoke?token=rt%2F1", [2]string{}, ""},
		{
			"Square", "https://connect.squareup.com/oauth2/revoke", Post,
			RevokeStyle{Auth: &noAuth, JSON: true, Header: map[string]string{"Authorization": "Client {client_secret}"}, Params: map[string]string{"client_id": "{client_id}", "access_token": "{access_token}"}},
			"POST", "https://connect.squareup.com/oauth2/revoke",
			[2]string{"Authorization", "Client sec"},
			`{"access_token":"at+1","client_id":"id"}`,
		},
		{"QuickBooks", "https://developer.api.intuit.com/v2/oauth2/tokens/revoke", Basic, RevokeStyle{JSON: true, Params: map[string]string{"token": "{refresh_token}"}}, "POST", "https://developer.api.intuit.com/v2/oauth2/tokens/revoke", [2]string{"Authorization", pair}, `{"token":"rt/1"}`},
		{"a member of a member", "https://as.example/teams/{team.id}", None, RevokeStyle{Method: "DELETE"}, "DELETE", "https://as.example/teams/T1", [2]string{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &Server{TokenURL: "https://as.example/token", RevokeURL: tt.url, Auth: tt.auth, RevokeStyle: tt.style}
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
			w := &wire{}
			if err := s.Revoke(t.Context(), w.do, c, both); err != nil {
				t.Fatal(err)
			}
			r := w.sent[0]
			if len(w.sent) != 1 || r.Method != tt.method || r.URL.String() != tt.to {
				t.Errorf("%s %s, want %s %s", r.Method, r.URL, tt.method, tt.to)
			}
			if w.got[0] != tt.body {
				t.Errorf("body %s, want %s", w.got[0], tt.body)
			}
			if tt.header[0] != "" && r.Header.Get(tt.header[0]) != tt.header[1] || tt.header[0] != "Authorization" && r.Header.Get("Authorization") != "" {
				t.Errorf("header %v", r.Header)
			}
		})
	}

	s := &Server{TokenURL: "https://as.example/token", RevokeURL: "https://as.example/revoke"}
	w := &wire{}
	if err := s.Revoke(t.Context(), w.do, c, &Token{Access: "a"}); err != nil || w.got[0] != "token=a&token_type_hint=access_token" {
		t.Errorf("%v, %v", err, w.got)
	}
}

// TestRevokeAnswers: a token that is gone is what was wanted.
func TestRevokeAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		gone   []int
		ok     bool
		class  func(*Error) bool
	}{
		{"RFC 7009", 200, "", nil, true, nil},
		{"204", 204, "", nil, true, nil},
		{"JSON", 200, `{"success":true}`, nil, true, nil},
		{"HTML", 200, `<html>`, nil, true, nil},
		{"Slack", 200, `{"ok":true,"revoked":true}`, nil, true, nil},
		{"Slack, dead already", 200, `{"ok":false,"error":"token_revoked"}`, nil, true, nil},
		{"Slack, otherwise", 200, `{"ok":false,"error":"ratelimited"}`, nil, false, (*Error).Temporary},
		{"Google, dead already", 400, `{"error":"invalid_token","error_description":"Token expired or revoked"}`, nil, true, nil},
		{"HubSpot, dead already", 404, `{"status":"error","message":"not found"}`, []int{404}, true, nil},
		{"a wrong URL", 404, `<html>`, nil, false, (*Error).Misconfigured},
		{"RFC 7009 section 2.2.1", 400, `{"error":"unsupported_token_type"}`, nil, false, (*Error).Misconfigured},
		{"a wrong client", 401, `{"error":"invalid_client"}`, nil, false, (*Error).Misconfigured},
		{"down", 503, ``, nil, false, (*Error).Temporary},
		{"elsewhere", 302, ``, nil, false, (*Error).Misconfigured},
	} {
		s := &Server{TokenURL: "https://as.example/token", RevokeURL: "https://as.example/revoke", RevokeStyle: RevokeStyle{Gone: tt.gone}}
		w := &wire{status: tt.status, body: tt.body, header: map[string]string{"Retry-After": "7"}}
		err := s.Revoke(t.Context(), w.do, client, &Token{Access: "a"})
		var e *Error
		if tt.ok != (err == nil) || err != nil && (!errors.As(err, &e) || !tt.class(e) || e.RetryAfter.Seconds() != 7) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestRevokeNotSent(t *testing.T) {
	for _, tt := range []struct {
		name, url string
		style     RevokeStyle
		token     Token
		want      string
	}{
		{"nowhere", "", RevokeStyle{}, Token{Access: "a"}, "provider's own settings"},
		{"no token", "https://as.example/revoke", RevokeStyle{}, Token{}, "no token"},
		{"no refresh token", "https://as.example/{refresh_token}", RevokeStyle{}, Token{Access: "a"}, "no refresh_token"},
		{"not in the answer", "https://as.example/x", RevokeStyle{Params: map[string]string{"u": "{stripe_user_id}"}}, Token{Access: "a"}, "no stripe_user_id"},
		{"up the path", "https://as.example/a/{x}/b", RevokeStyle{}, Token{Access: "a", Raw: []byte(`{"x":".."}`)}, "no x"},
		{"line break in a header", "https://as.example/x", RevokeStyle{Header: map[string]string{"X": "{x}"}}, Token{Access: "a", Raw: []byte(`{"x":"s3cr3t\r\nY: 1"}`)}, "line break"},
	} {
		s := &Server{TokenURL: "https://as.example/token", RevokeURL: tt.url, RevokeStyle: tt.style}
		w := &wire{}
		err := s.Revoke(t.Context(), w.do, client, &tt.token)
		if err == nil || len(w.sent) != 0 || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v, %d sent", tt.name, err, len(w.sent))
		}
	}
	if err := server().Revoke(t.Context(), nil, client, &Token{}); !errors.Is(err, ErrNoRevoke) {
		t.Error(err)
	}
}

// TestC51RevokeNoSecret: what was put into the request does not come back in an
// error, members of the answer included.
func TestC51RevokeNoSecret(t *testing.T) {
	s := &Server{TokenURL: "https://as.example/token", RevokeURL: "https://as.example/{refresh_token}?u={user.token}"}
	token := &Token{Access: "at-s3cr3t", Refresh: "rt-s3cr3t", Raw: []byte(`{"user":{"token":"ut-s3cr3t"}}`)}
	w := &wire{status: 400, body: `{"error":"teapot","error_description":"no at-s3cr3t, rt-s3cr3t, ut-s3cr3t"}`}
	err := s.Revoke(t.Context(), w.do, client, token)
	if err == nil || err.Error() != "the revocation: the authorization server answered 400: teapot: no [redacted], [redacted], [redacted]" {
		t.Error(err)
	}
}

// TestRevokeLeavesStyle: what is filled in stays in the request.
func TestRevokeLeavesStyle(t *testing.T) {
	style := RevokeStyle{Params: map[string]string{"t": "{access_token}"}, Header: map[string]string{"X-T": "{access_token}"}}
	s := &Server{TokenURL: "https://as.example/token", Auth: Post, RevokeURL: "https://as.example/{access_token}", RevokeStyle: style}
	before, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Revoke(t.Context(), new(wire).do, client, &Token{Access: "a"}); err != nil {
		t.Fatal(err)
	}
	if after, _ := json.Marshal(s); !reflect.DeepEqual(before, after) {
		t.Errorf("%s became %s", before, after)
	}
}
