package httpsignature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"sync"

	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/policy"
)

// Alg is a signature algorithm of RFC 9421 §3.3.
type Alg string

// The algorithms.
const (
	HMAC    Alg = "hmac-sha256"
	Ed25519 Alg = "ed25519"
	P256    Alg = "ecdsa-p256-sha256"
	P384    Alg = "ecdsa-p384-sha384"
	PSS     Alg = "rsa-pss-sha512"
	PKCS1   Alg = "rsa-v1_5-sha256"
)

// UnmarshalText accepts the algorithms of RFC 9421.
func (a *Alg) UnmarshalText(text []byte) error {
	switch v := Alg(text); v {
	case HMAC, Ed25519, P256, P384, PSS, PKCS1:
		*a = v
		return nil
	}
	return fmt.Errorf("unknown algorithm %q: use %s, %s, %s, %s, %s or %s", text, HMAC, Ed25519, P256, P384, PSS, PKCS1)
}

// Digest is an algorithm for Content-Digest (RFC 9530 §5).
type Digest string

// The digests; with None the header is the application's.
const (
	SHA256 Digest = "sha-256"
	SHA512 Digest = "sha-512"
	None   Digest = "none"
)

// UnmarshalText accepts sha-256, sha-512 and none.
func (d *Digest) UnmarshalText(text []byte) error {
	switch v := Digest(text); v {
	case SHA256, SHA512, None:
		*d = v
		return nil
	}
	return fmt.Errorf("unknown digest %q: use sha-256, sha-512 or none", text)
}

func (d Digest) of(body []byte) []byte {
	if d == SHA512 {
		sum := sha512.Sum512(body)
		return sum[:]
	}
	sum := sha256.Sum256(body)
	return sum[:]
}

// signer makes the signature of a base.
type signer func(base []byte) ([]byte, error)

// signer is the one of a key. Parsing one takes longer than most signatures: it is
// done once.
func (b *Block) signer(secret string) (signer, error) {
	if s, ok := b.signers.Get(secret); ok {
		return s, nil
	}
	s, err := b.read(secret)
	if err != nil {
		return nil, &policy.Denial{
			Code: policy.CredentialUnavailable, Stage: "credential", Detail: "the key of credential \"http_signature\" cannot be used: " + err.Error(),
			Hint: "Put the private key there as PEM, or for hmac-sha256 the shared secret, and write alg to go with it.",
		}
	}
	b.signers.Add(secret, s)
	return s, nil
}

// read makes a signer of a key. In a test of a policy any text stands in for one.
func (b *Block) read(secret string) (signer, error) {
	if b.Alg == HMAC {
		key, err := b.KeyEncoding.Key(secret)
		if err != nil {
			if !b.Key[0].StandsIn() {
				return nil, err
			}
			key = []byte(secret)
		}
		macs := sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}
		return func(base []byte) ([]byte, error) {
			mac := macs.Get().(hash.Hash)
			defer macs.Put(mac)
			mac.Reset()
			mac.Write(base)
			return mac.Sum(nil), nil
		}, nil
	}
	key, err := oauth.ParsePrivateKey([]byte(secret))
	if err != nil {
		if !b.Key[0].StandsIn() {
			return nil, err
		}
		if key, err = b.standIn(secret); err != nil {
			return nil, err
		}
	}
	return b.Alg.with(key)
}

// standIn is a key for tests of policies. That of Ed25519 is always the same.
func (b *Block) standIn(secret string) (crypto.Signer, error) {
	switch b.Alg {
	case Ed25519:
		seed := sha256.Sum256([]byte(secret))
		return ed25519.NewKeyFromSeed(seed[:]), nil
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	}
	return b.live.Signer(b.Key[0])
}

// with signs with a private key.
func (a Alg) with(key crypto.Signer) (signer, error) {
	switch k := key.(type) {
	case ed25519.PrivateKey:
		if a == Ed25519 {
			return func(base []byte) ([]byte, error) { return ed25519.Sign(k, base), nil }, nil
		}
		return nil, errors.New("it is an Ed25519 key, and alg is " + string(a))
	case *ecdsa.PrivateKey:
		switch {
		case a == P256 && k.Curve == elliptic.P256():
			return pair(k, sha256.New), nil
		case a == P384 && k.Curve == elliptic.P384():
			return pair(k, sha512.New384), nil
		}
		return nil, fmt.Errorf("it is a key of the curve %s, and alg is %s", k.Curve.Params().Name, a)
	case *rsa.PrivateKey:
		switch a {
		case PSS: // RFC 9421 §3.3.1: the salt is as long as the hash
			return func(base []byte) ([]byte, error) {
				sum := sha512.Sum512(base)
				return rsa.SignPSS(rand.Reader, k, crypto.SHA512, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
			}, nil
		case PKCS1:
			return func(base []byte) ([]byte, error) {
				sum := sha256.Sum256(base)
				return rsa.SignPKCS1v15(nil, k, crypto.SHA256, sum[:])
			}, nil
		}
		return nil, errors.New("it is an RSA key, and alg is " + string(a))
	}
	return nil, fmt.Errorf("a key of type %T does not sign here", key)
}

// pair signs with ECDSA. The two numbers stand side by side, each as long as the
// curve is wide (RFC 9421 §3.3.4).
func pair(k *ecdsa.PrivateKey, h func() hash.Hash) signer {
	width := (k.Curve.Params().BitSize + 7) / 8
	return func(base []byte) ([]byte, error) {
		d := h()
		d.Write(base)
		r, s, err := ecdsa.Sign(rand.Reader, k, d.Sum(nil))
		if err != nil {
			return nil, err
		}
		out := make([]byte, 2*width)
		r.FillBytes(out[:width])
		s.FillBytes(out[width:])
		return out, nil
	}
}
