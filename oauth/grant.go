package oauth

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"
)

// Exchange turns an authorization code into a token (RFC 6749 §4.1.3). verifier
// is sent if it is not empty, redirect too: it has to be the one of the link.
func (s *Server) Exchange(ctx context.Context, do Do, c *Client, code, verifier, redirect string) (*Token, error) {
	return s.ask(http.MethodPost, s.TokenURL, "the exchange of the code", code, verifier).grant(ctx, do, c, map[string]string{
		"grant_type": "authorization_code", "code": code, "code_verifier": verifier, "redirect_uri": redirect,
	})
}

// Refresh turns a refresh token into a new token (RFC 6749 §6). scopes are sent
// if there are any; without them the grant's own stay. The old refresh token
// may be dead from the moment that this is sent, whatever comes back.
func (s *Server) Refresh(ctx context.Context, do Do, c *Client, refresh string, scopes []string) (*Token, error) {
	q := s.ask(http.MethodPost, or(s.RefreshURL, s.TokenURL), "the refresh", refresh)
	if refresh == "" {
		return nil, setup(q.at, errors.New("there is no refresh token"))
	}
	q.anywhere = true
	return q.grant(ctx, do, c, map[string]string{
		"grant_type": "refresh_token", "refresh_token": refresh, "scope": strings.Join(scopes, s.separator()),
	})
}

// ClientCredentials asks for a token of the application's own (RFC 6749 §4.4).
func (s *Server) ClientCredentials(ctx context.Context, do Do, c *Client, scopes []string) (*Token, error) {
	return s.ask(http.MethodPost, s.TokenURL, "the client credentials grant").grant(ctx, do, c, map[string]string{
		"grant_type": "client_credentials", "scope": strings.Join(scopes, s.separator()),
	})
}

// Assertion turns a signed JWT into a token (RFC 7523 §2.1). Most servers take
// the JWT for all there is to know of the client: then Auth is none, and a
// client without an id is not named. That a server calls the assertion
// invalid_grant may be about clocks and scopes as well; Description says.
func (s *Server) Assertion(ctx context.Context, do Do, c *Client, assertion string, scopes []string) (*Token, error) {
	return s.ask(http.MethodPost, s.TokenURL, "the assertion grant", assertion).grant(ctx, do, c, map[string]string{
		"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion, "scope": strings.Join(scopes, s.separator()),
	})
}

// appLife is how long the JWT of a GitHub App is good for: GitHub takes no more
// than ten minutes, and dates it by its own clock.
const (
	appLife = 9 * time.Minute
	appPast = time.Minute
)

// AppToken asks for an installation token as a GitHub App does: a POST of body,
// as JSON, to TokenURL with a JWT in the Authorization header, whose issuer is
// the client's id (the App's) and which its key signs. body narrows what the
// token is good for, and may be nil. The answer is a 201 with token and
// expires_at: TokenName is token.
func (s *Server) AppToken(ctx context.Context, do Do, c *Client, body any) (*Token, error) {
	const at = "the installation token"
	if c.ID == "" || c.Key == nil {
		return nil, setup(at, errors.New("the App has no id or no private key: set both"))
	}
	now := time.Now().Add(c.Skew)
	jwt, err := SignJWT(c.Key, or(c.Alg, "RS256"), c.KeyID, Claims{Issuer: c.ID, IssuedAt: now.Add(-appPast), Expiry: now.Add(appLife)})
	if err != nil {
		return nil, setup(at, err)
	}
	q := s.ask(http.MethodPost, s.TokenURL, at, jwt)
	q.header.Set("Authorization", "Bearer "+jwt)
	if body == nil {
		body = struct{}{}
	}
	if err := q.json(body); err != nil {
		return nil, setup(at, err)
	}
	return q.token(ctx, do)
}

// grant sends a token request with these parameters, the client's, and the
// server's own. An empty one is left out.
func (q *request) grant(ctx context.Context, do Do, c *Client, params map[string]string) (*Token, error) {
	s := q.server
	if params["assertion"] == "" || c.ID != "" || s.Auth != None {
		if err := s.Auth.authenticate(c, or(s.Audience, s.TokenURL), q.header, params, &q.mask); err != nil {
			return nil, setup(q.at, err)
		}
	}
	maps.Copy(params, s.TokenParams)
	maps.DeleteFunc(params, func(_, value string) bool { return value == "" })
	if err := q.params(params, s.JSON); err != nil {
		return nil, setup(q.at, err)
	}
	return q.token(ctx, do)
}
