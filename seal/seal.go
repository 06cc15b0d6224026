// Package seal encrypts at rest what must not be read in a database: tokens,
// stored bodies. Each record has a data key of its own, which is wrapped under
// a key that the operator keeps (an envelope of AES-256-GCM).
//
// Read key.go for the keys, seal.go for what is done with them, format.go for
// how a sealed record is written, file.go for a key that is kept beside a
// database, and config.go for the block.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

var (
	// ErrKey says that a record was sealed under a key that the ring does not
	// have. The error names its id.
	ErrKey = errors.New("there is no such seal key")
	// ErrForged says that a record is not what was sealed for this place: it was
	// changed, cut short, or belongs elsewhere.
	ErrForged = errors.New("what is sealed was changed, or belongs elsewhere")
)

// A Ring is the keys that are in use, newest first. It seals under the newest
// and opens with any. It may be used by many goroutines, also while
// [Ring.Replace] gives it other keys.
type Ring struct{ held atomic.Pointer[[]held] }

// held is a key that is ready to wrap.
type held struct {
	id   [idSize]byte
	aead cipher.AEAD
}

// NewRing takes the keys, newest first. There is at least one, and none twice.
func NewRing(keys ...Key) (*Ring, error) {
	if len(keys) == 0 {
		return nil, fmt.Errorf("there is no seal key: %s", advice)
	}
	list := make([]held, 0, len(keys))
	for i, k := range keys {
		if k.secret == nil {
			return nil, fmt.Errorf("seal key %d of %d is empty: %s", i+1, len(keys), advice)
		}
		id := k.id()
		if slices.ContainsFunc(list, func(h held) bool { return h.id == id }) {
			return nil, fmt.Errorf("the seal key %s is there twice: remove one of the two", k.ID())
		}
		list = append(list, held{id, gcm(k.secret.bytes[:])})
	}
	r := new(Ring)
	r.held.Store(&list)
	return r, nil
}

// Replace makes r use the keys of by from now on.
func (r *Ring) Replace(by *Ring) { r.held.Store(by.held.Load()) }

// IDs lists the ids of the keys, newest first.
func (r *Ring) IDs() []string {
	var ids []string
	for _, h := range *r.held.Load() {
		ids = append(ids, shown(h.id))
	}
	return ids
}

// Seal encrypts plain under the newest key. Only who gives the same bound, in
// the same order, can open it: bound is what the record is about and where it
// stands. It is authenticated, not stored. A key may wrap 2^32 records (NIST SP
// 800-38D §8.3, random nonces); then it is time for a new one.
func (r *Ring) Seal(plain []byte, bound ...string) []byte {
	data := make([]byte, dataKeySize)
	_, _ = rand.Read(data) // never fails
	newest := (*r.held.Load())[0]
	sealed := wrap(make([]byte, 0, Overhead+len(plain)), newest, data, bound)
	return encrypt(sealed, gcm(data), plain, associated(bodyDomain, nil, bound))
}

// Open returns what was sealed, or [ErrKey] or [ErrForged]: then nothing of it.
func (r *Ring) Open(sealed []byte, bound ...string) ([]byte, error) {
	rec, err := parse(sealed)
	if err != nil {
		return nil, err
	}
	data, err := r.unwrap(rec, bound)
	if err != nil {
		return nil, err
	}
	plain, err := decrypt(gcm(data), rec.body, associated(bodyDomain, nil, bound))
	if err != nil {
		return nil, ErrForged
	}
	return plain, nil
}

// Current reports whether sealed is a record under the newest key.
func (r *Ring) Current(sealed []byte) bool {
	rec, err := parse(sealed)
	return err == nil && rec.id == (*r.held.Load())[0].id
}

// Reseal wraps the record's data key under the newest key. The encrypted text
// stays as it is, and is not looked at. The errors are those of [Ring.Open].
func (r *Ring) Reseal(sealed []byte, bound ...string) ([]byte, error) {
	rec, err := parse(sealed)
	if err != nil {
		return nil, err
	}
	data, err := r.unwrap(rec, bound)
	if err != nil {
		return nil, err
	}
	newest := (*r.held.Load())[0]
	return append(wrap(make([]byte, 0, len(sealed)), newest, data, bound), rec.body...), nil
}

// unwrap finds the data key of a record.
func (r *Ring) unwrap(rec record, bound []string) ([]byte, error) {
	list := *r.held.Load()
	i := slices.IndexFunc(list, func(h held) bool { return h.id == rec.id })
	if i < 0 {
		return nil, fmt.Errorf("%w: it has the id %s; put it into seal.keys, behind the newest", ErrKey, shown(rec.id))
	}
	data, err := decrypt(list[i].aead, rec.wrapped, associated(keyDomain, rec.id[:], bound))
	if err != nil {
		return nil, ErrForged
	}
	return data, nil
}

// gcm is AES-256-GCM under a key of 32 bytes.
func gcm(key []byte) cipher.AEAD {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key is of another size
	}
	aead, err := cipher.NewGCM(b)
	if err != nil {
		panic(err) // cannot be with AES
	}
	return aead
}
