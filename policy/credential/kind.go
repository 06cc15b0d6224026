package credential

import (
	"net/http"
	"slices"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/policy"
)

// A Kind describes one credential.
type Kind struct {
	Name    string // of the kind
	Summary string
	Slot    policy.Slot
	Slots   []policy.Slot    // instead of Slot, where there are several
	Values  []block.Secret   // alternatives, newest first: the next is tried when one is refused
	Also    []block.Secret   // further secrets that are put with each alternative
	Pairs   []block.Secret   // and one of its own for each alternative, last of also
	On      []policy.Outcome // what refuses a value

	// Source has the value instead of Values: it is asked for, kept and renewed as
	// tokens are. Parts are the secrets that it is made of.
	Source *connection.Source
	Parts  func(value string) []string

	// Put puts one alternative into the request, and removes what the
	// application sent in its place. also has the values of Also. Values hold
	// no CR, LF or NUL.
	Put func(r *http.Request, x *policy.Exchange, value string, also []string) error

	// Echo lists what is taken out of answers; nil means value and also.
	Echo func(value string, also []string) []string

	// Skip says which requests pass as they are; nil is none.
	Skip func(r *http.Request) bool

	// Stays says that nothing of Values leaves: they may hold line breaks.
	Stays bool

	// Public says that nothing which is put is a secret: answers need not be read
	// for it.
	Public bool

	// Signs says that Put signs by the time of [Live.Clock]: a refusal that shows
	// the time to be wrong is followed by another attempt with the right one.
	Signs bool
}

// matches reports whether a key is what the alternative at a place is now.
func (k *Kind) matches(known *key, at int) bool {
	beside := k.beside(at)
	if v, err := k.value(at); err != nil || v != known.value || len(known.also) != len(beside) {
		return false
	}
	for i, s := range beside {
		if v, err := reveal(s); err != nil || v != known.also[i] {
			return false
		}
	}
	return true
}

// value reveals the alternative at a place.
func (k *Kind) value(at int) (string, error) {
	if k.Stays {
		return k.Values[at].Reveal()
	}
	return reveal(k.Values[at])
}

// beside is what is put with the alternative at a place.
func (k *Kind) beside(at int) []block.Secret {
	if len(k.Pairs) == 0 {
		return k.Also
	}
	return append(k.Also[:len(k.Also):len(k.Also)], k.Pairs[at])
}

// reveal returns the alternative at a place, and what is put with it. It fails
// closed: without its credential nothing leaves.
func (k *Kind) reveal(at int) ([]string, error) {
	v, err := k.value(at)
	if err != nil {
		return nil, unavailable(err)
	}
	values := []string{v}
	for _, s := range k.beside(at) {
		if v, err = need(s); err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// need fails closed: without its credential nothing leaves.
func need(s block.Secret) (string, error) {
	v, err := reveal(s)
	if err != nil {
		return "", unavailable(err)
	}
	return v, nil
}

// Public reports whether the policy writes all of these out: then they are not
// secret.
func Public(list ...block.Secret) bool {
	return !slices.ContainsFunc(list, func(s block.Secret) bool { _, literal := s.Literal(); return !literal })
}
