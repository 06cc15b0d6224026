package block

import (
	"fmt"
	"net/url"
	"strings"
)

// coding says what becomes of data in a text.
type coding uint8

const (
	asIs  coding = iota
	inURL        // every interpolation is percent-encoded, so that data cannot change the structure of a URL
	// inPath is a path with its query, whose structure is all literal: no name
	// stands outside of a text, and a part without a value makes no path, because
	// one without an id in it means something else.
	inPath
)

// codings are the values of the struct tag encode.
var codings = map[string]coding{"": asIs, "url": inURL, "path": inPath}

// percentEncode encodes all but RFC 3986's unreserved characters and the colon,
// which means nothing inside a path segment or a query.
func percentEncode(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~:", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// pathProblem says what keeps n from being a path whatever the data is; "" if
// nothing does. A conditional is one if both its sides are.
func pathProblem(n node) string {
	switch n := n.(type) {
	case *choice:
		if why := pathProblem(n.then); why != "" {
			return why
		}
		return pathProblem(n.other)
	case *textParts:
		return partsProblem(n.parts)
	case literal:
		return partsProblem([]node{n})
	}
	return `Data could change the path: write it as a text with data in it, such as "/v1/orders/${request.body.id}".`
}

func partsProblem(parts []node) string {
	first, ok := parts[0].(literal)
	if text := first.v.Str; !ok || !strings.HasPrefix(text, "/") || strings.HasPrefix(text, "//") {
		return "A path begins with one slash: the host is the provider's."
	}
	sample := ""
	for _, p := range parts {
		l, ok := p.(literal)
		if !ok {
			l.v.Str = "x"
		}
		sample += l.v.Str
		if strings.ContainsFunc(l.v.Str, func(c rune) bool { return c <= ' ' || c > '~' || c == '#' || c == '"' }) {
			return "Write spaces, quotes, # and what is not ASCII percent-encoded."
		}
	}
	if _, err := url.Parse(sample); err != nil {
		return "It is not well percent-encoded."
	}
	return ""
}
