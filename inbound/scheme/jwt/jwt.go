// Package jwt verifies webhooks that come with a JSON Web Token: in a header, and
// with or without a digest of the body in it.
//
// Read jwt.go for the general block and kinds.go for the providers.
package jwt

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
	"github.com/postern-proxy/postern/inbound/jws"
	"github.com/postern-proxy/postern/inbound/keys"
)

// Block is the body of a verify "jwt" block.
type Block struct {
	Header   string            `hcl:"header,optional"` // where the token stands
	Prefix   *string           `hcl:"prefix,optional"` // before it; nil is "Bearer " in Authorization and nothing elsewhere
	Alg      jws.Algorithm     `hcl:"alg"`             // the only one that is taken
	Issuer   string            `hcl:"issuer,optional"`
	Audience []string          `hcl:"audience,optional"` // any of them
	Claims   map[string]string `hcl:"claims,optional"`   // what else the token has to say
	MaxAge   block.Duration    `hcl:"max_age,optional"`  // since it was issued

	JWKSURL string         `hcl:"jwks_url,optional"`               // where the keys are published
	JWKS    []block.Secret `hcl:"jwks,optional" literal:"allowed"` // or the keys themselves
	Secrets []block.Secret `hcl:"secrets,optional"`                // or, for HS256 and its like, what both know

	BodyHash      string          `hcl:"body_hash,optional"` // the claim with a digest of the body
	BodyAlgorithm claim.Algorithm `hcl:"body_algorithm,optional"`
	BodyEncoding  claim.Encoding  `hcl:"body_encoding,optional"`
}

// Default sets what most providers do.
func (b *Block) Default() {
	b.Header = "Authorization"
	b.BodyAlgorithm, b.BodyEncoding = claim.SHA256(), claim.Hex
}

// Check implements [block.Checker].
func (b *Block) Check() error {
	var errs []error
	refuse := func(attr, format string, args ...any) { errs = append(errs, block.At(attr, format, args...)) }
	sources := 0
	for _, there := range []bool{b.JWKSURL != "", len(b.JWKS) > 0, len(b.Secrets) > 0} {
		if there {
			sources++
		}
	}
	switch {
	case sources != 1:
		errs = append(errs, errors.New("the keys come from one of jwks_url, jwks and secrets"))
	case b.Alg.Symmetric() != (len(b.Secrets) > 0):
		refuse("alg", "secrets are for HS256, HS384 and HS512, and public keys for all others")
	}
	if b.Header == "" {
		refuse("header", "header must name the header of the token")
	}
	if b.MaxAge.Duration < 0 {
		refuse("max_age", "max_age must be more than nothing")
	}
	if b.BodyHash == "" && !b.Alg.Symmetric() && (b.Issuer == "" || len(b.Audience) == 0) {
		errs = append(errs, errors.New("issuer and audience are required: without them any token of these keys would do, whoever it is meant for"))
	}
	if b.JWKSURL != "" {
		if err := keys.Plain(b.JWKSURL); err != nil {
			refuse("jwks_url", "jwks_url must be a plain https URL of a host of the internet, on port 443: %v", err)
		}
	}
	return errors.Join(errs...)
}

// Scheme returns the scheme jwt over f.
func Scheme(f *keys.Fetcher) inbound.Scheme {
	return func(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
		b := &Block{}
		if diags := block.Decode(body, ctx, b); diags.HasErrors() {
			return nil, diags
		}
		from, ready := b.source(f)
		e := jws.Expect{Audience: b.Audience, Claims: b.Claims, MaxAge: b.MaxAge.Duration, Dated: true}
		if b.Issuer != "" {
			e.Issuers = []string{b.Issuer}
		}
		if b.BodyHash != "" {
			e.Body = &jws.BodyHash{Claim: b.BodyHash, Algorithm: b.BodyAlgorithm, Encoding: b.BodyEncoding}
		}
		prefix := ""
		switch {
		case b.Prefix != nil:
			prefix = *b.Prefix
		case http.CanonicalHeaderKey(b.Header) == "Authorization":
			prefix = "Bearer "
		}
		return token{header: b.Header, prefix: prefix, alg: b.Alg, from: from, ready: ready, expect: e}.verification(), nil
	}
}

func (b *Block) source(f *keys.Fetcher) (jws.Source, func() error) {
	switch {
	case b.JWKSURL != "":
		return jws.Fetched(f, b.JWKSURL), nil
	case len(b.JWKS) > 0:
		return jws.Held(b.JWKS)
	}
	return jws.Shared(b.Secrets)
}

// token is a token in a header, and what it has to be.
type token struct {
	header, prefix string
	alg            jws.Algorithm
	from           jws.Source
	ready          func() error
	expect         jws.Expect
}

func (t token) verification() *inbound.Verification {
	return &inbound.Verification{Verify: t.verify, Ready: t.ready, Headers: []string{t.header}, BodyOnly: t.expect.Body != nil}
}

func (t token) verify(ctx context.Context, r *inbound.Request) inbound.Verdict {
	text, v := claim.One(r.Header, t.header)
	if v.Result != inbound.Accepted {
		return v
	}
	prefix := strings.ToLower(t.prefix)
	if len(text) < len(prefix) || strings.ToLower(text[:len(prefix)]) != prefix {
		return claim.Bad("the header %s does not begin with %q", t.header, t.prefix)
	}
	text = text[len(prefix):]
	payload, v := jws.Open(ctx, text, t.alg, t.from)
	if v.Result != inbound.Accepted {
		return v
	}
	return t.expect.Check(v, payload, r)
}
