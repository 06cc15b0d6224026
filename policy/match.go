package policy

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
)

// A Pattern is an optional method and a path of literal segments, {name} for
// one segment and a final ** for the rest: "GET /v1/customers/{id}", "/v1/**".
type Pattern struct {
	Text     string
	method   string
	segments []string // decoded; "{}" for a name, "**" last
}

// UnmarshalText reads a pattern.
func (p *Pattern) UnmarshalText(text []byte) error {
	s := string(text)
	method, rest, ok := strings.Cut(s, " ")
	if !ok {
		method, rest = "", s
	}
	if !strings.HasPrefix(rest, "/") || ok && !httpguts.ValidHeaderFieldName(method) || method != strings.ToUpper(method) || strings.Contains(method, "*") {
		return fmt.Errorf("%q is not \"METHOD /path\" or \"/path\"", s)
	}
	if strings.ContainsAny(rest, "?# ") {
		return fmt.Errorf("%q has more than a path; queries do not take part in matching", s)
	}
	if Ambiguous(rest) {
		return fmt.Errorf("%q can be read in two ways, and such paths are refused where a rule decides: leave out dot segments, empty segments and encoded separators", s)
	}
	segments := strings.Split(rest[1:], "/")
	for i, seg := range segments {
		name := strings.HasPrefix(seg, "{") && strings.HasSuffix(seg, "}") && len(seg) > 2 && !strings.ContainsAny(seg[1:len(seg)-1], "{}*")
		plain, err := url.PathUnescape(seg)
		switch {
		case seg == "**" && i == len(segments)-1:
		case name && strings.HasSuffix(seg, "...}"):
			return fmt.Errorf("in %q, %s would be one segment: write ** for any rest", s, seg)
		case name:
			segments[i] = "{}"
		case err != nil || strings.ContainsAny(plain, "*{}"):
			return fmt.Errorf("in %q, a segment is literal, {name}, or ** as the last one", s)
		default:
			segments[i] = plain
		}
	}
	*p = Pattern{s, method, segments}
	return nil
}

// Match reports whether p matches a method and a path as it goes over the wire.
func (p *Pattern) Match(method, escapedPath string) bool {
	if p.method != "" && p.method != method {
		return false
	}
	rest, more := strings.CutPrefix(escapedPath, "/")
	for _, seg := range p.segments {
		if seg == "**" {
			return true
		}
		if !more {
			return false
		}
		var have string
		have, rest, more = strings.Cut(rest, "/")
		switch {
		case seg == "{}" && have != "", seg == have:
		case strings.Contains(have, "%"):
			if plain, err := url.PathUnescape(have); err != nil || plain != seg {
				return false
			}
		default:
			return false
		}
	}
	return !more
}

// comparePatterns orders the more specific pattern first: segment by segment a
// literal before {name} before **, then the one with a method.
func comparePatterns(a, b *Pattern) int {
	for i := range min(len(a.segments), len(b.segments)) {
		if c := cmp.Compare(rank(a.segments[i]), rank(b.segments[i])); c != 0 {
			return c
		}
	}
	// Of two that begin alike the longer one goes on with **, or matches other
	// paths: "/a" before "/a/**".
	if c := cmp.Compare(len(a.segments), len(b.segments)); c != 0 {
		return c
	}
	return cmp.Compare(min(len(b.method), 1), min(len(a.method), 1))
}

func rank(seg string) int {
	switch seg {
	case "{}":
		return 1
	case "**":
		return 2
	}
	return 0
}

// Equal reports whether two patterns match the same requests: the names in
// braces do not count.
func (p *Pattern) Equal(other *Pattern) bool {
	return p.method == other.method && slices.Equal(p.segments, other.segments)
}

// Duplicate returns the first of patterns that equals an earlier one, or nil.
func Duplicate(patterns []Pattern) *Pattern {
	for i := range patterns {
		for j := range i {
			if patterns[i].Equal(&patterns[j]) {
				return &patterns[i]
			}
		}
	}
	return nil
}

// Ambiguous reports whether servers differ in how they read a path: encoded
// separators, dot segments, empty segments, parameters, bytes that are no text
// (claim C6).
func Ambiguous(escapedPath string) bool {
	if strings.Contains(escapedPath, "//") || strings.ContainsAny(escapedPath, ";\\\x00") {
		return true
	}
	if !strings.ContainsAny(escapedPath, "%.") {
		return !utf8.ValidString(escapedPath)
	}
	plain, err := url.PathUnescape(escapedPath)
	if err != nil || !utf8.ValidString(plain) || strings.ContainsAny(plain, "\x00\\;%") || strings.Count(plain, "/") != strings.Count(escapedPath, "/") {
		return true
	}
	for seg := range strings.SplitSeq(plain, "/") {
		if seg == "." || seg == ".." {
			return true
		}
	}
	return false
}

// canonical is how a server that decodes everything would read a path.
func canonical(escapedPath string) string {
	plain, err := url.PathUnescape(escapedPath)
	if err != nil {
		plain = escapedPath
	}
	plain = strings.ReplaceAll(plain, "\\", "/")
	var b strings.Builder
	for seg := range strings.SplitSeq(plain, "/") {
		seg, _, _ = strings.Cut(seg, ";")
		b.WriteByte('/')
		b.WriteString(seg)
	}
	return path.Clean(b.String())
}
