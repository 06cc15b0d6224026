package oauth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// What is wrong with a callback that does not come from the server, or not for
// this browser. None of them goes with a token request, and none quotes what
// the query says.
var (
	ErrState     = errors.New("the callback's state is not the one that was given out: start again")
	ErrIssuer    = errors.New("the callback does not come from the authorization server that was asked: its iss is another (RFC 9207)")
	ErrRepeated  = errors.New("the callback has a parameter twice (RFC 6749 section 3.1)")
	ErrNoCode    = errors.New("the callback has neither a code nor an error")
	ErrCodeShape = errors.New("the callback's code is too long or holds characters that a code has not")
)

// maxCode is how long an authorization code may be, in bytes. Microsoft's have
// more than a thousand.
const maxCode = 8 << 10

// AuthorizeLink returns the URL to send the browser to (RFC 6749 §4.1.1), with
// the S256 challenge of verifier if s.PKCE. redirect and scopes may be empty.
// AuthorizeParams cannot replace what ties the answer to the request. The link is
// "" if AuthorizeURL is not one that [Server.Check] accepts, and if state, or the
// verifier where one is needed, is empty: without them anybody's code would do.
func (s *Server) AuthorizeLink(c *Client, redirect, state, verifier string, scopes []string) string {
	u, err := parseURL(s.AuthorizeURL)
	if err != nil || state == "" || s.PKCE && verifier == "" {
		return ""
	}
	q := u.Query()
	for name, value := range s.AuthorizeParams {
		q.Set(name, value)
	}
	q.Set("response_type", "code")
	q.Set("client_id", c.ID)
	q.Set("state", state)
	if redirect != "" {
		q.Set("redirect_uri", redirect)
	}
	if len(scopes) > 0 {
		q.Set(s.scopeName(), strings.Join(scopes, s.separator()))
	}
	if s.PKCE {
		q.Set("code_challenge", Challenge(verifier))
		q.Set("code_challenge_method", "S256")
	}
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20") // not every server takes + for a space
	return u.String()
}

// NewVerifier returns a code verifier of 256 random bits (RFC 7636 §4.1), which
// does for a state as well.
func NewVerifier() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// Challenge returns the S256 challenge of a verifier (RFC 7636 §4.2).
func Challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// CheckCallback reads the query with which the browser came back and returns
// the code to exchange. state is the one that was given out for this browser:
// an empty one matches nothing. issuer is [Server.Issuer].
//
// The error is one of the five above, or an [*Error] with what the server said
// (RFC 6749 §4.1.2.1), such as access_denied: see [Error.Denied]. The server's
// word counts only after state and iss do.
func CheckCallback(query url.Values, state, issuer string) (code string, err error) {
	for _, name := range []string{"state", "iss", "code", "error", "error_description", "error_uri"} {
		if len(query[name]) > 1 {
			return "", ErrRepeated
		}
	}
	if state == "" || subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(state)) != 1 {
		return "", ErrState
	}
	if issuer != "" && query.Get("iss") != issuer {
		return "", ErrIssuer
	}
	code = query.Get("code")
	if said := query.Get("error"); said != "" {
		m := new(mask)
		m.hide(state, code)
		return "", &Error{Code: cleanCode(m, said), Description: m.clean(query.Get("error_description")), at: "the authorization"}
	}
	switch {
	case code == "":
		return "", ErrNoCode
	case len(code) > maxCode || strings.ContainsFunc(code, func(r rune) bool { return r < ' ' || r > '~' }):
		return "", fmt.Errorf("%w: %d bytes", ErrCodeShape, len(code))
	}
	return code, nil
}
