// Package ed25519 verifies webhooks that are signed with Ed25519 (RFC 8032).
package ed25519

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
)

// Scheme decodes a verify "ed25519" block. Keys are 32 bytes in hex or Base64, with
// whpk_ before them or not, or SubjectPublicKeyInfo in PEM.
func Scheme(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
	g := &struct{ claim.Grammar }{}
	if diags := block.Decode(body, ctx, g); diags.HasErrors() {
		return nil, diags
	}
	return g.Verification(parse), nil
}

type key ed25519.PublicKey

func (k key) Verify(message, signature []byte) bool {
	return len(signature) == ed25519.SignatureSize && ed25519.Verify(ed25519.PublicKey(k), message, signature)
}

var errKey = errors.New("it is no Ed25519 public key: 32 bytes in hex or Base64, or PEM")

func parse(text string) (claim.Key, error) {
	text = strings.TrimPrefix(strings.TrimSpace(text), "whpk_")
	if block, rest := pem.Decode([]byte(text)); block != nil {
		pub, err := x509.ParsePKIXPublicKey(block.Bytes)
		k, ok := pub.(ed25519.PublicKey)
		if err != nil || !ok || len(strings.TrimSpace(string(rest))) > 0 {
			return nil, errKey
		}
		return key(k), nil
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		raw, err = base64.StdEncoding.Strict().DecodeString(text)
	}
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, errKey
	}
	return key(raw), nil
}
