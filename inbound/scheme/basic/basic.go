// Package basic verifies webhooks that are posted with HTTP Basic
// authentication (RFC 7617). It says who sent a request and nothing about what
// is in it.
package basic

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"

	"github.com/hashicorp/hcl/v2"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
)

// Block is the body of a verify "basic" block.
type Block struct {
	Username string         `hcl:"username"`
	Password []block.Secret `hcl:"password"` // several = rotation
}

// minPassword is the length in bytes under which a password is refused.
const minPassword = 8

// Scheme decodes a verify "basic" block.
func Scheme(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
	b := &Block{}
	if diags := block.Decode(body, ctx, b); diags.HasErrors() {
		return nil, diags
	}
	return &inbound.Verification{
		Verify:  b.verify,
		Ready:   func() error { _, err := inbound.Reveal(b.Password, minPassword); return err },
		Headers: []string{"Authorization"},
	}, nil
}

func (b *Block) verify(_ context.Context, r *inbound.Request) inbound.Verdict {
	values := r.Header.Values("Authorization")
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return inbound.Verdict{Result: inbound.Unsigned}
	}
	user, password, ok := (&http.Request{Header: r.Header}).BasicAuth()
	secrets, err := inbound.Reveal(b.Password, minPassword)
	match := 0
	for _, s := range secrets {
		match |= same(password, s)
	}
	match &= same(user, b.Username)
	switch {
	case ok && match == 1 && len(values) == 1:
		return inbound.Verdict{Result: inbound.Accepted}
	case err != nil && ok && len(values) == 1:
		return inbound.Verdict{Result: inbound.Unavailable, Err: err}
	}
	return inbound.Verdict{Result: inbound.BadSignature}
}

// same compares digests, because a comparison of different lengths would tell
// the length.
func same(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}
