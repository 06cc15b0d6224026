// Package plaid verifies webhooks of Plaid: a token that is signed with ES256 and
// holds a digest of the body, by a key that Plaid's API gives out by its name.
package plaid

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
	"github.com/postern-proxy/postern/inbound/jws"
	"github.com/postern-proxy/postern/inbound/keys"
)

// Block is the body of a verify "plaid" block.
type Block struct {
	Provider string         `hcl:"provider,optional"`               // whose policy and credential ask for keys
	JWKS     []block.Secret `hcl:"jwks,optional" literal:"allowed"` // the keys, where they are not asked for
}

// Default sets the provider.
func (b *Block) Default() { b.Provider = "plaid" }

// header is where the token stands, and maxAge how old it may be
// (plaid.com/docs/api/webhooks/webhook-verification, facts of 2026-11).
const (
	header = "Plaid-Verification"
	maxAge = 5 * time.Minute
)

// Scheme returns the scheme plaid: keys are kept by f and asked for by way of ask.
func Scheme(f *keys.Fetcher, ask keys.Egress) inbound.Scheme {
	return func(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
		b := &Block{}
		if diags := block.Decode(body, ctx, b); diags.HasErrors() {
			return nil, diags
		}
		v := &inbound.Verification{Headers: []string{header}, BodyOnly: true}
		from := asked(f, ask, b.Provider)
		if len(b.JWKS) > 0 {
			from, v.Ready = jws.Held(b.JWKS)
		}
		v.Verify = func(ctx context.Context, r *inbound.Request) inbound.Verdict { return verify(ctx, r, from) }
		return v, nil
	}
}

var expect = jws.Expect{MaxAge: maxAge, Body: &jws.BodyHash{Claim: "request_body_sha256", Algorithm: claim.SHA256(), Encoding: claim.Hex}}

func verify(ctx context.Context, r *inbound.Request, from jws.Source) inbound.Verdict {
	text, v := claim.One(r.Header, header)
	if v.Result != inbound.Accepted {
		return v
	}
	payload, v := jws.Open(ctx, text, "ES256", from)
	if v.Result != inbound.Accepted {
		return v
	}
	return expect.Check(v, payload, r)
}

// name is what a key may be called. It goes into a request body only, as JSON.
var name = regexp.MustCompile(`^[0-9A-Za-z._-]{1,80}$`)

func asked(f *keys.Fetcher, ask keys.Egress, provider string) jws.Source {
	limit := keys.Strangers()
	return func(ctx context.Context, kid string) ([]keys.Key, error) {
		if !name.MatchString(kid) {
			return nil, fmt.Errorf("%.80q is no name of one: %w", kid, keys.ErrUnknown)
		}
		k, err := f.Asked(ctx, provider, kid, limit, func(ctx context.Context) ([]byte, error) { return get(ctx, ask, provider, kid) })
		if err != nil {
			return nil, err
		}
		return []keys.Key{k}, nil
	}
}

// unknown is the error_code of Plaid's answer 400 about a key that it does not have
// (plaid.com/docs/errors/invalid-input; not verified).
const unknown = "INVALID_WEBHOOK_VERIFICATION_KEY_ID"

// get asks POST /webhook_verification_key/get, whose answer is {"key": JWK}.
func get(ctx context.Context, ask keys.Egress, provider, kid string) ([]byte, error) {
	body, err := json.Marshal(map[string]string{"key_id": kid})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "/webhook_verification_key/get", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	status, text, err := ask.Ask(provider, req)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Key  json.RawMessage `json:"key"`
		Code string          `json:"error_code"`
	}
	bad := json.Unmarshal(text, &answer)
	switch {
	case bad == nil && answer.Code == unknown:
		return nil, fmt.Errorf("%q does not know key %s: %w", provider, kid, keys.ErrUnknown)
	case status != http.StatusOK:
		return nil, fmt.Errorf("%q answers %d when it is asked for a key", provider, status)
	case bad != nil || len(answer.Key) == 0:
		return nil, fmt.Errorf("what %q answers holds no key", provider)
	}
	var ended struct {
		ExpiredAt *float64 `json:"expired_at"`
	}
	if err := json.Unmarshal(answer.Key, &ended); err == nil && ended.ExpiredAt != nil {
		return nil, fmt.Errorf("key %s has ended: %w", kid, keys.ErrUnknown)
	}
	return answer.Key, nil
}
