// Package hmac verifies webhooks that are signed with a shared secret. It is
// declarative: a provider's scheme is a [Grammar], one row of data.
//
// Read grammar.go for the data, kinds.go for the providers, header.go for how a
// signature header is read, and verify.go for the decision.
package hmac

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
)

// Grammar says how a provider signs, and is the body of a verify "hmac" block.
type Grammar struct {
	Secrets []block.Secret `hcl:"secrets"`

	Header    string    `hcl:"header"`             // where the signatures stand
	Separator string    `hcl:"separator,optional"` // between the elements of a list; "" for a single signature
	Assign    string    `hcl:"assign,optional"`    // between name and value of an element
	Field     string    `hcl:"field,optional"`     // the name of the elements that are signatures; others are passed over
	Prefix    string    `hcl:"prefix,optional"`    // before each signature
	Algorithm Algorithm `hcl:"algorithm,optional"`
	Encoding  Encoding  `hcl:"encoding,optional"` // of a signature

	Message *block.Template `hcl:"message,optional" scope:"webhook"` // what is signed

	Timestamp      string         `hcl:"timestamp,optional"`       // the header of the signed timestamp
	TimestampField string         `hcl:"timestamp_field,optional"` // or its name in the list of the signature header
	Unit           inbound.Unit   `hcl:"unit,optional"`
	Tolerance      block.Duration `hcl:"tolerance,optional"` // how far the timestamp may be from now, either way

	SecretEncoding Encoding `hcl:"secret_encoding,optional"` // how the secret writes the key
	SecretPrefix   string   `hcl:"secret_prefix,optional"`   // before the encoded key, if it is there

	ID string `hcl:"id,optional"` // a header with the event id, covered by the signature

	challenge *challenge
}

// challenge is a signed request that is no event: where the JSON body has value
// at path, the text at echo is the answer.
type challenge struct{ path, value, echo string }

// Algorithm is a hash function by name.
type Algorithm struct {
	name string
	new  func() hash.Hash
}

// UnmarshalText accepts sha1, sha256, sha384 and sha512.
func (a *Algorithm) UnmarshalText(text []byte) error {
	for _, known := range []Algorithm{{"sha1", sha1.New}, {"sha256", sha256.New}, {"sha384", sha512.New384}, {"sha512", sha512.New}} {
		if known.name == string(text) {
			*a = known
			return nil
		}
	}
	return fmt.Errorf("unknown algorithm %q: use sha1, sha256, sha384 or sha512", text)
}

// Encoding is how bytes are written as text.
type Encoding string

// The encodings. Hex is read in both cases; base64 is padded, base64url may be.
const (
	Hex       Encoding = "hex"
	Base64    Encoding = "base64"
	Base64URL Encoding = "base64url"
	UTF8      Encoding = "utf8" // of a secret only: its own bytes
)

// UnmarshalText accepts hex, base64, base64url and utf8.
func (e *Encoding) UnmarshalText(text []byte) error {
	switch v := Encoding(text); v {
	case Hex, Base64, Base64URL, UTF8:
		*e = v
		return nil
	}
	return fmt.Errorf("unknown encoding %q: use hex, base64, base64url or, for a secret, utf8", text)
}

var errEncoding = errors.New("unknown encoding")

func (e Encoding) decode(s string) ([]byte, error) {
	switch e {
	case Hex:
		return hex.DecodeString(s)
	case Base64:
		if strings.ContainsAny(s, "\r\n") { // the decoder passes over them
			return nil, errEncoding
		}
		return base64.StdEncoding.Strict().DecodeString(s)
	case Base64URL:
		if strings.ContainsAny(s, "\r\n") {
			return nil, errEncoding
		}
		if strings.HasSuffix(s, "=") {
			return base64.URLEncoding.Strict().DecodeString(s)
		}
		return base64.RawURLEncoding.Strict().DecodeString(s)
	case UTF8:
		return []byte(s), nil
	}
	return nil, errEncoding
}

// Default sets what most providers do.
func (g *Grammar) Default() {
	g.Assign, g.Algorithm, g.Encoding, g.SecretEncoding = "=", Algorithm{"sha256", sha256.New}, Hex, UTF8
	g.Unit, g.Tolerance.Duration = inbound.Seconds, 5*time.Minute
}

// Check implements [block.Checker].
func (g *Grammar) Check() error {
	var errs []error
	refuse := func(attr, format string, args ...any) { errs = append(errs, block.At(attr, format, args...)) }
	signed := g.Timestamp != "" || g.TimestampField != ""
	switch {
	case g.Header == "":
		refuse("header", "header must name the header of the signature")
	case g.Encoding == UTF8:
		refuse("encoding", "a signature is written in hex, base64 or base64url")
	case g.Field != "" && (g.Separator == "" || g.Assign == ""):
		refuse("field", "field needs a separator and an assign: it is one name in a list such as %q", "t=1,v1=abc")
	case g.TimestampField != "" && g.Field == "":
		refuse("timestamp_field", "timestamp_field needs field: both are names in one list")
	case g.Timestamp != "" && g.TimestampField != "":
		refuse("timestamp", "the timestamp stands either in a header or in a field")
	case g.Tolerance.Duration <= 0:
		refuse("tolerance", "tolerance must be more than nothing")
	}
	if g.Message == nil {
		if signed {
			refuse("message", `message is required with a timestamp, such as "${timestamp}.${raw_body}"`)
		}
		return errors.Join(errs...)
	}
	switch {
	case signed && !g.Message.Reads("timestamp"):
		refuse("message", "the message does not hold the timestamp, so anybody could change it")
	case !signed && g.Message.Reads("timestamp"):
		refuse("message", "the message holds a timestamp: say where it stands with timestamp or timestamp_field")
	case !g.Message.Reads("raw_body"):
		refuse("message", "the message does not hold raw_body, so the event itself would not be verified")
	case g.ID != "" && !g.Message.Reads("header"):
		refuse("id", "the message does not hold this header, so anybody could change it")
	}
	return errors.Join(errs...)
}
