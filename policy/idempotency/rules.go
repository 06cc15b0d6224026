package idempotency

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// charset is the characters that a provider takes in a key, nil for all.
type charset struct {
	as   string // written
	only *regexp.Regexp
}

// newCharset reads the inside of a class of a regular expression, such as
// "A-Za-z0-9_-".
func newCharset(class string) (*charset, error) {
	if strings.ContainsAny(class, `[]\^`) {
		return nil, fmt.Errorf(`%q is not a list of characters and ranges such as "A-Za-z0-9_-"`, class)
	}
	only, err := regexp.Compile("^[" + class + "]*$")
	if err != nil {
		return nil, fmt.Errorf(`%q is not a list of characters and ranges such as "A-Za-z0-9_-"`, class)
	}
	return &charset{class, only}, nil
}

// checkRules refuses what no key could keep to.
func (b *Block) checkRules() error {
	var errs []error
	if b.Length < 1 || b.Length > 4096 {
		errs = append(errs, block.At("length", "%d is not between 1 and 4096", b.Length))
	}
	if b.Chars != "" {
		var err error
		if b.chars, err = newCharset(b.Chars); err != nil {
			errs = append(errs, block.At("characters", "%w", err))
		}
	}
	if len(errs) == 0 && !b.local() && !b.Required && b.random() == "" {
		errs = append(errs, block.At("length", "no random key has so few bytes, or only such characters: say required = true, so that a call without a key is refused"))
	}
	for name, list := range map[string][]int{"final": b.Final, "in_flight": b.InFlight} {
		for _, s := range list {
			if s < 100 || s > 599 {
				errs = append(errs, block.At(name, "%d is not a status", s))
			}
		}
	}
	return errors.Join(errs...)
}

// random is a key that the provider takes, "" if it takes none of 122 random
// bits.
func (b *Block) random() string {
	key := uuid.NewString()
	for _, text := range []string{key, strings.ReplaceAll(key, "-", "")} {
		if b.takes(text) {
			return text
		}
	}
	return ""
}

// takes reports whether the provider takes a key.
func (b *Block) takes(key string) bool {
	return len(key) <= b.Length && (b.chars == nil || b.chars.only.MatchString(key)) &&
		!strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c == 0x7f || b.Quoted && c > 0x7e })
}

// unfit refuses a key that the provider does not take.
func (b *Block) unfit(key string) error {
	d := &policy.Denial{
		Code: policy.BadRequest, Stage: "idempotency", Detail: fmt.Sprintf("the idempotency key has %d bytes, and %d are possible", len(key), b.Length),
		Hint: "Use a short key of visible characters, such as an order number or a UUID.",
	}
	switch {
	case len(key) <= b.Length && b.chars != nil && !b.chars.only.MatchString(key):
		d.Detail = fmt.Sprintf("the idempotency key has characters other than %s, which the provider does not take", b.chars.as)
	case len(key) <= b.Length:
		d.Detail = "the idempotency key holds characters that cannot be sent"
	}
	return d
}
