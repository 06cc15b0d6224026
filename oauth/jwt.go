package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
)

// Claims are those of a JWT (RFC 7519 §4.1). What is empty or zero is left out.
type Claims struct {
	Issuer, Subject, Audience string
	Scope                     string // as Google reads it
	ID                        string // jti
	IssuedAt, Expiry          time.Time
	Extra                     map[string]any // others, such as target_audience; none of the above
}

// MarshalJSON writes times as whole seconds (RFC 7519 §2).
func (c Claims) MarshalJSON() ([]byte, error) {
	out := maps.Clone(c.Extra)
	if out == nil {
		out = map[string]any{}
	}
	for name, text := range map[string]string{"iss": c.Issuer, "sub": c.Subject, "aud": c.Audience, "scope": c.Scope, "jti": c.ID} {
		if text != "" {
			out[name] = text
		}
	}
	for name, t := range map[string]time.Time{"iat": c.IssuedAt, "exp": c.Expiry} {
		if !t.IsZero() {
			out[name] = t.Unix()
		}
	}
	return json.Marshal(out)
}

// SignJWT signs claims, which are anything that marshals to a JSON object, as a
// compact JWS (RFC 7515). alg is RS256, PS256, ES256, ES384 or EdDSA; "" is the
// first of them that fits the key. kid is left out if it is "". An RSA signature
// takes a millisecond or more: sign once for many requests where that is allowed.
func SignJWT(key crypto.Signer, alg, kid string, claims any) (string, error) {
	fits := algsOf(key)
	switch {
	case len(fits) == 0:
		return "", fmt.Errorf("a key of type %T signs no JWT here: use RSA, P-256, P-384 or Ed25519", key)
	case alg == "":
		alg = fits[0]
	case !slices.Contains(fits, alg):
		return "", fmt.Errorf("the key cannot sign %q: it is for %v", alg, fits)
	}
	var with any = key
	switch key.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
	default:
		with = cryptosigner.Opaque(key) // an HSM's
	}
	return sign(jose.SignatureAlgorithm(alg), with, kid, claims)
}

// signSecret makes the JWT of client_secret_jwt.
func signSecret(secret, kid string, claims any) (string, error) {
	if len(secret) < sha256.Size {
		return "", fmt.Errorf("client_secret_jwt needs a secret of at least %d bytes (RFC 7518 section 3.2)", sha256.Size)
	}
	return sign(jose.HS256, []byte(secret), kid, claims)
}

// algsOf are the algorithms that a key can sign with.
func algsOf(key crypto.Signer) []string {
	if key == nil {
		return nil
	}
	switch k := key.Public().(type) {
	case *rsa.PublicKey:
		return []string{"RS256", "PS256"}
	case *ecdsa.PublicKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return []string{"ES256"}
		case 384:
			return []string{"ES384"}
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}
	}
	return nil
}

func sign(alg jose.SignatureAlgorithm, key any, kid string, claims any) (string, error) {
	options := (&jose.SignerOptions{}).WithType("JWT")
	if kid != "" {
		options.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		return "", errors.New("the JWT cannot be signed: " + err.Error())
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("the claims of the JWT are no JSON: %w", err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign the JWT: %w", err)
	}
	return jws.CompactSerialize()
}
