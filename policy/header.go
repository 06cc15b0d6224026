package policy

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"

	"golang.org/x/net/http/httpguts"
)

// SetHeader makes value the only one of that name: every other spelling goes,
// in another case or with underscores, which some servers read as hyphens.
func SetHeader(h http.Header, name, value string) { PutHeader(h, name, []string{value}) }

// PutHeader is [SetHeader] with a line that is made already. It is shared, not
// copied.
func PutHeader(h http.Header, name string, line []string) {
	DropHeader(h, name)
	h[textproto.CanonicalMIMEHeaderKey(name)] = line
}

// DropHeader removes every spelling of that name.
func DropHeader(h http.Header, name string) {
	for other := range h {
		if sameHeader(other, name) {
			delete(h, other)
		}
	}
}

// HeaderValues lists the values of that name, in every spelling.
func HeaderValues(h http.Header, name string) (values []string) {
	for other, v := range h {
		if sameHeader(other, name) {
			values = append(values, v...)
		}
	}
	return values
}

// CheckHeader refuses names that are no header, or not a policy's to set.
func CheckHeader(name string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("%q is not a header name", name)
	}
	for _, framing := range []string{
		"Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Trailer", "Te", "Upgrade", "Expect",
		"Content-Encoding", "Proxy-Connection", "Proxy-Authorization", "Http2-Settings",
	} {
		if sameHeader(name, framing) {
			return errors.New(framing + " frames the message and is not a policy's to set")
		}
	}
	return nil
}

func sameHeader(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if foldHeader(a[i]) != foldHeader(b[i]) {
			return false
		}
	}
	return true
}

func foldHeader(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case c == '_':
		return '-'
	}
	return c
}
