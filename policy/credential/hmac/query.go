package hmac

import (
	"net/url"
	"slices"
	"strings"
)

// decodedQuery is a query without escapes; what is not well escaped stays.
func decodedQuery(raw string) string {
	var b strings.Builder
	for i, pair := range strings.Split(raw, "&") {
		if i > 0 {
			b.WriteByte('&')
		}
		name, value, assigned := strings.Cut(pair, "=")
		b.WriteString(decoded(name))
		if assigned {
			b.WriteByte('=')
			b.WriteString(decoded(value))
		}
	}
	return b.String()
}

// sortedQuery has the parameters of a query, or of a form, in the order of their
// names and, of one name, of their values, byte by byte; a parameter without a
// value has an empty one. Each is escaped anew by RFC 3986: all but its unreserved
// characters, with capitals, and a space is %20; or not at all.
func sortedQuery(raw string, escaped bool) string {
	var pairs [][2]string
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, value = decoded(name), decoded(value)
		if escaped {
			name, value = escape(name), escape(value)
		}
		pairs = append(pairs, [2]string{name, value})
	}
	slices.SortStableFunc(pairs, func(a, b [2]string) int {
		if c := strings.Compare(a[0], b[0]); c != 0 {
			return c
		}
		return strings.Compare(a[1], b[1])
	})
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p[0])
		b.WriteByte('=')
		b.WriteString(p[1])
	}
	return b.String()
}

// decoded is s itself if it is not well escaped.
func decoded(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// escape escapes by RFC 3986 §2.1.
func escape(s string) string {
	return strings.NewReplacer("+", "%20").Replace(url.QueryEscape(s))
}
