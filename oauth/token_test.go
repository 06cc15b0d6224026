package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

var sent = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func read(s *Server, status int, body string) (*Token, error) {
	return s.ReadToken(status, http.Header{}, []byte(body), sent)
}

// TestP37Answers are the answers of real servers.
func TestP37Answers(t *testing.T) {
	hour := sent.Add(time.Hour)
	for _, tt := range []struct {
		name, body string
		s          Server
		want       Token
	}{
		{
			"RFC 6749 section 5.1", `{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"example","expires_in":3600,"refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA","example_parameter":"example_value"}`,
			Server{},
			Token{Access: "2YotnFZFEjr1zCsicMWpAA", Refresh: "tGzv3JOkF0XG5Qx2TlKWIA", Type: "example", Expiry: hour},
		},
		{
			"GitHub, unless asked for JSON", "access_token=gho_16C7e42F292c6912E7710c838347Ae178B4a&scope=repo%2Cgist&token_type=bearer",
			Server{},
			Token{Access: "gho_16C7e42F292c6912E7710c838347Ae178B4a", Type: "bearer", Scopes: []string{"repo", "gist"}},
		},
		{
			"GitHub, expiring user token", `{"access_token":"ghu_1","expires_in":28800,"refresh_token":"ghr_1","refresh_token_expires_in":15811200,"scope":"","token_type":"bearer"}`,
			Server{},
			Token{Access: "ghu_1", Refresh: "ghr_1", Type: "bearer", Scopes: []string{}, Expiry: sent.Add(8 * time.Hour), RefreshExpiry: sent.Add(15811200 * time.Second)},
		},
		{
			"Slack, bot", `{"ok":true,"access_token":"xoxb-1","token_type":"bot","scope":"commands,incoming-webhook","team":{"id":"T1"},"authed_user":{"id":"U1","scope":"chat:write","access_token":"xoxp-1","token_type":"user"}}`,
			Server{Separator: ","},
			Token{Access: "xoxb-1", Type: "bot", Scopes: []string{"commands", "incoming-webhook"}},
		},
		{
			"Slack, user", `{"ok":true,"access_token":"xoxb-1","token_type":"bot","scope":"commands","authed_user":{"id":"U1","scope":"chat:write","access_token":"xoxe.xoxp-1","refresh_token":"xoxe-1","expires_in":43200,"token_type":"user"}}`,
			Server{TokenField: "authed_user"},
			Token{Access: "xoxe.xoxp-1", Refresh: "xoxe-1", Type: "user", Scopes: []string{"chat:write"}, Expiry: sent.Add(12 * time.Hour)},
		},
		{
			"Salesforce", `{"access_token":"00D!AQ","refresh_token":"5Aep","signature":"s","scope":"refresh_token api","instance_url":"https://acme.my.salesforce.com","id":"https://login.salesforce.com/id/1/2","token_type":"Bearer","issued_at":"1278448384422"}`,
			Server{},
			Token{Access: "00D!AQ", Refresh: "5Aep", Type: "Bearer", Scopes: []string{"refresh_token", "api"}},
		},
		{"Fiserv, a string of milliseconds", `{"access_token":"f","expires_in":"3600000"}`, Server{ExpiryUnit: Millis}, Token{Access: "f", Expiry: hour}},
		{"a string", `{"access_token":"f","expires_in":" 3600 "}`, Server{}, Token{Access: "f", Expiry: hour}},
		{"a fraction", `{"access_token":"f","expires_in":3600.5}`, Server{}, Token{Access: "f", Expiry: hour.Add(500 * time.Millisecond)}},
		{"GitHub App", `{"token":"ghs_1","expires_at":"2026-11-23T13:00:00Z"}`, Server{TokenName: "token"}, Token{Access: "ghs_1", Expiry: hour}},
		{"GitHub App, named", `{"token":"ghs_1","expires_at":"2026-11-23T13:00:00Z","expires_in":1}`, Server{TokenName: "token", ExpiryName: "expires_at", ExpiryUnit: RFC3339}, Token{Access: "ghs_1", Expiry: hour}},
		{
			"Square", `{"access_token":"EAAA","token_type":"bearer","expires_at":"2026-11-23T13:00:00Z","merchant_id":"M","refresh_token":"R","short_lived":false,"refresh_token_expires_at":"2026-11-23T13:00:00Z"}`,
			Server{},
			Token{Access: "EAAA", Refresh: "R", Type: "bearer", Expiry: hour, RefreshExpiry: hour},
		},
		{
			"QuickBooks", `{"access_token":"q","token_type":"bearer","expires_in":3600,"refresh_token":"r","x_refresh_token_expires_in":3600,"id_token":"a.b.c"}`,
			Server{},
			Token{Access: "q", Refresh: "r", Type: "bearer", ID: "a.b.c", Expiry: hour, RefreshExpiry: hour},
		},
		{"Keycloak, offline", `{"access_token":"k","expires_in":3600,"refresh_expires_in":0,"refresh_token":"r","not-before-policy":0}`, Server{}, Token{Access: "k", Refresh: "r", Expiry: hour}},
		{"Twitch, a list of scopes", `{"access_token":"t","scope":["a:b","c"],"expires_in":3600}`, Server{}, Token{Access: "t", Scopes: []string{"a:b", "c"}, Expiry: hour}},
		{"managed identity, a point in time", `{"access_token":"m","expires_on":"1795438800"}`, Server{}, Token{Access: "m", Expiry: hour}},
		{"a point in time in expires_in", `{"access_token":"m","expires_in":1795438800}`, Server{}, Token{Access: "m", Expiry: hour}},
		{"the same in milliseconds", `{"access_token":"m","expires_in":1795438800000}`, Server{}, Token{Access: "m", Expiry: hour}},
		{"the same, declared", `{"access_token":"m","exp":1795438800}`, Server{ExpiryName: "exp", ExpiryUnit: Epoch}, Token{Access: "m", Expiry: hour}},
		{"the same, declared in milliseconds", `{"access_token":"m","exp":"1795438800000"}`, Server{ExpiryName: "exp", ExpiryUnit: EpochMS}, Token{Access: "m", Expiry: hour}},
		{"the same, where milliseconds were expected", `{"access_token":"m","expires_in":1795438800000}`, Server{ExpiryUnit: Millis}, Token{Access: "m", Expiry: hour}},
		{"null for nothing", `{"access_token":"n","refresh_token":null,"expires_in":null,"scope":null,"error":null,"token_type":null,"id_token":""}`, Server{}, Token{Access: "n"}},
		{"an empty error", `{"access_token":"n","error":""}`, Server{}, Token{Access: "n"}},
		{"a message besides", `{"access_token":"n","message":"ok","status":"success"}`, Server{}, Token{Access: "n"}},
		{"spelled with escapes", `{"access\u005ftoken":"n\u002d1"}`, Server{}, Token{Access: "n-1"}},
		{"byte order mark", "\ufeff\r\n" + `{"access_token":"n"}`, Server{}, Token{Access: "n"}},
		{"the same token twice", `{"access_token":"n","scope":"a","scope":"b","access_token":"n"}`, Server{}, Token{Access: "n", Scopes: []string{"a"}}},
	} {
		got, err := read(&tt.s, 200, tt.body)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if !json.Valid(got.Raw) {
			t.Errorf("%s: raw %q", tt.name, got.Raw)
		}
		got.Raw = nil
		if !reflect.DeepEqual(*got, tt.want) {
			t.Errorf("%s: type %q, scopes %q, expiry %v, refresh expiry %v, or the tokens", tt.name, got.Type, got.Scopes, got.Expiry, got.RefreshExpiry)
		}
	}
}

// TestLifetimes: what cannot be read is unknown. A token that was granted is not
// thrown away for it.
func TestLifetimes(t *testing.T) {
	for _, value := range []string{`0`, `-1`, `"-1"`, `""`, `"never"`, `"1h"`, `true`, `{}`, `[3600]`, `"0x10"`, `"NaN"`, `"Inf"`, `1e999`, `99999999999999999999`, `"1_000"`} {
		got, err := read(&Server{}, 200, `{"access_token":"a","expires_in":`+value+`}`)
		if err != nil || !got.Expiry.IsZero() {
			t.Errorf("%s: %v, %v", value, got.Expiry, err)
		}
	}
	got, err := read(&Server{ExpiryUnit: RFC3339}, 200, `{"access_token":"a","expires_in":3600}`)
	if err != nil || !got.Expiry.IsZero() {
		t.Errorf("a number for a date: %v, %v", got.Expiry, err)
	}
}

// TestC62Clock: a point in time is by the server's clock, which its Date tells,
// and a lifetime by none.
func TestC62Clock(t *testing.T) {
	for _, tt := range []struct {
		ahead time.Duration // of the server
		body  string
		want  time.Duration // after the request
	}{
		{0, `{"access_token":"a","expires_at":"2026-11-23T13:00:00Z"}`, time.Hour},
		{10 * time.Minute, `{"access_token":"a","expires_at":"2026-11-23T13:00:00Z"}`, 50 * time.Minute},
		{-10 * time.Minute, `{"access_token":"a","expires_at":"2026-11-23T13:00:00Z"}`, 70 * time.Minute},
		{10 * time.Minute, `{"access_token":"a","expires_on":1795438800}`, 50 * time.Minute},
		{10 * time.Minute, `{"access_token":"a","expires_in":3600}`, time.Hour},
		{10000 * time.Hour, `{"access_token":"a","expires_at":"2026-11-23T13:00:00Z"}`, time.Hour}, // no clock
	} {
		h := http.Header{"Date": {sent.Add(tt.ahead).Format(http.TimeFormat)}}
		got, err := (&Server{}).ReadToken(200, h, []byte(tt.body), sent)
		if err != nil || got.Expiry.Sub(sent) != tt.want {
			t.Errorf("%v ahead, %s: %v, %v; want %v", tt.ahead, tt.body, got.Expiry.Sub(sent), err, tt.want)
		}
	}
}

// TestP37ContentType: what it is called does not matter.
func TestP37ContentType(t *testing.T) {
	for _, tt := range [][2]string{
		{"text/html; charset=utf-8", good},
		{"text/javascript", good},
		{"application/x-www-form-urlencoded; charset=utf-8", "access_token=at-1&scope=&token_type=bearer"},
		{"application/json", "access_token=at-1&expires_in=3600"},
		{"text/plain", "access_token=at-1"},
	} {
		w := &wire{kind: tt[0], body: tt[1]}
		if token, err := server().Exchange(t.Context(), w.do, client, "c", "", ""); err != nil || token.Access != "at-1" {
			t.Errorf("%s: %v", tt[0], err)
		}
	}
}

// TestP37Unreadable: no token, and it is unknown what the server did.
func TestP37Unreadable(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"empty", "", "neither"},
		{"space", " \n", "neither"},
		{"HTML", "<html><body>access_token=1</body></html>", "neither"},
		{"text", "access_token is s3cr3t", "neither"},
		{"cut", `{"access_token":"s3cr3t","refr`, "neither"},
		{"JSON twice", `{"access_token":"s3cr3t"}{"access_token":"s3cr3t"}`, "neither"},
		{"a list", `["s3cr3t"]`, "neither"},
		{"a string", `"s3cr3t"`, "neither"},
		{"compressed", "\x1f\x8b\x08\x00s3cr3t", "neither"},
		{"another form", "token=s3cr3t", "neither"},
		{"a form that is none", `access_token=s3cr3t"`, "neither"},
		{"lines", "access_token=s3cr3t\nok", "neither"},
		{"no token", `{"token_type":"bearer"}`, `has no "access_token"`},
		{"an empty one", `{"access_token":""}`, `has no "access_token"`},
		{"null", `{"access_token":null,"refresh_token":"s3cr3t"}`, `has no "access_token"`},
		{"a number", `{"access_token":123}`, `"access_token" is no string`},
		{"an object", `{"access_token":{"value":"s3cr3t"}}`, `"access_token" is no string`},
		{"a refresh token that is none", `{"access_token":"a","refresh_token":["s3cr3t"]}`, `"refresh_token" is no string`},
		{"a header in the token", `{"access_token":"s3cr3t\r\nX-Evil: 1"}`, "characters"},
		{"two tokens", `{"access_token":"s3cr3t","access_token":"t"}`, `two different values for "access_token"`},
		{"two tokens, escaped", `{"access_token":"s3cr3t","access\u005ftoken":"t"}`, `two different values for "access_token"`},
		{"two in a form", "access_token=s3cr3t&access_token=t", `two different values for "access_token"`},
		{"two refresh tokens", `{"access_token":"a","refresh_token":"s3cr3t","refresh_token":"t"}`, `two different values for "refresh_token"`},
		{"huge", `{"access_token":"` + strings.Repeat("s3cr3t", 20_000) + `"}`, "64 KiB"},
	} {
		got, err := read(&Server{}, 200, tt.body)
		var e *Error
		if got != nil || !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
			continue
		}
		if !e.Ambiguous() || e.Revoked() || e.Temporary() || e.Misconfigured() || !e.Executed || e.Status != 200 {
			t.Errorf("%s: %+v", tt.name, *e)
		}
		if strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: the error shows it: %v", tt.name, err)
		}
	}
}

// TestSlackUser: without a user's token the bot's is not taken for it, but an
// answer to a refresh has it at the top.
func TestSlackUser(t *testing.T) {
	s := &Server{TokenURL: "https://slack.com/api/oauth.v2.access", TokenField: "authed_user"}
	for _, body := range []string{
		`{"ok":true,"access_token":"xoxb-bot","authed_user":{"id":"U1"}}`,
		`{"ok":true,"access_token":"xoxb-bot"}`,
		`{"ok":true,"access_token":"xoxb-bot","authed_user":"xoxp"}`,
	} {
		w := &wire{body: body}
		if token, err := s.Exchange(t.Context(), w.do, client, "c", "", ""); err == nil {
			t.Errorf("%s gave a token (%d bytes)", body, len(token.Access))
		}
	}
	for _, body := range []string{
		`{"ok":true,"access_token":"xoxe.xoxp-2","refresh_token":"xoxe-2","expires_in":43200,"token_type":"user"}`,
		`{"ok":true,"access_token":"xoxe.xoxp-2","refresh_token":"xoxe-2","authed_user":{"id":"U1"}}`,
		`{"ok":true,"access_token":"xoxb","authed_user":{"id":"U1","access_token":"xoxe.xoxp-2","refresh_token":"xoxe-2"}}`,
	} {
		w := &wire{body: body}
		token, err := s.Refresh(t.Context(), w.do, client, "xoxe-1", nil)
		if err != nil || token.Access != "xoxe.xoxp-2" || token.Refresh != "xoxe-2" {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestC51TokenPrints(t *testing.T) {
	token := Token{Access: "s3cr3t", Refresh: "s3cr3t", ID: "s3cr3t", Raw: []byte("s3cr3t")}
	c := Client{ID: "id", Secret: "s3cr3t"}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", token, "pointer", &token, "client", c, "c", &c)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", token, "pointer", &token, "client", c, "c", &c)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&log, verb+" "+verb+" "+verb+" "+verb, token, &token, c, &c)
	}
	for _, secret := range []string{"s3cr3t", "733363723374", "115 51 99", "czNjcjN0"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("printed: %s", log.String())
		}
	}
	if !strings.Contains(log.String(), "[redacted]") || !strings.Contains(log.String(), "client id") {
		t.Errorf("printed: %s", log.String())
	}
}

func TestScopeDiff(t *testing.T) {
	for _, tt := range []struct{ asked, granted, missing, extra string }{
		{"a b", "b a", "", ""},
		{"a b c", "b", "a c", ""},
		{"a", "a admin admin", "", "admin"},
		{"a a", "b", "a", "b"},
		{"", "a", "", "a"},
	} {
		missing, extra := ScopeDiff(strings.Fields(tt.asked), strings.Fields(tt.granted))
		if strings.Join(missing, " ") != tt.missing || strings.Join(extra, " ") != tt.extra {
			t.Errorf("%q, %q: %q, %q", tt.asked, tt.granted, missing, extra)
		}
	}
	if missing, extra := ScopeDiff([]string{"a"}, nil); missing != nil || extra != nil {
		t.Error("not told means as asked")
	}
	if missing, _ := ScopeDiff([]string{"a"}, []string{}); len(missing) != 1 {
		t.Error("none is none")
	}
}

func FuzzReadToken(f *testing.F) {
	f.Add(200, []byte(good), "", "")
	f.Add(201, []byte(`{"token":"ghs_1","expires_at":"2016-07-11T22:14:10Z"}`), "", "token")
	f.Add(200, []byte(`{"ok":true,"authed_user":{"access_token":"x","scope":"a,b"}}`), "authed_user", "")
	f.Add(200, []byte("access_token=gho&scope=repo%2Cgist&token_type=bearer"), "", "")
	f.Add(400, []byte(`{"error":"invalid_grant","error_description":"Bad\u202e Request"}`), "", "")
	f.Add(503, []byte("<html>"), "a.b|c#@*", "\\")
	f.Fuzz(func(t *testing.T, status int, body []byte, field, name string) {
		s := &Server{TokenField: field, TokenName: name}
		token, err := s.ReadToken(status, http.Header{}, body, sent)
		if (token == nil) == (err == nil) {
			t.Fatalf("token %v, error %v", token, err)
		}
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || !e.Executed || e.Status != status || strings.ContainsAny(err.Error(), "\r\n\x1b\u202e\u2028") {
				t.Fatalf("error %q", err)
			}
			return
		}
		if status != 200 && status != 201 || token.Access == "" || !json.Valid(token.Raw) {
			t.Fatalf("status %d, raw %q", status, token.Raw)
		}
		if strings.ContainsAny(token.Access+token.Refresh+token.ID, "\r\n\x00") {
			t.Fatal("a token that splits a header was taken")
		}
		if !token.Expiry.IsZero() && (token.Expiry.Year() < 1 || token.Expiry.Year() > 9999) {
			t.Fatalf("expiry %v", token.Expiry)
		}
	})
}
