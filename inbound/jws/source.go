package jws

import (
	"context"
	"fmt"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
	"github.com/postern-proxy/postern/inbound/keys"
)

// minSecret is the length in bytes under which a shared secret is refused.
const minSecret = 8

// Fetched is a source of keys that are published at address.
func Fetched(f *keys.Fetcher, address string) Source {
	return func(ctx context.Context, kid string) ([]keys.Key, error) {
		if kid == "" {
			return nil, fmt.Errorf("the token names none: %w", keys.ErrUnknown)
		}
		return f.Key(ctx, address, kid)
	}
}

// Held is a source of keys that the policy holds: sets, or single keys, as RFC 7517
// has them. ready says whether they can be used.
func Held(secrets []block.Secret) (from Source, ready func() error) {
	ring := &claim.Ring[*keys.Set]{Secrets: secrets, Parse: func(text string) (*keys.Set, error) { return keys.Parse([]byte(text)) }}
	from = func(_ context.Context, kid string) (found []keys.Key, err error) {
		sets, err := ring.Keys()
		for _, s := range sets {
			found = append(found, s.Key.Find(kid)...)
		}
		if len(found) == 0 && err == nil {
			err = fmt.Errorf("%.80q: %w", kid, keys.ErrUnknown)
		}
		return found, err
	}
	return from, func() error { _, err := ring.Keys(); return err }
}

// Shared is a source of secrets that the provider has too.
func Shared(secrets []block.Secret) (from Source, ready func() error) {
	from = func(context.Context, string) (found []keys.Key, err error) {
		values, err := inbound.Reveal(secrets, minSecret)
		for _, v := range values {
			found = append(found, keys.Key{Public: []byte(v), Text: []byte(v)})
		}
		return found, err
	}
	return from, func() error { _, err := inbound.Reveal(secrets, minSecret); return err }
}
