package oauth

import (
	"crypto"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// A Server is how one authorization server wants to be talked to. The zero value
// of each field is what RFC 6749 says. It is only read, and may be shared.
type Server struct {
	// Where things are: absolute URLs, without user information and fragment; ""
	// where there is none. Whether plain http will do is the caller's to decide.
	// An empty RefreshURL is TokenURL. RevokeURL may hold templates, see
	// [RevokeStyle].
	AuthorizeURL, TokenURL, RefreshURL, RevokeURL string

	// Issuer is what the answer to the authorization request has to say in iss
	// (RFC 9207); "" does not look. An answer without iss is refused too, so it
	// is for servers that send it.
	Issuer string

	// Audience is the aud of the JWT by which a client says who it is
	// (private_key_jwt, client_secret_jwt); "" is TokenURL.
	Audience string

	Auth Auth // of the client, in every request but the authorization request

	JSON      bool   // token requests have a JSON body instead of a form
	Separator string // between scopes; "" is a space
	ScopeName string // of the scopes in the link; "" is scope (Slack: user_scope)

	// AuthorizeParams are added to the link. TokenParams are added to every token
	// request, and stand instead of ours of the same name (Zoom: grant_type =
	// account_credentials); an empty one takes ours away, as a parameter without
	// a value is none (RFC 6749 §3.1).
	AuthorizeParams, TokenParams map[string]string

	Header map[string]string // added to every token request
	PKCE   bool              // S256 (RFC 7636)

	// TokenField is the gjson path of the object that the token stands in, such
	// as authed_user (Slack); "" is the whole answer. TokenName and ExpiryName are
	// names in there: "" is access_token, and whichever of expires_in, expires_at
	// and expires_on there is.
	TokenField, TokenName, ExpiryName string

	ExpiryUnit ExpiryUnit // how the lifetime is written

	RevokeStyle RevokeStyle
}

// A Client is the application's registration with a server. The secrets are
// plain here: the caller reveals them for a request and forgets them.
type Client struct {
	ID     string
	Secret string        // for basic, basic_raw, post and client_secret_jwt
	Key    crypto.Signer // for private_key_jwt and [Server.AppToken]
	KeyID  string        // kid of JWTs; may be ""
	Alg    string        // of JWTs, see [SignJWT]; "" goes by the key

	// Skew is how far the server's clock is ahead of ours. JWTs are dated by the
	// server's clock.
	Skew time.Duration
}

// Do sends one request exactly once, follows no redirect, and returns the answer
// with its body unread. If there is an error, executed says whether the server
// may have acted all the same; false means surely not.
type Do func(*http.Request) (resp *http.Response, executed bool, err error)

// linkOwn are the parameters of the authorization request that a policy may not
// set: they tie the answer to the browser, the client and the place to return to.
var linkOwn = []string{
	"client_id", "code_challenge", "code_challenge_method", "redirect_uri", "response_type", "state",
}

// headerOwn are the header fields that belong to the request itself.
var headerOwn = []string{
	"Accept", "Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Host", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// Check returns everything that is wrong with s, one sentence each, joined. It
// sends nothing and needs no client; the other methods assume that it found nothing.
func (s *Server) Check() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if s.TokenURL == "" {
		add("a token URL is needed: nobody gives tokens without one")
	}
	for _, u := range []struct{ what, text string }{
		{"authorize URL", s.AuthorizeURL}, {"token URL", s.TokenURL}, {"refresh URL", s.RefreshURL}, {"revoke URL", s.RevokeURL},
	} {
		if u.text != "" {
			if _, err := parseURL(u.text); err != nil {
				add("the %s %w", u.what, err)
			}
		}
	}
	if u, err := parseURL(s.Issuer); s.Issuer != "" && (err != nil || u.RawQuery != "") {
		add("the issuer is no URL without query and fragment, which it has to be (RFC 9207 section 2): write it as the server's metadata does")
	}
	for _, name := range slices.Sorted(maps.Keys(s.AuthorizeParams)) {
		if slices.Contains(linkOwn, name) || name == s.scopeName() {
			add("the parameter %q of the authorize URL is set from other attributes: leave it out", name)
		}
	}
	for _, params := range []map[string]string{s.AuthorizeParams, s.TokenParams, s.RevokeStyle.Params} {
		if err := checkParams(params); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, checkHeader(s.Header, s.Auth), checkHeader(s.RevokeStyle.Header, s.revokeAuth()), s.checkRevoke())
	return errors.Join(errs...)
}

func (s *Server) separator() string { return or(s.Separator, " ") }
func (s *Server) scopeName() string { return or(s.ScopeName, "scope") }

// or is text, and otherwise where that is empty.
func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// parseURL accepts an absolute http or https URL. Its errors do not print the
// URL, which may hold what a template put there.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || strings.ContainsAny(text, " \t\r\n"):
		return nil, errors.New("is no URL: write it as https://host/path")
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Opaque != "":
		return nil, errors.New("is not absolute: write it as https://host/path")
	case u.User != nil:
		return nil, errors.New("holds user information: the client's credentials are attributes of their own")
	case u.Fragment != "" || strings.HasSuffix(text, "#"):
		return nil, errors.New("has a fragment, which is never sent: leave out what follows #")
	}
	return u, nil
}

// checkParams refuses names and values with line breaks or NUL. It names the
// parameter, never the value.
func checkParams(params map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if name == "" || broken(name) {
			return fmt.Errorf("%q is no name of a parameter", name)
		}
		if broken(params[name]) {
			return fmt.Errorf("the parameter %q holds a line break or a NUL byte: take it out", name)
		}
	}
	return nil
}

// checkHeader refuses fields that are none, or that the request sets itself.
func checkHeader(header map[string]string, auth Auth) error {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		key := http.CanonicalHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			return fmt.Errorf("%q is no name of a header field", name)
		case !httpguts.ValidHeaderFieldValue(header[name]):
			return fmt.Errorf("the value of the header field %s holds a line break or another control character: take it out", key)
		case slices.Contains(headerOwn, key):
			return fmt.Errorf("the header field %s is set by the request itself: leave it out", key)
		case key == "Authorization" && (auth == Basic || auth == BasicRaw):
			return fmt.Errorf("the header field Authorization is where the client's id and secret go: choose another client authentication than %s, or leave it out", auth)
		}
	}
	return nil
}

func broken(text string) bool { return strings.ContainsAny(text, "\r\n\x00") }
