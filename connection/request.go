package connection

import (
	"fmt"
	"slices"
	"strings"
)

const maxAccount = 256

// A RequestError says why something that was asked of a connection is not done,
// and what to do. Asking again will not help.
type RequestError struct {
	Unknown bool // what it is about does not exist
	Exists  bool // what would be made does exist
	Why     string
	Hint    string
}

// Error implements error.
func (e *RequestError) Error() string { return e.Why }

// Grantable returns the source of a provider that a person grants. credential ""
// is the provider's own, or its only one. The error is a [RequestError].
func (k *Keeper) Grantable(provider, credential string) (*Source, error) {
	all := k.Sources(provider)
	if len(all) == 0 {
		return nil, &RequestError{Unknown: true, Why: fmt.Sprintf("no provider %q has accounts to connect", provider), Hint: "Name a provider block that has a credential \"oauth2\"."}
	}
	all = slices.DeleteFunc(all, func(s *Source) bool { return !s.Person })
	if len(all) == 0 {
		return nil, &RequestError{Why: fmt.Sprintf("the credential of %s needs nobody's grant: it gets its tokens by itself", provider), Hint: "Call the API; there is nothing to connect."}
	}
	var names []string
	for _, s := range all {
		if s.Credential == credential || credential == "" && len(all) == 1 {
			return s, nil
		}
		names = append(names, s.Credential)
	}
	slices.Sort(names)
	if credential != "" {
		return nil, &RequestError{Unknown: true, Why: fmt.Sprintf("%s has no credential %q that a person grants", provider, credential), Hint: "It has: " + strings.Join(names, ", ") + "."}
	}
	for _, s := range all { // the provider's own; the others are of its routes
		if !strings.Contains(s.Credential, " ") {
			return s, nil
		}
	}
	return nil, &RequestError{Why: fmt.Sprintf("several routes of %s have a grant of their own, and none is named", provider), Hint: "Name one as credential: " + strings.Join(names, ", ") + "."}
}

// CheckAccount refuses a name that no call could bear in a header, a log line or
// the path of a base URL. The error is a [RequestError].
func CheckAccount(name string) error {
	if len(name) <= maxAccount && name == strings.TrimSpace(name) && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufffd' }) {
		return nil
	}
	return &RequestError{Why: "the account has no name that a call could bear", Hint: "At most 256 bytes of text, without control characters and spaces around it."}
}
