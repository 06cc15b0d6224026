package seal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// keyPrefix stands before every key, so that nothing else is taken for one, and
// a scanner of secrets knows it.
const keyPrefix = "postern-seal-1:"

const advice = "make one with `postern secrets keygen`"

// A Key seals. It never prints itself: under every verb and in every encoding
// it is "[seal key ID]".
type Key struct{ secret *secret }

// secret is two pointers away from a Key: where fmt may not call methods, in an
// unexported field, it follows one (%s does).
type secret struct{ bytes *[dataKeySize]byte }

// Generate makes a new key in the form that [Parse] reads: postern-seal-1: and
// 32 random bytes in base64url without padding (RFC 4648 §5).
func Generate() string {
	var b [dataKeySize]byte
	_, _ = rand.Read(b[:]) // never fails
	return keyPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// Parse reads a key that [Generate] made, and refuses everything else. The error
// says what to do and holds nothing of text.
func Parse(text string) (Key, error) {
	digits, ok := strings.CutPrefix(text, keyPrefix)
	if !ok {
		return Key{}, fmt.Errorf("it is no seal key, which begins with %q: %s", keyPrefix, advice)
	}
	// The decoder skips line breaks: the length tells.
	b, err := base64.RawURLEncoding.Strict().DecodeString(digits)
	if err != nil || len(b) != dataKeySize || len(digits) != base64.RawURLEncoding.EncodedLen(dataKeySize) {
		return Key{}, errors.New("it is no whole seal key, which has 43 letters, digits, - or _ behind " + keyPrefix + ": " + advice)
	}
	return Key{&secret{(*[dataKeySize]byte)(b)}}, nil
}

// ID tells keys apart: 8 hexadecimal digits that say nothing about the key and
// may be shown. It is the start of SHA-256 over a prefix and the key.
func (k Key) ID() string {
	if k.secret == nil {
		return "none"
	}
	return shown(k.id())
}

func (k Key) id() (id [idSize]byte) {
	sum := sha256.Sum256(append([]byte("postern seal key id\x00"), k.secret.bytes[:]...))
	copy(id[:], sum[:])
	return id
}

// String is "[seal key ID]".
func (k Key) String() string { return "[seal key " + k.ID() + "]" }

// Format prints the id under every verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// MarshalText prints the id.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// LogValue prints the id.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
