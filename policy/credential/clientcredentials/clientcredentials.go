// Package clientcredentials is credential "oauth2_client_credentials": a token
// of the application's own (RFC 6749 §4.4).
package clientcredentials

import (
	"context"
	"errors"
	"net/http"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
)

const kind = "oauth2_client_credentials"

// Feature returns the feature.
func Feature(live *credential.Live) policy.Feature {
	return policy.Feature{Name: "credential", Kind: kind, New: func() policy.Block { return &Block{live: live} }}
}

// Block is a credential "oauth2_client_credentials" block.
type Block struct {
	credential.Server
	credential.Signing

	live *credential.Live
}

// Default asks as RFC 6749 says.
func (b *Block) Default() { b.Defaults() }

// Check wants to know who asks.
func (b *Block) Check() error {
	errs := b.Wrong()
	if b.ClientID.IsZero() {
		errs = append(errs, block.At("client_id", "the client's id is needed"))
	}
	return errors.Join(append(errs, b.Fits(&b.Server)...)...)
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	source := b.Source(b.live, s, kind, func(ctx context.Context, account, _ string) (*oauth.Token, error) {
		server, err := b.OAuth(account)
		if err != nil {
			return nil, err
		}
		return b.Clients(&b.Signing, func(c *oauth.Client) (*oauth.Token, error) {
			return server.ClientCredentials(ctx, b.Do, c, b.Scopes)
		})
	}, b.TokenURL)
	return b.live.Granted(credential.Granted{
		Name: kind, Summary: "token of the application's own in " + b.Header + ", from " + b.TokenURL.Source(), Server: &b.Server, Source: source, PerAccount: b.PerAccount(),
		Stub: func(r *http.Request, account string) (string, bool) { return "", b.Asks(r, account) },
	}), nil
}
