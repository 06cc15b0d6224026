// Package hmac verifies webhooks that are signed with a shared secret. It is
// declarative: a provider's scheme is a [Grammar], data that the catalogue holds
// or a policy writes.
//
// Read grammar.go for the data, check.go for what is refused of it, coding.go for
// algorithms and encodings, header.go for how signatures are read, message.go for
// what is signed, and verify.go for the decision.
package hmac

import (
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
)

// Grammar says how a provider signs, and is the body of a verify "hmac" block.
type Grammar struct {
	Secrets []block.Secret `hcl:"secrets"`

	Header    string      `hcl:"header,optional"`                    // where the signatures stand
	Headers   []string    `hcl:"headers,optional"`                   // or several such; X-Signature-* are X-Signature-1 to -100
	Signature *block.Expr `hcl:"signature,optional" scope:"webhook"` // or what holds it, where that is no header

	Group     string          `hcl:"group,optional"`     // between lists that have each a timestamp; "" for one list
	Separator string          `hcl:"separator,optional"` // between the elements of a list; "" for a single signature
	Assign    string          `hcl:"assign,optional"`    // between name and value of an element
	Field     string          `hcl:"field,optional"`     // the name of the elements that are signatures; others are passed over
	Prefix    string          `hcl:"prefix,optional"`    // before each signature
	Algorithm claim.Algorithm `hcl:"algorithm,optional"`
	Encoding  Encoding        `hcl:"encoding,optional"` // of a signature

	Message *block.Template `hcl:"message,optional" scope:"verify"` // what is signed

	Unescaped string `hcl:"unescaped,optional"` // characters whose escapes may be written out in the URL before it is signed

	Timestamp      string          `hcl:"timestamp,optional"`            // the header of the signed timestamp
	TimestampField string          `hcl:"timestamp_field,optional"`      // or its name in the list of the signature header
	Time           *block.Expr     `hcl:"time,optional" scope:"webhook"` // or where in the signed body it stands
	Unit           inbound.Unit    `hcl:"unit,optional"`
	Tolerance      *block.Duration `hcl:"tolerance,optional"` // how far the timestamp may be from now, either way

	SecretEncoding Encoding `hcl:"secret_encoding,optional"` // how the secret writes the key
	SecretPrefix   string   `hcl:"secret_prefix,optional"`   // before the encoded key, if it is there
	SecretIn       Place    `hcl:"secret_in,optional"`       // where the key goes

	ID string `hcl:"id,optional"` // a header with the event id, covered by the signature

	macs sync.Pool // of *mac
}

// defaultTolerance is how far a timestamp may be from now where nothing is said.
const defaultTolerance = 5 * time.Minute

// Default sets what most providers do.
func (g *Grammar) Default() {
	g.Assign, g.Algorithm, g.Encoding, g.SecretEncoding = "=", claim.SHA256(), Hex, UTF8
	g.Unit, g.SecretIn = inbound.Seconds, InKey
}

// dated reports whether what is signed holds a time.
func (g *Grammar) dated() bool { return g.Timestamp != "" || g.TimestampField != "" || g.Time != nil }

func (g *Grammar) tolerance() time.Duration {
	if g.Tolerance == nil {
		return defaultTolerance
	}
	return g.Tolerance.Duration
}

// Scheme decodes a verify "hmac" block.
func Scheme(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
	g := &Grammar{}
	if diags := block.Decode(body, ctx, g); diags.HasErrors() {
		return nil, diags
	}
	return g.verification(), nil
}
