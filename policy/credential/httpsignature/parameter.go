package httpsignature

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// A Parameter is what is said of a signature (RFC 9421 §2.3).
type Parameter string

// The parameters.
const (
	Created   Parameter = "created"
	Expires   Parameter = "expires"
	KeyID     Parameter = "keyid"
	Algorithm Parameter = "alg"
	Nonce     Parameter = "nonce"
	Tag       Parameter = "tag"
)

// UnmarshalText accepts the parameters of RFC 9421.
func (p *Parameter) UnmarshalText(text []byte) error {
	switch v := Parameter(text); v {
	case Created, Expires, KeyID, Algorithm, Nonce, Tag:
		*p = v
		return nil
	}
	return fmt.Errorf("unknown parameter %q: use created, expires, keyid, alg, nonce or tag", text)
}

// parameters fills in which are put, or says what is wrong with those that are
// written.
func (b *Block) parameters() error {
	values := []struct {
		name Parameter
		attr string
		set  bool
	}{{Expires, "expires", b.Expires.Duration > 0}, {KeyID, "key_id", len(b.KeyID) > 0}, {Tag, "tag", b.Tag != ""}}
	if len(b.Parameters) == 0 {
		b.Parameters = []Parameter{Created}
		for _, v := range values {
			if v.set {
				b.Parameters = append(b.Parameters, v.name)
			}
		}
		return nil
	}
	var errs []error
	if !slices.Contains(b.Parameters, Created) {
		errs = append(errs, block.At("parameters", "without created a signature could be used for ever"))
	}
	for i, p := range b.Parameters {
		if slices.Contains(b.Parameters[:i], p) {
			errs = append(errs, block.At("parameters", "%s is there twice", p))
		}
	}
	for _, v := range values {
		switch has := slices.Contains(b.Parameters, v.name); {
		case has && !v.set:
			errs = append(errs, block.At("parameters", "%s needs a value: set %s", v.name, v.attr))
		case v.set && !has:
			errs = append(errs, block.At(v.attr, "parameters does not have %s: write it there", v.name))
		}
	}
	return errors.Join(errs...)
}

// appendParameters writes what is said of the signature.
func (b *Block) appendParameters(to []byte, keyID string, now time.Time) ([]byte, error) {
	for _, p := range b.Parameters {
		to = append(append(append(to, ';'), p...), '=')
		switch p {
		case Created:
			to = strconv.AppendInt(to, now.Unix(), 10)
		case Expires:
			to = strconv.AppendInt(to, now.Add(b.Expires.Duration).Unix(), 10)
		case KeyID:
			if !printable(keyID) {
				return to, &policy.Denial{
					Code: policy.CredentialUnavailable, Stage: "credential", Detail: "key_id of credential \"http_signature\" cannot be sent: it is not printable ASCII",
					Hint: "Put the name of the key there as the provider shows it.",
				}
			}
			to = append(to, quoted(keyID)...)
		case Algorithm:
			to = append(to, quoted(string(b.Alg))...)
		case Nonce:
			to = append(to, quoted(b.live.NewNonce())...)
		case Tag:
			to = append(to, quoted(b.Tag)...)
		}
	}
	return to, nil
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// quoted is a String of RFC 8941 §3.3.3.
func quoted(s string) string { return `"` + escape.Replace(s) + `"` }

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' })
}

// isKey reports whether s is a key of a Dictionary of RFC 8941 §3.1.2.
func isKey(s string) bool {
	return s != "" && (s[0] == '*' || 'a' <= s[0] && s[0] <= 'z') &&
		!strings.ContainsFunc(s, func(c rune) bool {
			return !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.ContainsRune("_-.*", c))
		})
}
