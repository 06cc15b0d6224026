package hmac

import (
	"encoding/hex"
	"fmt"

	"github.com/postern-proxy/postern/inbound/claim"
)

// Place is where a key goes.
type Place string

// The places: the key of an HMAC, or the message of a plain hash, as ${secret}.
const (
	InKey     Place = "key"
	InMessage Place = "message"
)

// UnmarshalText accepts key and message.
func (p *Place) UnmarshalText(text []byte) error {
	switch v := Place(text); v {
	case InKey, InMessage:
		*p = v
		return nil
	}
	return fmt.Errorf("unknown place %q: use key or message", text)
}

// Encoding is how bytes are written as text.
type Encoding string

// The encodings. Hex is read in both cases; base64 is padded, base64url may be.
const (
	Hex       Encoding = "hex"
	Base64    Encoding = "base64"
	Base64URL Encoding = "base64url"
	Base64Hex Encoding = "base64_hex" // the Base64 of hexadecimal digits
	UTF8      Encoding = "utf8"       // of a secret only: its own bytes
)

// UnmarshalText accepts the names of encodings.
func (e *Encoding) UnmarshalText(text []byte) error {
	switch v := Encoding(text); v {
	case Hex, Base64, Base64URL, Base64Hex, UTF8:
		*e = v
		return nil
	}
	return fmt.Errorf("unknown encoding %q: use hex, base64, base64url, base64_hex or, for a secret, utf8", text)
}

func (e Encoding) decode(s string) ([]byte, error) {
	switch e {
	case Hex, Base64, Base64URL:
		return claim.Encoding(e).Decode(s)
	case Base64Hex:
		digits, err := Base64.decode(s)
		if err != nil {
			return nil, err
		}
		return hex.DecodeString(string(digits))
	case UTF8:
		return []byte(s), nil
	}
	return nil, fmt.Errorf("unknown encoding %q", string(e))
}
