// Package ecdsa verifies webhooks that are signed with ECDSA (FIPS 186-5).
package ecdsa

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
)

// Block is the body of a verify "ecdsa" block.
type Block struct {
	claim.Grammar
	Algorithm claim.Algorithm `hcl:"algorithm,optional"`
	Curve     string          `hcl:"curve,optional"` // the only one that keys may be on
	Form      Form            `hcl:"form,optional"`  // how a signature is written
}

// Form is how the two numbers of a signature are written.
type Form string

// The forms: DER as X9.62 has it, or both numbers in full length, as JWS has it.
const (
	DER Form = "der"
	Raw Form = "raw"
)

// UnmarshalText accepts der and raw.
func (f *Form) UnmarshalText(text []byte) error {
	switch v := Form(text); v {
	case DER, Raw:
		*f = v
		return nil
	}
	return fmt.Errorf("unknown form %q: use der or raw", text)
}

// Check implements [block.Checker].
func (b *Block) Check() error {
	switch b.Curve {
	case "", "P-256", "P-384", "P-521":
		return b.Grammar.Check()
	}
	return errors.Join(b.Grammar.Check(), block.At("curve", "unknown curve %q: use P-256, P-384 or P-521", b.Curve))
}

// Default sets what most providers do.
func (b *Block) Default() {
	b.Grammar.Default()
	b.Algorithm, b.Form = claim.SHA256(), DER
}

// Scheme decodes a verify "ecdsa" block. Keys are SubjectPublicKeyInfo in Base64 or
// PEM.
func Scheme(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
	b := &Block{}
	if diags := block.Decode(body, ctx, b); diags.HasErrors() {
		return nil, diags
	}
	return b.Verification(func(text string) (claim.Key, error) {
		pub, err := parse(text)
		if err == nil && b.Curve != "" && pub.Curve.Params().Name != b.Curve {
			err = fmt.Errorf("it is on %s and not on %s", pub.Curve.Params().Name, b.Curve)
		}
		return key{pub, b.Algorithm, b.Form}, err
	}), nil
}

type key struct {
	pub  *ecdsa.PublicKey
	hash claim.Algorithm
	form Form
}

func (k key) Verify(message, signature []byte) bool {
	sum := k.hash.Sum(message)
	if k.form == DER {
		return ecdsa.VerifyASN1(k.pub, sum, signature)
	}
	n := (k.pub.Curve.Params().BitSize + 7) / 8
	if len(signature) != 2*n {
		return false
	}
	return ecdsa.Verify(k.pub, sum, new(big.Int).SetBytes(signature[:n]), new(big.Int).SetBytes(signature[n:]))
}

func parse(text string) (*ecdsa.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if p, _ := pem.Decode([]byte(text)); p != nil {
		der, err = p.Bytes, nil
	}
	if err != nil || strings.TrimSpace(text) == "" {
		return nil, errors.New("it is no public key in Base64 or PEM")
	}
	pub, err := x509.ParsePKIXPublicKey(der)
	k, ok := pub.(*ecdsa.PublicKey)
	if err != nil || !ok {
		return nil, errors.New("it is no ECDSA public key (SubjectPublicKeyInfo)")
	}
	return k, nil
}
