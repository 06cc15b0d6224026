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
)

// Algorithm is a hash function by name.
type Algorithm struct {
	name string
	new  func() hash.Hash
}

func (a Algorithm) String() string { return a.name }

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
	case Base64Hex:
		digits, err := Base64.decode(s)
		if err != nil {
			return nil, err
		}
		return hex.DecodeString(string(digits))
	case UTF8:
		return []byte(s), nil
	}
	return nil, errEncoding
}
