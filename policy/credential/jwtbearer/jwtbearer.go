// Package jwtbearer is credential "jwt_bearer": a token for a JWT that is signed
// with a key of the application's (RFC 7523 §2.1), as Google's service accounts
// and Salesforce have it.
package jwtbearer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
)

const (
	kind = "jwt_bearer"
	life = 5 * time.Minute // of an assertion
)

// Feature returns the feature.
func Feature(live *credential.Live) policy.Feature {
	return policy.Feature{Name: "credential", Kind: kind, New: func() policy.Block { return &Block{live: live} }}
}

// Block is a credential "jwt_bearer" block. A key may be the JSON file of a
// Google service account, which says who its issuer is.
type Block struct {
	credential.Server
	credential.Signing
	Issuer   block.Secret `hcl:"issuer,optional" literal:"allowed"`
	Subject  *block.Expr  `hcl:"subject,optional" scope:"account"` // on whose behalf
	Audience string       `hcl:"audience,optional"`                // "" is token_url

	live *credential.Live
}

// Default asks without a client beside the assertion.
func (b *Block) Default() {
	b.Defaults()
	b.Auth = oauth.None
}

// Check wants a key.
func (b *Block) Check() error {
	errs := b.Wrong()
	if len(b.Key) == 0 {
		errs = append(errs, block.At("key", "the key that signs is needed: a private key as PEM, or the JSON file of a service account"))
	}
	return errors.Join(errs...)
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	source := b.Source(b.live, s, kind, b.mint, b.TokenURL)
	return b.live.Granted(credential.Granted{
		Name: kind, Summary: "token for a signed assertion in " + b.Header + ", from " + b.TokenURL.Source(), Server: &b.Server, Source: source,
		PerAccount: b.PerAccount() || b.Subject != nil && b.Subject.Reads("account"),
		Stub:       func(r *http.Request, account string) (string, bool) { return "", b.Asks(r, account) },
	}), nil
}

// mint asks with each key in turn, the newest first.
func (b *Block) mint(ctx context.Context, account, _ string) (t *oauth.Token, err error) {
	server, err := b.OAuth(account)
	if err != nil {
		return nil, err
	}
	c := &oauth.Client{}
	if !b.ClientID.IsZero() {
		if c.ID, err = b.ClientID.Reveal(); err != nil {
			return nil, err
		}
	}
	for i, key := range b.Key {
		var assertion string
		if assertion, err = b.assertion(key, server.TokenURL, account); err != nil {
			return nil, err
		}
		t, err = server.Assertion(ctx, b.Do, c, assertion, b.Scopes)
		var o *oauth.Error
		if i+1 == len(b.Key) || !errors.As(err, &o) || !o.ClientRefused() && o.Code != "invalid_grant" {
			return t, err
		}
	}
	return t, err
}

// assertion is the JWT of RFC 7523 §3. Google wants the scopes in it.
func (b *Block) assertion(key block.Secret, tokenURL, account string) (string, error) {
	who, err := b.signatory(key)
	if err != nil {
		return "", err
	}
	now := b.Now()
	claims := oauth.Claims{Issuer: who.Email, Audience: b.Audience, Scope: strings.Join(b.Scopes, b.Separator), ID: oauth.NewVerifier(), IssuedAt: now, Expiry: now.Add(life)}
	if claims.Audience == "" {
		claims.Audience = tokenURL
	}
	if b.Subject != nil {
		subject, ok := b.Subject.String(credential.Account(account))
		if !ok {
			return "", fmt.Errorf("the subject has no value for account %q", account)
		}
		claims.Subject = subject
	}
	return oauth.SignJWT(who.Key, b.Alg, who.KeyID, claims)
}

// signatory is who signs: a service account, or an issuer with a key.
func (b *Block) signatory(key block.Secret) (*oauth.ServiceAccount, error) {
	text, err := key.Reveal()
	if err != nil {
		return nil, err
	}
	who := new(oauth.ServiceAccount)
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		if who, err = oauth.ParseServiceAccount([]byte(text)); err != nil {
			return nil, &block.SecretError{Ref: key.String(), Err: err}
		}
	} else if who.Key, err = b.live.Signer(key); err != nil {
		return nil, err
	}
	if key.StandsIn() {
		who.Email = text // as of the file of a service account
	}
	if b.KeyID != "" {
		who.KeyID = b.KeyID
	}
	if !b.Issuer.IsZero() {
		if who.Email, err = b.Issuer.Reveal(); err != nil {
			return nil, err
		}
	}
	if who.Email == "" {
		return nil, errors.New("the assertion has no issuer: set issuer, or use the JSON file of a service account as the key")
	}
	return who, nil
}
