// Package basic verifies webhooks that are posted with HTTP Basic
// authentication (RFC 7617). It says who sent a request and nothing about what
// is in it, so events are marked partial.
package basic

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"

	"github.com/hashicorp/hcl/v2"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
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
		Sign:    b.sign,
	}, nil
}

func (b *Block) sign(r *inbound.Request) error {
	secrets, err := inbound.Reveal(b.Password, minPassword)
	if len(secrets) == 0 {
		return err
	}
	(&http.Request{Header: r.Header}).SetBasicAuth(b.Username, secrets[0])
	return nil
}

func (b *Block) verify(_ context.Context, r *inbound.Request) inbound.Verdict {
	_, v := claim.One(r.Header, "Authorization")
	if v.Result != inbound.Accepted {
		return v
	}
	user, password, ok := (&http.Request{Header: r.Header}).BasicAuth() // split at the first colon
	if !ok {
		return claim.Bad("the header Authorization is not Basic")
	}
	secrets, err := inbound.Reveal(b.Password, minPassword)
	match := 0
	v.Proof.Partial = true
	for _, s := range secrets {
		if same(password, s) == 1 {
			match, v.Proof.Key = 1, inbound.Fingerprint([]byte(s))
		}
	}
	match &= same(user, b.Username)
	switch {
	case match == 1:
		return v
	case err != nil:
		return claim.Unsure(err)
	}
	return claim.Bad("the user is another, or the password is none of the %d secrets", len(secrets))
}

// same compares digests, because a comparison of different lengths would tell
// the length.
func same(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}
