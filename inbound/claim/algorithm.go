package claim

import (
	"crypto"
	_ "crypto/sha1" // what [crypto.Hash.New] makes has to be linked
	_ "crypto/sha256"
	_ "crypto/sha512"
	"fmt"
)

// Algorithm is a hash function by name. It is fixed by the policy or the scheme,
// never by a request.
type Algorithm struct{ crypto.Hash }

// SHA256 is what most providers use.
func SHA256() Algorithm { return Algorithm{crypto.SHA256} }

// String is the name as a policy writes it.
func (a Algorithm) String() string {
	return map[crypto.Hash]string{crypto.SHA1: "sha1", crypto.SHA256: "sha256", crypto.SHA384: "sha384", crypto.SHA512: "sha512"}[a.Hash]
}

// UnmarshalText accepts sha1, sha256, sha384 and sha512.
func (a *Algorithm) UnmarshalText(text []byte) error {
	switch string(text) {
	case "sha1":
		a.Hash = crypto.SHA1
	case "sha256":
		a.Hash = crypto.SHA256
	case "sha384":
		a.Hash = crypto.SHA384
	case "sha512":
		a.Hash = crypto.SHA512
	default:
		return fmt.Errorf("unknown algorithm %q: use sha256, sha384, sha512 or, where a provider insists, sha1", text)
	}
	return nil
}

// Sum is the digest of message.
func (a Algorithm) Sum(message []byte) []byte {
	h := a.New()
	h.Write(message)
	return h.Sum(nil)
}
