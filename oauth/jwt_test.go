package oauth

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
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

var makeRSA = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := makeRSA()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func edKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// verify checks a compact JWS with the standard library alone, and returns its
// claims.
func verify(t testing.TB, key any, alg, jwt string) (claims map[string]any) {
	t.Helper()
	header, payload, signature := split(t, jwt)
	if header["alg"] != alg || header["typ"] != "JWT" {
		t.Fatalf("header %v", header)
	}
	signed := []byte(jwt[:strings.LastIndexByte(jwt, '.')])
	d256, d384 := sha256.Sum256(signed), sha512.Sum384(signed)
	ok := false
	switch k := key.(type) {
	case *rsa.PublicKey:
		if alg == "PS256" {
			ok = rsa.VerifyPSS(k, crypto.SHA256, d256[:], signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		} else {
			ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, d256[:], signature) == nil
		}
	case *ecdsa.PublicKey:
		digest, n := d256[:], 32
		if alg == "ES384" {
			digest, n = d384[:], 48
		}
		ok = len(signature) == 2*n && ecdsa.Verify(k, digest, new(big.Int).SetBytes(signature[:n]), new(big.Int).SetBytes(signature[n:]))
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, signed, signature)
	case []byte:
		mac := hmac.New(sha256.New, k)
		mac.Write(signed)
		ok = hmac.Equal(mac.Sum(nil), signature)
	}
	if !ok {
		t.Fatalf("the signature of %s is wrong", alg)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func split(t testing.TB, jwt string) (header map[string]any, payload, signature []byte) {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no compact JWS", jwt)
	}
	var raw [3][]byte
	for i, p := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.DecodeString(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := json.Unmarshal(raw[0], &header); err != nil {
		t.Fatal(err)
	}
	return header, raw[1], raw[2]
}

// hsm is a signer of a type that go-jose does not know.
type hsm struct{ key crypto.Signer }

func (h hsm) Public() crypto.PublicKey { return h.key.Public() }

func (h hsm) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return h.key.Sign(r, digest, o)
}

func TestSignJWT(t *testing.T) {
	p256, p384, ed := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384()), edKey(t)
	for _, tt := range []struct {
		key       crypto.Signer
		alg, want string
	}{
		{rsaKey(t), "", "RS256"},
		{rsaKey(t), "RS256", "RS256"},
		{rsaKey(t), "PS256", "PS256"},
		{p256, "", "ES256"},
		{p256, "ES256", "ES256"},
		{p384, "", "ES384"},
		{ed, "", "EdDSA"},
		{hsm{rsaKey(t)}, "RS256", "RS256"},
		{hsm{p256}, "", "ES256"},
	} {
		jwt, err := SignJWT(tt.key, tt.alg, "k1", map[string]string{"a": "b"})
		if err != nil {
			t.Errorf("%T %s: %v", tt.key, tt.want, err)
			continue
		}
		if claims := verify(t, tt.key.Public(), tt.want, jwt); !reflect.DeepEqual(claims, map[string]any{"a": "b"}) {
			t.Errorf("claims %v", claims)
		}
		if header, _, _ := split(t, jwt); header["kid"] != "k1" {
			t.Errorf("header %v", header)
		}
	}
	jwt, err := SignJWT(p256, "", "", Claims{})
	if err != nil {
		t.Fatal(err)
	}
	if header, payload, _ := split(t, jwt); header["kid"] != nil || string(payload) != "{}" {
		t.Errorf("header %v, claims %s", header, payload)
	}
}

func TestSignJWTRefuses(t *testing.T) {
	for _, tt := range []struct {
		key    crypto.Signer
		alg    string
		claims any
		want   string
	}{
		{nil, "", Claims{}, "signs no JWT"},
		{ecKey(t, elliptic.P256()), "RS256", Claims{}, "cannot sign"},
		{ecKey(t, elliptic.P256()), "ES384", Claims{}, "cannot sign"},
		{ecKey(t, elliptic.P521()), "", Claims{}, "signs no JWT"},
		{rsaKey(t), "none", Claims{}, "cannot sign"},
		{rsaKey(t), "HS256", Claims{}, "cannot sign"}, // a public key must never become a shared one
		{edKey(t), "", map[string]any{"f": func() {}}, "no JSON"},
	} {
		if jwt, err := SignJWT(tt.key, tt.alg, "", tt.claims); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%T %q: %q, %v; want %q", tt.key, tt.alg, jwt, err, tt.want)
		}
	}
}

// TestClaims is the assertion of Google's documentation: scopes in scope, times
// in whole seconds.
func TestClaims(t *testing.T) {
	c := Claims{
		Issuer: "a@p.iam.gserviceaccount.com", Scope: "https://www.googleapis.com/auth/prediction", Audience: "https://oauth2.googleapis.com/token",
		IssuedAt: time.Unix(1328550785, 999), Expiry: time.Unix(1328554385, 0), Extra: map[string]any{"target_audience": "x", "iss": "not this one"},
	}
	got, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != `{"aud":"https://oauth2.googleapis.com/token","exp":1328554385,"iat":1328550785,"iss":"a@p.iam.gserviceaccount.com",`+
		`"scope":"https://www.googleapis.com/auth/prediction","target_audience":"x"}` {
		t.Errorf("%s", got)
	}
	if c.Extra["iss"] != "not this one" {
		t.Error("the caller's map was changed")
	}
}
