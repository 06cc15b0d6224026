package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// A Host is "api.example.com" or "*.example.com", in lower case, with a port
// if it is not the default one of the scheme.
type Host string

// UnmarshalText refuses what could be read as another host than it looks like.
func (h *Host) UnmarshalText(text []byte) error {
	s := string(text)
	name, port, hasPort := strings.Cut(strings.TrimPrefix(s, "*."), ":")
	if _, err := netip.ParseAddr(strings.Trim(strings.TrimPrefix(s, "*."), "[]")); err == nil && !strings.HasPrefix(s, "*") {
		*h = Host(s)
		return nil
	}
	ascii, err := idna.Lookup.ToASCII(name)
	switch {
	case strings.Contains(name, "*"):
		return fmt.Errorf("in %q, * stands for whole labels and only in front: \"*.example.com\"", s)
	case name != strings.ToLower(name):
		return fmt.Errorf("%q is not lower case: write %q", s, strings.ToLower(s))
	case err != nil || name == "" || strings.ContainsAny(name, "/@%_ ") || strings.HasSuffix(name, "."):
		return fmt.Errorf("%q is not a host name such as \"api.example.com\" or \"*.example.com\"", s)
	case ascii != name:
		return fmt.Errorf("%q is written %q in DNS: write that", s, ascii)
	case hasPort && !validPort(port):
		return fmt.Errorf("%q has no valid port", s)
	}
	*h = Host(s)
	return nil
}

func validPort(p string) bool {
	n := 0
	for _, c := range []byte(p) {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return len(p) > 0 && len(p) <= 5 && n > 0 && n < 65536 && p[0] != '0'
}

// A Pattern is an optional method and a path of literal segments, {name} for
// one segment and a final ** for the rest: "GET /v1/customers/{id}", "/v1/**".
type Pattern struct {
	Text     string
	method   string
	segments []string // "{}" for a name, "**" last
}

// UnmarshalText reads a pattern.
func (p *Pattern) UnmarshalText(text []byte) error {
	s := string(text)
	method, rest, ok := strings.Cut(s, " ")
	if !ok {
		method, rest = "", s
	}
	if !strings.HasPrefix(rest, "/") || method != strings.ToUpper(method) || strings.ContainsAny(method, "/{}*") {
		return fmt.Errorf("%q is not \"METHOD /path\" or \"/path\"", s)
	}
	if strings.ContainsAny(rest, "?# ") {
		return fmt.Errorf("%q has more than a path; queries do not take part in matching", s)
	}
	segments := strings.Split(rest[1:], "/")
	for i, seg := range segments {
		switch name := strings.HasPrefix(seg, "{") && strings.HasSuffix(seg, "}") && len(seg) > 2; {
		case seg == "**" && i == len(segments)-1:
		case name && !strings.ContainsAny(seg[1:len(seg)-1], "{}*"):
			segments[i] = "{}"
		case strings.ContainsAny(seg, "*{}"):
			return fmt.Errorf("in %q, a segment is literal, {name}, or ** as the last one", s)
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
	if c := cmp.Compare(len(b.segments), len(a.segments)); c != 0 {
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

// same reports whether two patterns match the same requests.
func same(a, b *Pattern) bool {
	if a.method != b.method || len(a.segments) != len(b.segments) {
		return false
	}
	for i := range a.segments {
		if a.segments[i] != b.segments[i] {
			return false
		}
	}
	return true
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
