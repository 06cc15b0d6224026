package keys

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// A Key is a public key that has a name.
type Key struct {
	ID     string // kid; "" in a set of the policy's own that gives none
	Public any    // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
	Text   []byte // SubjectPublicKeyInfo, by which the key is known in records
}

// A Set is public keys of one source.
type Set struct{ keys []Key }

const (
	maxKeys = 100
	minRSA  = 2048 // bits
)

// Parse reads a JSON Web Key Set, or a single key. Keys of unknown kinds, secret
// ones, short ones and those that are for encryption are passed over.
func Parse(text []byte) (*Set, error) {
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
		Kty  string            `json:"kty"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, errors.New("it is no JSON Web Key Set")
	}
	if raw.Kty != "" {
		raw.Keys = []json.RawMessage{text}
	}
	if len(raw.Keys) > maxKeys {
		return nil, fmt.Errorf("it holds more than %d keys", maxKeys)
	}
	s := &Set{}
	for _, one := range raw.Keys {
		if k, ok := parseKey(one); ok {
			s.keys = append(s.keys, k)
		}
	}
	if len(s.keys) == 0 {
		return nil, errors.New("it holds no public key for signatures")
	}
	return s, nil
}

func parseKey(text []byte) (Key, bool) {
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(text); err != nil || k.Use == "enc" {
		return Key{}, false
	}
	switch pub := k.Key.(type) {
	case *rsa.PublicKey:
		if pub.N.BitLen() < minRSA {
			return Key{}, false
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return Key{}, false
	}
	der, err := x509.MarshalPKIXPublicKey(k.Key)
	return Key{k.KeyID, k.Key, der}, err == nil
}

// Find returns the keys called id; all of them if id is "".
func (s *Set) Find(id string) (found []Key) {
	for _, k := range s.keys {
		if id == "" || k.ID == id {
			found = append(found, k)
		}
	}
	return found
}

// Key returns the keys called id of the set at address, which the policy names. A
// name that the set does not have makes it be fetched again, at most once a minute; while
// that fails nobody knows whether the source has it.
func (f *Fetcher) Key(ctx context.Context, address, id string) ([]Key, error) {
	u, err := plain(address)
	if err != nil {
		return nil, err
	}
	fetch := func(ctx context.Context) (*Set, time.Duration, error) {
		text, life, err := f.get(ctx, u)
		if errors.Is(err, ErrUnknown) { // the whole set is gone: that is no word on this key
			err = errors.New(err.Error())
		}
		if err != nil {
			return nil, 0, err
		}
		s, err := Parse(text)
		if err != nil {
			return nil, 0, fmt.Errorf("what is at %s cannot be used: %w", u.Redacted(), err)
		}
		return s, life, nil
	}
	v, err := f.sets.get(ctx, address, time.Time{}, fetch)
	if err != nil {
		return nil, err
	}
	found := v.v.Find(id)
	if len(found) == 0 && time.Since(v.at) >= again {
		newer := time.Now().Add(-again)
		if v, err = f.sets.get(ctx, address, newer, fetch); err != nil {
			return nil, err
		}
		if found = v.v.Find(id); len(found) == 0 && v.at.Before(newer) {
			return nil, fmt.Errorf("key %.80q is not in what %s said last, and it cannot be asked again", id, u.Redacted())
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("key %.80q: %w", id, ErrUnknown)
	}
	return found, nil
}
