// Package jws verifies JSON Web Signatures (RFC 7515) and the claims of JSON Web
// Tokens (RFC 7519), for the schemes that use them.
//
// The algorithm and the source of keys are fixed by whoever asks. Of a header no
// more is used than the name of a key: jku, x5u, jwk and x5c say nothing, and alg
// only whether it is the one that is expected. Parsing and mathematics are those of
// go-jose.
package jws

import (
	"context"
	"errors"
	"fmt"
	"strings"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
	"github.com/postern-proxy/postern/inbound/keys"
)

// Source finds the keys that are called kid.
type Source func(ctx context.Context, kid string) ([]keys.Key, error)

// Algorithm is a signature algorithm by its name in RFC 7518 or RFC 8037.
type Algorithm string

// UnmarshalText accepts what is asymmetric, and HS256, HS384 and HS512.
func (a *Algorithm) UnmarshalText(text []byte) error {
	switch jose.SignatureAlgorithm(text) {
	case jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA, jose.HS256, jose.HS384, jose.HS512:
		*a = Algorithm(text)
		return nil
	}
	return fmt.Errorf("unknown algorithm %q: use RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, HS256, HS384 or HS512", text)
}

// Symmetric reports whether the key is a shared secret.
func (a Algorithm) Symmetric() bool { return strings.HasPrefix(string(a), "HS") }

// Open verifies a compact token and returns what it holds.
func Open(ctx context.Context, token string, alg Algorithm, from Source) ([]byte, inbound.Verdict) {
	return open(ctx, token, nil, alg, from)
}

// Detached verifies a compact signature whose payload is elsewhere.
func Detached(ctx context.Context, signature string, payload []byte, alg Algorithm, from Source) inbound.Verdict {
	if payload == nil {
		payload = []byte{}
	}
	_, v := open(ctx, signature, payload, alg, from)
	return v
}

func open(ctx context.Context, text string, payload []byte, alg Algorithm, from Source) ([]byte, inbound.Verdict) {
	if err := claim.Compact(text); err != nil {
		return nil, claim.Bad("%v", err)
	}
	algs := []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)}
	var sig *jose.JSONWebSignature
	var err error
	if payload == nil {
		sig, err = jose.ParseSignedCompact(text, algs)
	} else {
		sig, err = jose.ParseDetached(text, payload, algs)
	}
	if err != nil || len(sig.Signatures) != 1 {
		return nil, claim.Bad("it is no token that is signed with %s: %v", alg, err)
	}
	kid := sig.Signatures[0].Header.KeyID
	found, err := from(ctx, kid)
	switch {
	case errors.Is(err, keys.ErrUnknown), errors.Is(err, keys.ErrPlace), errors.Is(err, keys.ErrChain):
		return nil, claim.Bad("no key: %v", err)
	case err != nil && len(found) == 0:
		return nil, claim.Unsure(fmt.Errorf("get the key of a token: %w", err))
	}
	for _, k := range found {
		if out, bad := sig.Verify(k.Public); bad == nil {
			return out, inbound.Verdict{Result: inbound.Accepted, Proof: inbound.Proof{Key: inbound.Fingerprint(k.Text)}}
		}
	}
	if err != nil {
		return nil, claim.Unsure(fmt.Errorf("get the key of a token: %w", err))
	}
	return nil, claim.Bad("the signature is not that of key %.80q", kid)
}
