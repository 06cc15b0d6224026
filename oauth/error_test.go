package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestC62Classes: what each provider says when a refresh fails, and what that
// means. Sources stand beside the codes in codes.go.
func TestC62Classes(t *testing.T) {
	const (
		none = iota
		isRevoked
		isTemporary
		isMisconfigured
		isClient // misconfigured, too
	)
	for _, tt := range []struct {
		name   string
		status int
		body   string
		code   string
		want   int
	}{
		{"RFC 6749 section 5.2", 400, `{"error":"invalid_request"}`, "invalid_request", isMisconfigured},
		{"revoked", 400, `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`, "invalid_grant", isRevoked},
		{"GitHub, a 200", 200, `{"error":"bad_refresh_token","error_description":"The refresh token passed is incorrect or expired.","error_uri":"https://docs.github.com"}`, "bad_refresh_token", isRevoked},
		{"GitHub, a 200 and a form", 200, "error=incorrect_client_credentials&error_description=The+client_id+and%2For+client_secret+passed+are+incorrect.", "incorrect_client_credentials", isClient},
		{"GitHub, code", 200, `{"error":"bad_verification_code"}`, "bad_verification_code", isRevoked},
		{"Slack", 200, `{"ok":false,"error":"invalid_refresh_token"}`, "invalid_refresh_token", isRevoked},
		{"Slack, removed", 200, `{"ok":false,"error":"token_revoked"}`, "token_revoked", isRevoked},
		{"Slack, busy", 200, `{"ok":false,"error":"internal_error"}`, "internal_error", isTemporary},
		{"Slack, no word", 200, `{"ok":false}`, "not_ok", none},
		{"HubSpot", 400, `{"status":"BAD_REFRESH_TOKEN","message":"missing or invalid refresh token","correlationId":"x"}`, "BAD_REFRESH_TOKEN", isRevoked},
		{"Square", 401, `{"message":"Invalid refresh token","type":"service.not_authorized"}`, "service.not_authorized", isRevoked},
		{"Square, the client", 401, `{"message":"Not Authorized","type":"service.not_authorized"}`, "service.not_authorized", isMisconfigured},
		{"Atlassian", 403, `{"error":"unauthorized_client","error_description":"refresh_token is invalid"}`, "unauthorized_client", isRevoked},
		{"Atlassian, newer", 403, `{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}`, "invalid_grant", isRevoked},
		{"not allowed", 400, `{"error":"unauthorized_client","error_description":"The client may not use this grant."}`, "unauthorized_client", isMisconfigured},
		{"Zoom", 401, `{"reason":"Invalid Token!","error":"invalid_request"}`, "invalid_request", isRevoked},
		{"LinkedIn", 400, `{"error":"invalid_request","error_description":"The provided authorization grant or refresh token is invalid, expired or revoked"}`, "invalid_request", isRevoked},
		{"Microsoft", 400, `{"error":"interaction_required","error_description":"AADSTS50079: …","error_codes":[50079],"suberror":"basic_action"}`, "interaction_required", isRevoked},
		{"Salesforce, user", 400, `{"error":"inactive_user","error_description":"user is inactive"}`, "inactive_user", isRevoked},
		{"Facebook", 400, `{"error":{"message":"Error validating access token","type":"OAuthException","code":190}}`, "OAuthException", none},
		{"Google, an object", 403, `{"error":{"code":403,"message":"Denied","status":"PERMISSION_DENIED"}}`, "PERMISSION_DENIED", none},
		{"errors", 401, `{"errors":[{"category":"AUTHENTICATION_ERROR","code":"UNAUTHORIZED","detail":"no"}]}`, "UNAUTHORIZED", isClient},
		{"the client", 401, `{"error":"invalid_client"}`, "invalid_client", isClient},
		{"the client, no word", 401, ``, "", isClient},
		{"the scope", 400, `{"error":"invalid_scope"}`, "invalid_scope", isMisconfigured},
		{"the URL", 404, `<html>`, "", isMisconfigured},
		{"another place", 302, ``, "", isMisconfigured},
		{"not modified", 304, ``, "", isMisconfigured},
		{"busy", 429, `<html>`, "", isTemporary},
		{"down", 503, `Service Unavailable`, "", isTemporary},
		{"down, whatever it says", 500, `{"error":"invalid_grant"}`, "invalid_grant", isTemporary},
		{"later", 400, `{"error":"temporarily_unavailable"}`, "temporarily_unavailable", isTemporary},
		{"an unknown word", 400, `{"error":"teapot"}`, "teapot", none},
		{"a firewall", 403, `<html>`, "", none},
		{"a number", 400, `{"error":7}`, "unreadable", none},
		{"true", 200, `{"error":true}`, "unreadable", none},
		{"long", 400, `{"error":"` + strings.Repeat("x", 65) + `"}`, "unreadable", none},
		{"not a word", 400, `{"error":"a\nb"}`, "unreadable", none},
		{"a token and an error", 200, `{"access_token":"a","error":"invalid_grant"}`, "invalid_grant", isRevoked},
		{"202", 202, good, "", none},
	} {
		_, err := read(&Server{}, tt.status, tt.body)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got := []bool{isRevoked: e.Revoked(), isTemporary: e.Temporary(), isMisconfigured: e.Misconfigured(), isClient: e.ClientRefused()}
		for class := isRevoked; class <= isClient; class++ {
			if got[class] != (class == tt.want || class == isMisconfigured && tt.want == isClient) {
				t.Errorf("%s: class %d is %v: %v", tt.name, class, got[class], err)
			}
		}
		if e.Code != tt.code || e.Status != tt.status || !e.Executed || e.Denied() {
			t.Errorf("%s: %+v", tt.name, *e)
		}
	}
}

// TestTransport: whether the server may have acted is told, and nothing of the
// URL.
func TestTransport(t *testing.T) {
	boom := errors.New("connection reset")
	for _, tt := range []struct {
		name      string
		err       error
		executed  bool
		temporary bool
		text      string
	}{
		{"not reached", boom, false, true, "the refresh: the authorization server was not reached: connection reset"},
		{"lost", boom, true, true, "the refresh: no answer from the authorization server, which may have acted: connection reset"},
		{"url.Error", &url.Error{Op: "Post", URL: "https://as.example/rt-s3cr3t", Err: boom}, true, true, "the refresh: no answer from the authorization server, which may have acted: connection reset"},
		{"wrapped", fmt.Errorf("attempt: %w", &url.Error{Op: "Post", URL: "https://as.example/x?token=unknown", Err: boom}), true, true, "the refresh: no answer from the authorization server, which may have acted: connection reset"},
		{"with the token", fmt.Errorf("bad request rt-s3cr3t for cl-s3cr3t: %w", boom), false, true, "the refresh: the authorization server was not reached: bad request [redacted] for [redacted]: connection reset"},
		{"cancelled", context.Canceled, true, false, "the refresh: no answer from the authorization server, which may have acted: context canceled"},
		{"timeout", context.DeadlineExceeded, true, true, "the refresh: no answer from the authorization server, which may have acted: context deadline exceeded"},
	} {
		do := func(*http.Request) (*http.Response, bool, error) { return nil, tt.executed, tt.err }
		_, err := server().Refresh(t.Context(), do, &Client{ID: "id", Secret: "cl-s3cr3t"}, "rt-s3cr3t", nil)
		var e *Error
		if !errors.As(err, &e) || e.Executed != tt.executed || e.Temporary() != tt.temporary || e.Ambiguous() != tt.executed || e.Revoked() || e.Misconfigured() {
			t.Errorf("%s: %+v", tt.name, err)
			continue
		}
		if err.Error() != tt.text {
			t.Errorf("%s: %q\nwant %q", tt.name, err, tt.text)
		}
		if root := tt.err; errors.Is(root, boom) != errors.Is(err, boom) || errors.Is(root, context.Canceled) != errors.Is(err, context.Canceled) {
			t.Errorf("%s: the cause is lost", tt.name)
		}
		if u := new(url.Error); errors.As(err, &u) {
			t.Errorf("%s: the URL can be had: %v", tt.name, u)
		}
	}
	none := func(*http.Request) (*http.Response, bool, error) { return nil, false, nil }
	if _, err := server().Refresh(t.Context(), none, client, "r", nil); err == nil || !strings.Contains(err.Error(), "neither") {
		t.Error(err)
	}
	op := &net.OpError{Op: "dial", Err: boom}
	do := func(*http.Request) (*http.Response, bool, error) { return nil, false, op }
	_, err := server().Refresh(t.Context(), do, client, "r", nil)
	if got := new(net.OpError); !errors.As(err, &got) || got != op {
		t.Errorf("%v", err)
	}
}

type cut struct{ io.Reader }

func (c cut) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
func (cut) Close() error { return nil }

// TestBody: a body that breaks off or does not end is no token, whatever it
// begins with.
func TestBody(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   io.Reader
		want   string
	}{
		{"breaks off", 200, strings.NewReader(good), "unexpected EOF"},
		{"an error that breaks off", 503, strings.NewReader("x"), "unexpected EOF"},
		{"endless", 200, &endless{t: t}, "more than 64 KiB"},
	} {
		do := func(*http.Request) (*http.Response, bool, error) {
			return &http.Response{StatusCode: tt.status, Header: http.Header{"Retry-After": {"30"}}, Body: cut{tt.body}}, true, nil
		}
		_, err := server().Refresh(t.Context(), do, client, "r", nil)
		var e *Error
		if !errors.As(err, &e) || e.Status != tt.status || !e.Ambiguous() || e.Temporary() != (tt.status == 503) || e.RetryAfter != 30*time.Second || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

type endless struct {
	t    *testing.T
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.read += len(p); e.read > 2*maxBody {
		e.t.Fatal("it is read on and on")
	}
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// TestC51NoSecretInErrors: whatever the server repeats of what it was sent, in
// whatever form.
func TestC51NoSecretInErrors(t *testing.T) {
	const secret, refresh = `cl"s3cr3t/+ü=`, "rt-s3cr3t/+="
	c := &Client{ID: "id", Secret: secret}
	for _, auth := range []Auth{Basic, BasicRaw, Post} {
		s := server()
		s.Auth = auth
		pair := "-"
		echo := func(r *http.Request) (*http.Response, bool, error) {
			if _, p, ok := strings.Cut(r.Header.Get("Authorization"), "Basic "); ok {
				pair = p
			}
			body, _ := io.ReadAll(r.Body)
			form, _ := url.ParseQuery(string(body))
			told := strings.Join([]string{
				string(body), form.Encode(), r.Header.Get("Authorization"), form.Get("refresh_token"), form.Get("client_secret"),
				url.PathEscape(refresh), "\x1b[31m\u202e\r\nlevel=INFO",
			}, " ")
			answer := `{"error":"invalid_grant","error_description":` + quote(told) + `}`
			return &http.Response{StatusCode: 400, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer))}, true, nil
		}
		_, err := s.Refresh(t.Context(), echo, c, refresh, nil)
		var e *Error
		if !errors.As(err, &e) || !e.Revoked() {
			t.Fatal(err)
		}
		for _, text := range []string{err.Error(), e.Description, fmt.Sprintf("%+v", *e)} {
			if strings.Contains(text, "s3cr3t") || pair != "-" && strings.Contains(text, pair) || strings.ContainsAny(text, "\r\n\x1b\u202e") {
				t.Errorf("%s: %q", auth, text)
			}
		}
		if !strings.Contains(e.Description, "[redacted]") {
			t.Errorf("%s: %q", auth, e.Description)
		}
	}
}

// TestMask: in each form the value goes and the rest stays; where it only shows
// after decoding, nothing does.
func TestMask(t *testing.T) {
	m := new(mask)
	m.hide(`k"1/+ü`)
	for text, want := range map[string]string{
		`a k"1/+ü z`:                   "a [redacted] z",
		"a k%221%2F%2B%C3%BC z":        "a [redacted] z", // a form, or a query
		"a k%221%2F+%C3%BC z":          "a [redacted] z", // a path
		`a k\"1/+ü z`:                  "a [redacted] z",
		"a 6b22312f2bc3bc z":           "a [redacted] z",
		"a ayIxLyvDvA== z":             "a [redacted] z",
		"a ayIxLyvDvA z":               "a [redacted] z",
		"a k%221%2f%2b%c3%bc z":        "[redacted]",
		"a %6b%22%31%2f%2b%c3%bc z":    "[redacted]",
		"100% k2 %zz [redacted] level": "100% k2 %zz [redacted] level",
	} {
		if got := m.text(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	m.hide("k~>?")
	for _, text := range []string{"a34+Pw==", "a34+Pw", "a34-Pw"} {
		if got := m.text(text); got != "[redacted]" {
			t.Errorf("%s: %q", text, got)
		}
	}
	m.hide("a", "") // short ones do not eat what was put in
	if got := m.text("a b"); got != "[redacted] b" {
		t.Error(got)
	}
}

func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	return b.String() + `"`
}

// TestDescription: capped.
func TestDescription(t *testing.T) {
	_, err := read(&Server{}, 400, `{"error":"invalid_grant","error_description":"`+strings.Repeat("ü ", 1000)+`"}`)
	var e *Error
	if !errors.As(err, &e) || len([]rune(e.Description)) != maxDescription+1 || !strings.HasSuffix(e.Description, "…") {
		t.Errorf("%d runes", len([]rune(e.Description)))
	}
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{"120": 2 * time.Minute, "999999999": 24 * time.Hour, "soon": 0} {
		_, err := (&Server{}).ReadToken(429, http.Header{"Retry-After": {value}}, nil, sent)
		var e *Error
		if !errors.As(err, &e) || e.RetryAfter != want {
			t.Errorf("%s: %v", value, e.RetryAfter)
		}
	}
}
