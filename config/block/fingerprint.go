package block

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/hex"
)

// What makes a fingerprint. It is the same in every process and at every start,
// so that a log of last week, another replica and `postern secrets check` speak
// of the same key. Whoever reads it could try values until one fits: therefore
// each try is made to cost some milliseconds, a short value, which may be a
// word, has none, and 32 bits leave billions of values that fit.
const (
	printSalt   = "postern/fingerprint/1"
	printRounds = 4096
	printBytes  = 4
	leastPrint  = 16
)

// Fingerprint tells one secret from another without showing it: eight
// hexadecimal digits, the beginning of PBKDF2-HMAC-SHA256 (RFC 8018) with a salt
// that is the same everywhere. It is "" for a value of less than 16 bytes. It
// takes some milliseconds: keep it.
func Fingerprint(value string) string {
	if len(value) < leastPrint {
		return ""
	}
	sum, err := pbkdf2.Key(sha256.New, value, []byte(printSalt), printRounds, printBytes)
	if err != nil { // a mode of the crypto library that allows no such salt
		return ""
	}
	return hex.EncodeToString(sum)
}
