package credential

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// KeyEncoding is how a secret writes the bytes of a key.
type KeyEncoding string

// The encodings of keys. UTF8 is that of a secret which is its own key.
const (
	UTF8      KeyEncoding = "utf8"
	Hex       KeyEncoding = "hex"
	Base64    KeyEncoding = "base64"
	Base64URL KeyEncoding = "base64url" // with or without padding
)

// UnmarshalText accepts utf8, hex, base64 and base64url.
func (e *KeyEncoding) UnmarshalText(text []byte) error {
	switch v := KeyEncoding(text); v {
	case UTF8, Hex, Base64, Base64URL:
		*e = v
		return nil
	}
	return fmt.Errorf("unknown encoding of a key %q: use utf8, hex, base64 or base64url", text)
}

// Key reads the key that a secret writes. An empty one is an error: with it an
// HMAC would work, and protect nothing.
func (e KeyEncoding) Key(secret string) (key []byte, err error) {
	switch e {
	case Hex:
		key, err = hex.DecodeString(secret)
	case Base64:
		key, err = base64.StdEncoding.DecodeString(secret)
	case Base64URL:
		key, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(secret, "="))
	default:
		key = []byte(secret)
	}
	if err != nil || len(key) == 0 {
		return nil, errors.New("it does not hold a key in " + string(e))
	}
	return key, nil
}
