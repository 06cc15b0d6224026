package policy

import (
	"fmt"
	"net/netip"
	"strings"

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

// Covers reports whether h owns a normalised host and port; "" and the standard
// ports are the same.
func (h Host) Covers(host, port string) bool {
	own := h.Port()
	if own != port && !(own == "" && standard(port)) {
		return false
	}
	name := strings.TrimSuffix(h.key(), ":"+own)
	if own == "" {
		name = h.key()
	}
	if suffix, wild := strings.CutPrefix(name, "*"); wild {
		return strings.HasSuffix(host, suffix) && len(host) > len(suffix)
	}
	return strings.Trim(name, "[]") == host
}

// Exact reports whether h names one host.
func (h Host) Exact() bool { return !strings.HasPrefix(string(h), "*") }

// Nowhere is the host of a call that came by a base URL to a provider whose
// accounts have hosts of their own: a stage that knows the account puts the true
// one in its place. It cannot be reached (RFC 6761 §6.4).
const Nowhere = "connection.invalid"

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
