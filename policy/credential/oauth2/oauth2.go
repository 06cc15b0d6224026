// Package oauth2 is credential "oauth2": a token that a person has granted for an
// account (RFC 6749 §4.1 with PKCE, RFC 7636), renewed for as long as the grant
// lasts.
package oauth2

import (
	"context"
	"errors"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
)

const kind = "oauth2"

// Feature returns the feature.
func Feature(live *credential.Live) policy.Feature {
	return policy.Feature{Name: "credential", Kind: kind, New: func() policy.Block { return &Block{live: live} }}
}

// Block is a credential "oauth2" block: one connection an account.
type Block struct {
	credential.Server
	credential.Signing
	AuthorizeURL    *block.Expr       `hcl:"authorize_url" scope:"account" encode:"url"`
	AuthorizeParams map[string]string `hcl:"authorize_params,optional"`
	ScopeName       string            `hcl:"scope_parameter,optional"` // in the link, where it is not called scope
	RefreshURL      *block.Expr       `hcl:"refresh_url,optional" scope:"account" encode:"url"`
	RevokeURL       *block.Expr       `hcl:"revoke_url,optional" scope:"account" encode:"url"`
	PKCE            bool              `hcl:"pkce,optional"`
	Issuer          string            `hcl:"issuer,optional"` // that the callback has to name (RFC 9207)
	Revoke          *Revoke           `hcl:"revoke,block"`

	live *credential.Live
}

// Revoke says how revoke_url wants to be called, where that is not RFC 7009. URL,
// headers and params may hold {token}, {access_token}, {refresh_token},
// {client_id}, {client_secret} and members of the token's answer.
type Revoke struct {
	Method  string            `hcl:"method,optional"`
	Auth    *oauth.Auth       `hcl:"auth,optional"`
	Format  string            `hcl:"format,optional"`
	Headers map[string]string `hcl:"headers,optional"`
	Params  map[string]string `hcl:"params,optional"`
	Gone    []int             `hcl:"gone,optional"` // statuses that say that the token was not good any more
}

// Default is a POST of a form.
func (r *Revoke) Default() { r.Method, r.Format = "POST", "form" }

// Check refuses what could not be sent.
func (r *Revoke) Check() error {
	if r.Format != "form" && r.Format != "json" {
		return block.At("format", "%q is neither \"form\" nor \"json\"", r.Format)
	}
	return nil
}

// Default uses PKCE.
func (b *Block) Default() {
	b.Defaults()
	b.PKCE = true
}

// Check wants to know who asks, and whether the URLs are some.
func (b *Block) Check() error {
	errs := b.Wrong()
	if b.ClientID.IsZero() {
		errs = append(errs, block.At("client_id", "the client's id is needed"))
	}
	if b.AuthorizeURL == nil {
		errs = append(errs, block.At("authorize_url", "authorize_url is missing: where customers are sent"))
	}
	if b.Revoke != nil && b.RevokeURL == nil {
		errs = append(errs, block.At("revoke", "it needs a revoke_url"))
	}
	errs = append(errs, b.Fits(&b.Server)...)
	if len(errs) == 0 {
		if _, err := b.server(credential.Sample); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// server is the authorization server for an account.
func (b *Block) server(account string) (*oauth.Server, error) {
	s, err := b.OAuth(account)
	if err != nil {
		return nil, err
	}
	s.AuthorizeParams, s.ScopeName, s.PKCE, s.Issuer = b.AuthorizeParams, b.ScopeName, b.PKCE, b.Issuer
	for _, u := range []struct {
		name string
		e    *block.Expr
		to   *string
	}{{"authorize_url", b.AuthorizeURL, &s.AuthorizeURL}, {"refresh_url", b.RefreshURL, &s.RefreshURL}, {"revoke_url", b.RevokeURL, &s.RevokeURL}} {
		if *u.to, err = b.At(u.e, u.name, account); err != nil {
			return nil, err
		}
	}
	if r := b.Revoke; r != nil {
		s.RevokeStyle = oauth.RevokeStyle{Method: r.Method, Header: r.Headers, Params: r.Params, JSON: r.Format == "json", Auth: r.Auth, Gone: r.Gone}
	}
	return s, s.Check()
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	src := b.Source(b.live, s, kind, func(ctx context.Context, account, refresh string) (*oauth.Token, error) {
		return b.ask(account, func(at *oauth.Server, c *oauth.Client) (*oauth.Token, error) {
			return at.Refresh(ctx, b.Do, c, refresh, nil) // the grant's own scopes stay
		})
	}, b.TokenURL, b.RefreshURL, b.RevokeURL)
	src.Person, src.Issuer = true, b.Issuer
	src.Exchange = func(ctx context.Context, account, code, verifier, redirect string) (*oauth.Token, error) {
		if !b.PKCE {
			verifier = "" // the link has no challenge that it could answer
		}
		return b.ask(account, func(at *oauth.Server, c *oauth.Client) (*oauth.Token, error) {
			return at.Exchange(ctx, b.Do, c, code, verifier, redirect)
		})
	}
	src.Link = func(account, redirect, state, verifier string) (link string, err error) {
		_, err = b.ask(account, func(at *oauth.Server, c *oauth.Client) (*oauth.Token, error) {
			link = at.AuthorizeLink(c, redirect, state, verifier, b.Scopes)
			return nil, nil
		})
		return link, err
	}
	if b.RevokeURL != nil {
		src.Revoke = func(ctx context.Context, account string, t *oauth.Token) error {
			_, err := b.ask(account, func(at *oauth.Server, c *oauth.Client) (*oauth.Token, error) {
				return nil, at.Revoke(ctx, b.Do, c, t)
			})
			return err
		}
	}
	return b.live.Granted(credential.Granted{
		Name: kind, Summary: "token of the account's grant in " + b.Header + ", renewed at " + b.TokenURL.Source(),
		Server: &b.Server, Source: src, PerAccount: true,
	}), nil
}

func (b *Block) ask(account string, ask func(*oauth.Server, *oauth.Client) (*oauth.Token, error)) (*oauth.Token, error) {
	server, err := b.server(account)
	if err != nil {
		return nil, err
	}
	return b.Clients(&b.Signing, func(c *oauth.Client) (*oauth.Token, error) { return ask(server, c) })
}
