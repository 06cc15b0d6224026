// Package rsa verifies webhooks that are signed with RSA (RFC 8017) by a key that
// the policy holds.
package rsa

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
)

// Block is the body of a verify "rsa" block.
type Block struct {
	claim.Grammar
	Algorithm claim.Algorithm `hcl:"algorithm,optional"`
	Padding   Padding         `hcl:"padding,optional"`
}

// Padding is how a digest is laid out before it is signed.
type Padding string

// The paddings of RFC 8017.
const (
	PKCS1v15 Padding = "pkcs1v15"
	PSS      Padding = "pss"
)

// UnmarshalText accepts pkcs1v15 and pss.
func (p *Padding) UnmarshalText(text []byte) error {
	switch v := Padding(text); v {
	case PKCS1v15, PSS:
		*p = v
		return nil
	}
	return fmt.Errorf("unknown padding %q: use pkcs1v15 or pss", text)
}

// Default sets what most providers do.
func (b *Block) Default() {
	b.Grammar.Default()
	b.Algorithm, b.Padding = claim.SHA256(), PKCS1v15
}

// Scheme decodes a verify "rsa" block.
func Scheme(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
	b := &Block{}
	if diags := block.Decode(body, ctx, b); diags.HasErrors() {
		return nil, diags
	}
	return b.Verification(func(text string) (claim.Key, error) {
		pub, err := parse(text)
		return key{pub, b.Algorithm, b.Padding}, err
	}), nil
}

type key struct {
	pub     *rsa.PublicKey
	hash    claim.Algorithm
	padding Padding
}

func (k key) Verify(message, signature []byte) bool {
	sum := k.hash.Sum(message)
	if k.padding == PSS {
		return rsa.VerifyPSS(k.pub, k.hash.Hash, sum, signature, nil) == nil
	}
	return rsa.VerifyPKCS1v15(k.pub, k.hash.Hash, sum, signature) == nil
}

// minBits is the size under which a key is refused.
const minBits = 2048

// parse reads SubjectPublicKeyInfo, PKCS #1 or a certificate, in PEM; the first
// also in Base64 alone.
func parse(text string) (*rsa.PublicKey, error) {
	kind, der := "PUBLIC KEY", []byte(nil)
	if p, _ := pem.Decode([]byte(text)); p != nil {
		kind, der = p.Type, p.Bytes
	} else if raw, err := base64.StdEncoding.DecodeString(text); err == nil {
		der = raw
	}
	var pub any
	var err error
	switch kind {
	case "RSA PUBLIC KEY":
		pub, err = x509.ParsePKCS1PublicKey(der)
	case "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(der); err == nil {
			pub = c.PublicKey
		}
	default:
		pub, err = x509.ParsePKIXPublicKey(der)
	}
	k, ok := pub.(*rsa.PublicKey)
	if err != nil || !ok {
		return nil, errors.New("it is no RSA public key in PEM")
	}
	if k.N.BitLen() < minBits {
		return nil, fmt.Errorf("it has %d bits, and at least %d are needed", k.N.BitLen(), minBits)
	}
	return k, nil
}
