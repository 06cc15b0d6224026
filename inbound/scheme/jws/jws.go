// Package jws verifies webhooks with a detached JSON Web Signature (RFC 7515,
// appendix F) in a header: its payload is the body, or made of it.
package jws

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
	"github.com/postern-proxy/postern/inbound/jws"
	"github.com/postern-proxy/postern/inbound/keys"
)

// Block is the body of a verify "jws" block.
type Block struct {
	Header  string         `hcl:"header"` // where the signature stands
	Alg     jws.Algorithm  `hcl:"alg"`    // the only one that is taken
	JWKSURL string         `hcl:"jwks_url,optional"`
	JWKS    []block.Secret `hcl:"jwks,optional" literal:"allowed"`

	Timestamp string         `hcl:"timestamp,optional"` // the header of the signed timestamp: the payload is "TIMESTAMP.BODY"
	Unit      inbound.Unit   `hcl:"unit,optional"`
	Tolerance block.Duration `hcl:"tolerance,optional"`
	Encoded   bool           `hcl:"encoded,optional"` // the body is written in base64url in the payload
}

// Default sets the unit and the tolerance.
func (b *Block) Default() { b.Unit, b.Tolerance.Duration = inbound.Seconds, 5*time.Minute }

// Check implements [block.Checker].
func (b *Block) Check() error {
	var errs []error
	if b.Header == "" {
		errs = append(errs, block.At("header", "header must name the header of the signature"))
	}
	if (b.JWKSURL == "") == (len(b.JWKS) == 0) {
		errs = append(errs, errors.New("the keys come from either jwks_url or jwks"))
	}
	if b.JWKSURL != "" {
		if err := keys.Plain(b.JWKSURL); err != nil {
			errs = append(errs, block.At("jwks_url", "jwks_url must be a plain https URL of a host of the internet, on port 443: %v", err))
		}
	}
	if b.Alg.Symmetric() {
		errs = append(errs, block.At("alg", "a detached signature is made by a key pair"))
	}
	if b.Tolerance.Duration <= 0 {
		errs = append(errs, block.At("tolerance", "tolerance must be more than nothing"))
	}
	return errors.Join(errs...)
}

// Scheme returns the scheme jws over f.
func Scheme(f *keys.Fetcher) inbound.Scheme {
	return func(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
		b := &Block{}
		if diags := block.Decode(body, ctx, b); diags.HasErrors() {
			return nil, diags
		}
		v := &inbound.Verification{Headers: []string{b.Header}, BodyOnly: true}
		from := jws.Fetched(f, b.JWKSURL)
		if len(b.JWKS) > 0 {
			from, v.Ready = jws.Held(b.JWKS)
		}
		if b.Timestamp != "" {
			v.Headers = append(v.Headers, b.Timestamp)
		}
		v.Verify = func(ctx context.Context, r *inbound.Request) inbound.Verdict { return b.verify(ctx, r, from) }
		return v, nil
	}
}

func (b *Block) verify(ctx context.Context, r *inbound.Request, from jws.Source) inbound.Verdict {
	text, v := claim.One(r.Header, b.Header)
	if v.Result != inbound.Accepted {
		return v
	}
	if _, rest, ok := strings.Cut(text, "."); !ok || !strings.HasPrefix(rest, ".") {
		return claim.Bad("the header %s holds no detached signature: HEADER..SIGNATURE", b.Header)
	}
	stamp, at := "", time.Time{}
	if b.Timestamp != "" {
		var bad inbound.Verdict
		if stamp, bad = claim.One(r.Header, b.Timestamp); bad.Result != inbound.Accepted {
			return claim.Bad("%s", bad.Why)
		}
		var err error
		if at, err = claim.Time(b.Unit, stamp); err != nil {
			return claim.Bad("%v", err)
		}
	}
	if v = jws.Detached(ctx, text, b.payload(stamp, r.Body), b.Alg, from); v.Result != inbound.Accepted || stamp == "" {
		return v
	}
	v.Timestamp, v.Proof.Signed = stamp, at
	return claim.Fresh(v, at, r.Received, b.Tolerance.Duration)
}

func (b *Block) payload(stamp string, body []byte) []byte {
	if b.Encoded {
		body = base64.RawURLEncoding.AppendEncode(nil, body)
	}
	if stamp == "" {
		return body
	}
	return bytes.Join([][]byte{[]byte(stamp), body}, []byte("."))
}
