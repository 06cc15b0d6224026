package hmac

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
)

// kind is one provider's scheme: what differs from [Grammar.Default].
type kind struct {
	grammar Grammar
	message string
}

// kinds are the providers. A policy gives their secrets and, where the scheme
// has a timestamp, may give its tolerance.
var kinds = map[string]kind{
	// docs.stripe.com/webhooks#verify-manually, 2026-11. The secret is used as
	// it is written, whsec_ included; v0 is a test scheme and never accepted.
	"stripe": {Grammar{Header: "Stripe-Signature", Separator: ",", Field: "v1", TimestampField: "t"}, "${timestamp}.${raw_body}"},

	// docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries,
	// 2026-11. No header but the signature is covered, and there is no timestamp.
	"github": {Grammar{Header: "X-Hub-Signature-256", Prefix: "sha256="}, "${raw_body}"},

	// docs.slack.dev/authentication/verifying-requests-from-slack, 2026-11.
	"slack": {Grammar{
		Header: "X-Slack-Signature", Prefix: "v0=", Timestamp: "X-Slack-Request-Timestamp",
		challenge: &challenge{path: "type", value: "url_verification", echo: "challenge"},
	}, "v0:${timestamp}:${raw_body}"},

	// github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md,
	// 2026-11. v1a, which is asymmetric, is not built.
	"standard": {Grammar{
		Header: "Webhook-Signature", Separator: " ", Assign: ",", Field: "v1", Encoding: Base64, Timestamp: "Webhook-Timestamp",
		SecretEncoding: Base64, SecretPrefix: "whsec_", ID: "Webhook-Id",
	}, `${header["webhook-id"]}.${timestamp}.${raw_body}`},
}

// Schemes returns the scheme hmac and those of the providers that it covers.
func Schemes() inbound.Schemes {
	out := inbound.Schemes{"hmac": declared}
	for name, k := range kinds {
		out[name] = k.scheme(name)
	}
	return out
}

// declared is verify "hmac": everything is in the block.
func declared(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
	g := &Grammar{}
	if diags := block.Decode(body, ctx, g); diags.HasErrors() {
		return nil, diags
	}
	return g.verification(), nil
}

// secretsOnly is the block of a scheme without a timestamp.
type secretsOnly struct {
	Secrets []block.Secret `hcl:"secrets"`
}

// timed is the block of a scheme with one.
type timed struct {
	Secrets   []block.Secret `hcl:"secrets"`
	Tolerance block.Duration `hcl:"tolerance,optional"`
}

// Check implements [block.Checker].
func (t *timed) Check() error {
	if t.Tolerance.Duration < 0 {
		return block.At("tolerance", "tolerance must be more than nothing")
	}
	return nil
}

// scheme returns the scheme of a provider.
func (k kind) scheme(name string) inbound.Scheme {
	return func(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
		g, err := k.complete()
		if err != nil {
			return nil, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Invalid scheme " + name, Detail: fmt.Sprint(err)}}
		}
		if g.Timestamp == "" && g.TimestampField == "" {
			var b secretsOnly
			diags := block.Decode(body, ctx, &b)
			g.Secrets = b.Secrets
			return g.verification(), diags
		}
		b := timed{}
		diags := block.Decode(body, ctx, &b)
		g.Secrets = b.Secrets
		if b.Tolerance.Duration > 0 {
			g.Tolerance = b.Tolerance
		}
		return g.verification(), diags
	}
}

// complete lays k over the defaults.
func (k kind) complete() (*Grammar, error) {
	g := k.grammar
	var d Grammar
	d.Default()
	g.Algorithm, g.Unit, g.Tolerance = d.Algorithm, d.Unit, d.Tolerance
	if g.Assign == "" {
		g.Assign = d.Assign
	}
	if g.Encoding == "" {
		g.Encoding = d.Encoding
	}
	if g.SecretEncoding == "" {
		g.SecretEncoding = d.SecretEncoding
	}
	var err error
	if g.Message, err = block.ParseTemplate(k.message, "webhook"); err != nil {
		return nil, err
	}
	return &g, g.Check()
}
