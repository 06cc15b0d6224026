// Package token verifies webhooks that carry a shared secret as it is: in a header,
// in a parameter of the URL, or in the body. It says who sent a request and nothing
// about what is in it, so events are marked partial.
package token

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"

	"github.com/hashicorp/hcl/v2"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
)

// Block is the body of a verify "token" block.
type Block struct {
	Header  string         `hcl:"header,optional"`
	Token   *block.Expr    `hcl:"token,optional" scope:"webhook"` // or where else it stands
	Secrets []block.Secret `hcl:"secrets"`
}

// Check implements [block.Checker].
func (b *Block) Check() error {
	if (b.Header == "") == (b.Token == nil) {
		return block.At("header", "header must name the header of the token, or token say where it stands: query.token, body.secret")
	}
	return nil
}

// minToken is the length in bytes under which a token is refused.
const minToken = 8

// Scheme decodes a verify "token" block.
func Scheme(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
	b := &Block{}
	if diags := block.Decode(body, ctx, b); diags.HasErrors() {
		return nil, diags
	}
	v := &inbound.Verification{
		Verify: b.verify,
		Ready:  func() error { _, err := inbound.Reveal(b.Secrets, minToken); return err },
	}
	if b.Header != "" {
		v.Headers, v.Sign = []string{b.Header}, b.sign
	}
	return v, nil
}

// presented is what a request shows.
func (b *Block) presented(r *inbound.Request) (string, inbound.Verdict) {
	if b.Header != "" {
		return claim.One(r.Header, b.Header)
	}
	text, ok := b.Token.String(&inbound.Names{Request: r})
	if !ok || text == "" {
		return "", inbound.Verdict{Result: inbound.Unsigned, Why: "there is no " + b.Token.Source()}
	}
	return text, inbound.Verdict{Result: inbound.Accepted}
}

func (b *Block) sign(r *inbound.Request) error {
	secrets, err := inbound.Reveal(b.Secrets, minToken)
	if len(secrets) == 0 {
		return err
	}
	r.Header.Set(b.Header, secrets[0])
	return nil
}

func (b *Block) verify(_ context.Context, r *inbound.Request) inbound.Verdict {
	text, v := b.presented(r)
	if v.Result != inbound.Accepted {
		return v
	}
	secrets, err := inbound.Reveal(b.Secrets, minToken)
	// Digests, because a comparison of different lengths would tell the length.
	got, match := sha256.Sum256([]byte(text)), 0
	v.Proof.Partial = true
	for _, s := range secrets {
		want := sha256.Sum256([]byte(s))
		if subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
			match, v.Proof.Key = 1, inbound.Fingerprint([]byte(s))
		}
	}
	switch {
	case match == 1:
		return v
	case err != nil:
		return claim.Unsure(err)
	}
	return claim.Bad("the token is none of the %d secrets", len(secrets))
}
