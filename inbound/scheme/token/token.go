// Package token verifies webhooks that carry a shared secret as it is, in a
// header. It says who sent a request and nothing about what is in it.
package token

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"

	"github.com/hashicorp/hcl/v2"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
)

// Block is the body of a verify "token" block.
type Block struct {
	Header  string         `hcl:"header"`
	Secrets []block.Secret `hcl:"secrets"`
}

// Check implements [block.Checker].
func (b *Block) Check() error {
	if b.Header == "" {
		return block.At("header", "header must name the header of the token")
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
	return &inbound.Verification{
		Verify:  b.verify,
		Ready:   func() error { _, err := inbound.Reveal(b.Secrets, minToken); return err },
		Headers: []string{b.Header},
	}, nil
}

func (b *Block) verify(_ context.Context, r *inbound.Request) inbound.Verdict {
	values := r.Header.Values(b.Header)
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return inbound.Verdict{Result: inbound.Unsigned}
	}
	secrets, err := inbound.Reveal(b.Secrets, minToken)
	match := 0
	for _, s := range secrets {
		// Digests, because a comparison of different lengths would tell the length.
		want, got := sha256.Sum256([]byte(s)), sha256.Sum256([]byte(values[0]))
		match |= subtle.ConstantTimeCompare(want[:], got[:])
	}
	switch {
	case match == 1 && len(values) == 1:
		return inbound.Verdict{Result: inbound.Accepted}
	case err != nil && len(values) == 1:
		return inbound.Verdict{Result: inbound.Unavailable, Err: err}
	}
	return inbound.Verdict{Result: inbound.BadSignature}
}
