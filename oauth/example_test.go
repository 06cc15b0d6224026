package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/postern-proxy/postern/oauth"
)

// A grant from the link to the first refresh that fails. The server is a
// function here.
func Example() {
	answers := []string{
		`{"access_token":"at-1","refresh_token":"rt-1","expires_in":3600,"scope":"read"}`,
		`{"error":"invalid_grant","error_description":"Token has been revoked."}`,
	}
	do := func(*http.Request) (*http.Response, bool, error) {
		resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answers[0]))}
		answers = answers[1:]
		return resp, true, nil
	}

	s := &oauth.Server{AuthorizeURL: "https://as.example/authorize", TokenURL: "https://as.example/token", PKCE: true}
	if err := s.Check(); err != nil {
		fmt.Println(err)
		return
	}
	c := &oauth.Client{ID: "my-app", Secret: "hunter2"}
	asked := []string{"read", "write"}
	const redirect = "https://app.example/callback"

	state, verifier := oauth.NewVerifier(), oauth.NewVerifier()
	link := s.AuthorizeLink(c, redirect, state, verifier, asked)
	fmt.Println(strings.HasPrefix(link, "https://as.example/authorize?client_id=my-app&code_challenge="))

	back := url.Values{"code": {"c0de"}, "state": {state}} // what the browser brings
	code, err := oauth.CheckCallback(back, state, s.Issuer)
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := s.Exchange(context.Background(), do, c, code, verifier, redirect)
	if err != nil {
		fmt.Println(err)
		return
	}
	missing, extra := oauth.ScopeDiff(asked, token.Scopes)
	fmt.Println(token, missing, extra)

	_, err = s.Refresh(context.Background(), do, c, token.Refresh, nil)
	var e *oauth.Error
	if errors.As(err, &e) && e.Revoked() {
		fmt.Println("connect again:", err)
	}
	// Output:
	// true
	// [redacted] [write] []
	// connect again: the refresh: the authorization server answered 200: invalid_grant: Token has been revoked.
}
