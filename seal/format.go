package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// A sealed record, version 1:
//
//	 1  version, 1
//	 4  id of the key that wraps
//	12  nonce
//	48  data key (32), encrypted under that key, and its tag (16)
//	12  nonce
//	 n  text, encrypted under the data key
//	16  its tag
//
// The associated data are a sequence of strings, each behind its length as 8
// bytes, big-endian. For the data key: keyDomain, the id, and what it is bound
// to. For the text: bodyDomain, nothing, and what it is bound to; the id is not
// in it, so that a data key can be wrapped anew without the text.
const (
	version     = 1
	idSize      = 4
	nonceSize   = 12
	tagSize     = 16
	dataKeySize = 32

	headSize    = 1 + idSize
	wrappedSize = nonceSize + dataKeySize + tagSize

	keyDomain  = "postern seal 1: data key"
	bodyDomain = "postern seal 1: text"
)

// Overhead is how many bytes a sealed record is longer than its text.
const Overhead = headSize + wrappedSize + nonceSize + tagSize

// record is a sealed record in its parts. Nothing of it is authenticated yet.
type record struct {
	id            [idSize]byte
	wrapped, body []byte // with their nonces
}

// parse takes a record apart.
func parse(sealed []byte) (rec record, err error) {
	if len(sealed) < Overhead {
		return rec, ErrForged
	}
	if sealed[0] != version {
		return rec, fmt.Errorf("%w: this version of Postern does not know its format, %d", ErrForged, sealed[0])
	}
	copy(rec.id[:], sealed[1:headSize])
	rec.wrapped, rec.body = sealed[headSize:headSize+wrappedSize], sealed[headSize+wrappedSize:]
	return rec, nil
}

// KeyID is the id of the key that a record was sealed under, or "" if it is no
// record. It is not authenticated: it says which key is wanted, and proves
// nothing.
func KeyID(sealed []byte) string {
	rec, err := parse(sealed)
	if err != nil {
		return ""
	}
	return shown(rec.id)
}

// HeadSize is how many bytes of a record [KeyID] needs to know its key by.
const HeadSize = headSize

// HeadID is [KeyID] of a record of which there is only the beginning.
func HeadID(head []byte) string {
	if len(head) < headSize || head[0] != version {
		return ""
	}
	return hex.EncodeToString(head[1:headSize])
}

// wrap appends the head of a record and its data key.
func wrap(to []byte, by held, data []byte, bound []string) []byte {
	to = append(to, version)
	to = append(to, by.id[:]...)
	return encrypt(to, by.aead, data, associated(keyDomain, by.id[:], bound))
}

// encrypt appends a new nonce and the encrypted text.
func encrypt(to []byte, aead cipher.AEAD, text, associated []byte) []byte {
	var nonce [nonceSize]byte
	_, _ = rand.Read(nonce[:]) // never fails
	return aead.Seal(append(to, nonce[:]...), nonce[:], text, associated)
}

// decrypt is the reverse of encrypt.
func decrypt(aead cipher.AEAD, text, associated []byte) ([]byte, error) {
	return aead.Open(nil, text[:nonceSize], text[nonceSize:], associated)
}

// associated writes the associated data. Each part stands behind its length:
// no two sequences are written alike.
func associated(domain string, id []byte, bound []string) []byte {
	size := 16 + len(domain) + len(id)
	for _, s := range bound {
		size += 8 + len(s)
	}
	to := make([]byte, 0, size)
	to = append(binary.BigEndian.AppendUint64(to, uint64(len(domain))), domain...)
	to = append(binary.BigEndian.AppendUint64(to, uint64(len(id))), id...)
	for _, s := range bound {
		to = append(binary.BigEndian.AppendUint64(to, uint64(len(s))), s...)
	}
	return to
}

func shown(id [idSize]byte) string { return hex.EncodeToString(id[:]) }
