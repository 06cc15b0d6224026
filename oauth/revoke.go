package oauth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// A RevokeStyle is how a provider wants a token revoked, where that is not RFC
// 7009, which the zero value is: a form with token and token_type_hint.
//
// RevokeURL and the values of Header and Params may hold {client_id},
// {client_secret}, {access_token}, {refresh_token}, {token} (the refresh token
// if there is one, else the access token), and any member of the token's
// answer, such as {stripe_user_id}.
type RevokeStyle struct {
	Method string            // DELETE, GET, PATCH, POST or PUT; "" is POST
	Header map[string]string // added to the request
	Params map[string]string // of the body; nil is RFC 7009's for a POST, and no body for others
	JSON   bool              // the body is JSON instead of a form
	Auth   *Auth             // of the client; nil is the server's. None adds nothing but to RFC 7009's form
	Gone   []int             // statuses that say that there is no such token any more
}

// standard reports whether the body is RFC 7009's.
func (r RevokeStyle) standard() bool {
	return r.Params == nil && or(r.Method, http.MethodPost) == http.MethodPost
}

// ErrNoRevoke is for a server that has no way to revoke: its RevokeURL is empty.
var ErrNoRevoke = errors.New("the provider has no way to revoke a token: remove the application in the provider's own settings")

// gone are the codes that say that the token is dead already, which is what was
// wanted: RFC 6750 and Google, Salesforce; Slack. A token that was never good is
// no error either (RFC 7009 §2.2).
var gone = []string{"invalid_token", "token_revoked", "token_expired", "account_inactive", "invalid_auth"}

// template is what is filled in.
var template = regexp.MustCompile(`\{([A-Za-z0-9_.]+)\}`)

// Revoke tells the provider to forget t, by its refresh token if there is one,
// which ends the access tokens made of it as well (RFC 7009 §2.1). A token that
// is gone already is no error. The error is an [*Error]; it wraps [ErrNoRevoke]
// where there is nothing to ask.
func (s *Server) Revoke(ctx context.Context, do Do, c *Client, t *Token) error {
	const at = "the revocation"
	if s.RevokeURL == "" {
		return setup(at, ErrNoRevoke)
	}
	style := s.RevokeStyle
	f := &filler{c: c, t: t}
	q := s.ask(or(style.Method, http.MethodPost), f.url(s.RevokeURL), at, c.Secret, t.Access, t.Refresh, t.ID)
	params := s.revokeParams(f, t)
	for name, value := range style.Header {
		q.header.Set(name, f.fill(value, plain))
	}
	body := params
	if body == nil {
		body = map[string]string{}
	}
	if err := s.authRevoke(q, c, body); err != nil {
		return setup(at, err)
	}
	q.mask.hide(f.used...)
	if f.err != nil {
		return setup(at, f.err)
	}
	if len(body) > 0 {
		if err := q.params(body, style.JSON); err != nil {
			return setup(at, err)
		}
	}
	a, err := q.send(ctx, do)
	if err != nil {
		return err
	}
	return s.revoked(a, q)
}

// authRevoke says who the client is, unless the request says it its own way.
func (s *Server) authRevoke(q *request, c *Client, params map[string]string) error {
	auth := s.revokeAuth()
	if auth == None && !s.RevokeStyle.standard() {
		return nil
	}
	return auth.authenticate(c, or(s.Audience, s.TokenURL), q.header, params, &q.mask)
}

func (s *Server) revokeAuth() Auth {
	if s.RevokeStyle.Auth != nil {
		return *s.RevokeStyle.Auth
	}
	return s.Auth
}

// revokeParams are those of the style, or of RFC 7009.
func (s *Server) revokeParams(f *filler, t *Token) map[string]string {
	style := s.RevokeStyle
	if style.Params != nil {
		params := maps.Clone(style.Params)
		for name, value := range params {
			params[name] = f.fill(value, plain)
		}
		return params
	}
	if !style.standard() {
		return nil
	}
	hint := "access_token"
	if t.Refresh != "" {
		hint = "refresh_token"
	}
	return map[string]string{"token": f.fill("{token}", plain), "token_type_hint": hint}
}

// revoked reads the answer. Any 2xx is a yes, unless it says error.
func (s *Server) revoked(a *answer, q *request) error {
	if slices.Contains(s.RevokeStyle.Gone, a.status) {
		return nil
	}
	e := a.refusal(&q.mask)
	if e == nil || e.Code == "" && a.status >= 200 && a.status < 300 || slices.Contains(gone, e.Code) {
		return nil
	}
	e.at = q.at
	return e
}

// checkRevoke is the part of Check about the method and templates.
func (s *Server) checkRevoke() error {
	switch m := s.RevokeStyle.Method; m {
	case "", http.MethodPost, http.MethodDelete, http.MethodPut, http.MethodPatch, http.MethodGet:
	default:
		return fmt.Errorf("%q is no method to revoke with: use DELETE, GET, PATCH, POST or PUT", m)
	}
	texts := []string{s.RevokeURL}
	for _, m := range []map[string]string{s.RevokeStyle.Header, s.RevokeStyle.Params} {
		texts = slices.AppendSeq(texts, maps.Values(m))
	}
	for _, text := range texts {
		if strings.ContainsAny(template.ReplaceAllString(text, ""), "{}") {
			return errors.New("a brace of the revocation belongs to no template: write {client_id}, {access_token}, {refresh_token}, {token} or {name} of a member of the token's answer")
		}
	}
	return nil
}

// A filler fills templates in, and remembers what was not there.
type filler struct {
	c    *Client
	t    *Token
	used []string // members of the answer: they may be secrets too
	err  error
}

func plain(s string) string { return s }

// url fills a URL in, each value escaped for its place.
func (f *filler) url(text string) string {
	path, query, ok := strings.Cut(text, "?")
	path = f.fill(path, url.PathEscape)
	if !ok {
		return path
	}
	return path + "?" + f.fill(query, url.QueryEscape)
}

func (f *filler) fill(text string, escape func(string) string) string {
	return template.ReplaceAllStringFunc(text, func(with string) string {
		name := with[1 : len(with)-1]
		value := f.value(name)
		if value == "" || value == "." || value == ".." {
			f.err = fmt.Errorf("there is no %s to revoke with", name)
		}
		return escape(value)
	})
}

func (f *filler) value(name string) string {
	switch name {
	case "client_id":
		return f.c.ID
	case "client_secret":
		return f.c.Secret
	case "access_token":
		return f.t.Access
	case "refresh_token":
		return f.t.Refresh
	case "token":
		return or(f.t.Refresh, f.t.Access)
	}
	value := gjson.GetBytes(f.t.Raw, name).String()
	f.used = append(f.used, value)
	return value
}
