// Package claim reads what a request claims, for schemes that are made of code:
// one header, a time, a signature in an encoding. It says what is wrong in words
// for the operator, and decides nothing.
//
// Read claim.go for headers and encodings, time.go for when a request was
// signed, and grammar.go for what signatures by a key pair have in common.
package claim

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/postern-proxy/postern/inbound"
)

// MaxHeader is how long a header that is claimed may be: tokens with a chain of
// certificates are the longest.
const MaxHeader = 16 << 10

// One reads a header that has to be there exactly once: one that is sent twice is
// ambiguous. The verdict is Accepted if there is something to verify.
func One(h http.Header, name string) (value string, v inbound.Verdict) {
	values := h.Values(name)
	switch {
	case len(values) == 0 || len(values) == 1 && strings.TrimSpace(values[0]) == "":
		return "", inbound.Verdict{Result: inbound.Unsigned, Why: "there is no header " + name}
	case len(values) > 1:
		return "", Bad("the header %s was sent %d times", name, len(values))
	case len(values[0]) > MaxHeader:
		return "", Bad("the header %s has %d bytes", name, len(values[0]))
	}
	return values[0], inbound.Verdict{Result: inbound.Accepted}
}

// Bad is the verdict on what is wrongly signed.
func Bad(format string, args ...any) inbound.Verdict {
	return inbound.Verdict{Result: inbound.BadSignature, Why: fmt.Sprintf(format, args...)}
}

// Unsure is the verdict on what cannot be told now: the sender may try again.
func Unsure(err error) inbound.Verdict {
	return inbound.Verdict{Result: inbound.Unavailable, Err: err, Why: err.Error()}
}

// Encoding is how bytes are written as text.
type Encoding string

// The encodings. Hex is read in both cases; base64 is padded, base64url may be.
const (
	Hex       Encoding = "hex"
	Base64    Encoding = "base64"
	Base64URL Encoding = "base64url"
)

// UnmarshalText accepts hex, base64 and base64url.
func (e *Encoding) UnmarshalText(text []byte) error {
	switch v := Encoding(text); v {
	case Hex, Base64, Base64URL:
		*e = v
		return nil
	}
	return fmt.Errorf("unknown encoding %q: use hex, base64 or base64url", text)
}

// Decode reads text; what is not written in exactly this way is an error.
func (e Encoding) Decode(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") { // the decoders of Base64 pass over them
		return nil, errors.New("it holds a line break")
	}
	switch {
	case e == Hex:
		return hex.DecodeString(text)
	case e == Base64URL && !strings.HasSuffix(text, "="):
		return base64.RawURLEncoding.Strict().DecodeString(text)
	case e == Base64URL:
		return base64.URLEncoding.Strict().DecodeString(text)
	}
	return base64.StdEncoding.Strict().DecodeString(text)
}

// Compact says what is wrong with how a token in the compact form of RFC 7515 is
// written. Its readers pass over white space, and over bits that are no part of a byte.
func Compact(token string) error {
	if strings.ContainsAny(token, " \t\r\n") {
		return errors.New("the token holds white space")
	}
	for part := range strings.SplitSeq(token, ".") {
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return fmt.Errorf("a part of the token is not written in Base64: %w", err)
		}
	}
	return nil
}
