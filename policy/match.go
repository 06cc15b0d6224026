package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// A Host is "api.example.com" or "*.example.com", in lower case, with a port
// if it is not the default one of the scheme.
type Host string

// UnmarshalText refuses what could be read as another host than it looks like
// (claim C5).
func (h *Host) UnmarshalText(text []byte) error {
	s := string(text)
	if strings.HasPrefix(s, "[") || strings.Count(s, ":") > 1 {
		return h.address(s)
	}
	full, wild := strings.CutPrefix(s, "*.")
	name, port, hasPort := strings.Cut(full, ":")
	switch {
	case strings.Contains(name, "*"):
		return fmt.Errorf("in %q, * stands for whole labels and only in front: \"*.example.com\"", s)
	case name != strings.ToLower(name):
		return fmt.Errorf("%q is not lower case: write %q", s, strings.ToLower(s))
	case hasPort && !validPort(port):
		return fmt.Errorf("%q has no valid port", s)
	}
	if ascii, err := idna.Lookup.ToASCII(name); err == nil && ascii != name {
		return fmt.Errorf("%q is written %q in DNS: write that", s, ascii)
	}
	if !validName(name, !wild) {
		return fmt.Errorf("%q is not a host name such as \"api.example.com\" or \"*.example.com\"", s)
	}
	*h = Host(s)
	return nil
}

// address reads an IPv6 address in brackets.
func (h *Host) address(s string) error {
	literal, port, closed := strings.Cut(strings.TrimPrefix(s, "["), "]")
	a, err := netip.ParseAddr(literal)
	switch {
	case strings.HasPrefix(s, "[") && !closed:
		return fmt.Errorf("%q has no closing bracket", s)
	case err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "" || port != "" && (port[0] != ':' || !validPort(port[1:])):
		return fmt.Errorf("%q is not a host name or an address such as \"[2001:db8::1]\"", s)
	case s[0] != '[' || literal != a.String():
		return fmt.Errorf("%q is written \"[%v]%s\"", s, a, port)
	}
	*h = Host(s)
	return nil
}

// validName reports whether name is one of DNS, in lower case and ASCII. What
// ends in a number is an address, and there is one way to write those.
func validName(name string, address bool) bool {
	if len(name) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
				return false
			}
		}
		if strings.HasPrefix(label, "xn--") {
			if ascii, err := idna.Lookup.ToASCII(label); err != nil || ascii != label {
				return false
			}
		}
		last = label
	}
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		a, err := netip.ParseAddr(name)
		return address && err == nil && a.Is4()
	}
	return true
}

// key is how a set finds h: without the brackets of an address without port.
func (h Host) key() string {
	if s := string(h); strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		return s[1 : len(s)-1]
	}
	return string(h)
}

// Port is the port as written, "" for the default ones.
func (h Host) Port() string {
	s := string(h)
	if at := strings.LastIndexByte(s, ':'); at > strings.LastIndexByte(s, ']') {
		return s[at+1:]
	}
	return ""
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
	segments []string // decoded; "{}" for a name, "**" last
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
	if Ambiguous(rest) {
		return fmt.Errorf("%q can be read in two ways, and such paths are refused where a rule decides: leave out dot segments, empty segments and encoded separators", s)
	}
	segments := strings.Split(rest[1:], "/")
	for i, seg := range segments {
		name := strings.HasPrefix(seg, "{") && strings.HasSuffix(seg, "}") && len(seg) > 2 && !strings.ContainsAny(seg[1:len(seg)-1], "{}*")
		plain, err := url.PathUnescape(seg)
		switch {
		case seg == "**" && i == len(segments)-1:
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
