// Package circle verifies notifications of Circle: an ECDSA signature over the body,
// by a key that Circle's API gives out by its name.
package circle

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
	"github.com/postern-proxy/postern/inbound/keys"
)

// Block is the body of a verify "circle" block.
type Block struct {
	Provider string `hcl:"provider,optional"` // whose policy and credential ask for keys
	Path     string `hcl:"path,optional"`     // where a product gives out its keys, by their names
}

// Default is what most products do.
func (b *Block) Default() { b.Provider, b.Path = "circle", "/v2/notifications/publicKey" }

var path = regexp.MustCompile(`^(/[0-9A-Za-z_-]+)+$`)

// Check implements [block.Checker].
func (b *Block) Check() error {
	if !path.MatchString(b.Path) {
		return block.At("path", "path must be that of the keys, without a name, such as %q", "/v2/cpn/notifications/publicKey")
	}
	return nil
}

// Where the signature stands, in Base64, and the name of its key, a UUID
// (developers.circle.com/api-reference/verify-webhook-signatures, looked up 2026-11-29).
const (
	header = "X-Circle-Signature"
	keyID  = "X-Circle-Key-Id"
)

// Scheme returns the scheme circle: keys are kept by f and asked for by way of ask.
func Scheme(f *keys.Fetcher, ask keys.Egress) inbound.Scheme {
	return func(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
		b := &Block{}
		if diags := block.Decode(body, ctx, b); diags.HasErrors() {
			return nil, diags
		}
		limit := keys.Strangers()
		get := func(ctx context.Context, name string) (keys.Key, error) {
			return f.Asked(ctx, b.Provider+b.Path, name, limit, func(ctx context.Context) ([]byte, error) { return get(ctx, ask, b, name) })
		}
		return &inbound.Verification{
			Headers: []string{header, keyID}, BodyOnly: true,
			Verify: func(ctx context.Context, r *inbound.Request) inbound.Verdict { return verify(ctx, r, get) },
		}, nil
	}
}

// name is what a key is called. It goes into a path.
var name = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

func verify(ctx context.Context, r *inbound.Request, get func(context.Context, string) (keys.Key, error)) inbound.Verdict {
	coded, v := claim.One(r.Header, header)
	if v.Result != inbound.Accepted {
		return v
	}
	id, v := claim.One(r.Header, keyID)
	switch {
	case v.Result != inbound.Accepted:
		return v
	case !name.MatchString(id):
		return claim.Bad("%s is no UUID", keyID)
	}
	signature, err := claim.Base64.Decode(coded)
	if err != nil {
		return claim.Bad("%s: %v", header, err)
	}
	k, err := get(ctx, id)
	switch {
	case errors.Is(err, keys.ErrUnknown):
		return claim.Bad("%v", err)
	case err != nil:
		return claim.Unsure(fmt.Errorf("get the key of a signature: %w", err))
	}
	sum := sha256.Sum256(r.Body)
	if pub, ok := k.Public.(*ecdsa.PublicKey); !ok || !ecdsa.VerifyASN1(pub, sum[:], signature) {
		return claim.Bad("the signature is not that of key %s over the body", id)
	}
	return inbound.Verdict{Result: inbound.Accepted, Proof: inbound.Proof{Key: inbound.Fingerprint(k.Text)}}
}

// get asks for a key. The answer is {"data": {"id", "algorithm", "publicKey"}}, the key
// in Base64 of SubjectPublicKeyInfo (developers.circle.com/api-reference/w3s/common/get-notification-signature,
// looked up 2026-11-29).
func get(ctx context.Context, ask keys.Egress, b *Block, id string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.Path+"/"+id, nil)
	if err != nil {
		return nil, err
	}
	status, text, err := ask.Ask(b.Provider, req)
	switch {
	case err != nil:
		return nil, err
	case status == http.StatusNotFound:
		return nil, fmt.Errorf("%q does not know key %s: %w", b.Provider, id, keys.ErrUnknown)
	case status != http.StatusOK:
		return nil, fmt.Errorf("%q answers %d when it is asked for a key", b.Provider, status)
	}
	return read(text, id)
}

// read is the key of an answer as a JSON Web Key.
func read(text []byte, id string) ([]byte, error) {
	var answer struct {
		Data struct {
			Algorithm string `json:"algorithm"`
			Key       []byte `json:"publicKey"`
		} `json:"data"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("the answer about key %s: %w", id, err)
	}
	if answer.Data.Algorithm != "ECDSA_SHA_256" {
		return nil, fmt.Errorf("key %s is for %q: %w", id, answer.Data.Algorithm, keys.ErrUnknown)
	}
	pub, err := x509.ParsePKIXPublicKey(answer.Data.Key)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", id, err)
	}
	return json.Marshal(jose.JSONWebKey{KeyID: id, Key: pub})
}
