package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// An Authority is a host and a port in the one spelling that is compared,
// matched, dialled and credentialed.
type Authority struct {
	Host string // lower case, A-labels, no trailing dot; an IPv6 address without brackets
	Port string // "1" to "65535"
}

// Text is how the authority is written in a URL of the scheme: the port only
// if it is not the scheme's own.
func (a Authority) Text(scheme string) string {
	if a.Port == defaultPort(scheme) {
		if strings.IndexByte(a.Host, ':') >= 0 {
			return "[" + a.Host + "]"
		}
		return a.Host
	}
	return a.Address()
}

// Address is host:port, as for dialling.
func (a Authority) Address() string { return net.JoinHostPort(a.Host, a.Port) }

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

// ParseAuthority reads "host", "host:port", "1.2.3.4" or "[::1]:port". Port is
// used if none is written; if that is empty too it is an error. Whatever two
// programs could read as two hosts is refused (claim C5).
func ParseAuthority(s, port string) (Authority, error) {
	if strings.IndexByte(s, '@') >= 0 {
		return Authority{}, errUserInfo
	}
	host := s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && i > strings.LastIndexByte(s, ']') {
		host, port = s[:i], s[i+1:]
	}
	if !validPort(port) {
		return Authority{}, fmt.Errorf("%q has no valid port", s)
	}
	host, err := NormaliseHost(host)
	return Authority{host, port}, err
}

// errUserInfo does not quote what may be a password.
var errUserInfo = errors.New("an authority with user information is not served")

func validPort(p string) bool {
	if p == "" || len(p) > 5 || p[0] == '0' {
		return false
	}
	n := 0
	for _, c := range []byte(p) {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= 65535
}

// NormaliseHost returns the one spelling of a host name or address: lower
// case, internationalised names as A-labels by the lookup profile of IDNA
// 2008, one trailing dot removed, an IPv6 address (in brackets) in the form of
// RFC 5952 without them.
func NormaliseHost(s string) (string, error) {
	if strings.HasPrefix(s, "[") {
		return bracketed(s)
	}
	ascii, lower := true, true
	for _, c := range []byte(s) {
		ascii = ascii && c < 0x80
		lower = lower && (c < 'A' || c > 'Z')
	}
	name := s
	if !ascii {
		var err error
		if name, err = idna.Lookup.ToASCII(s); err != nil {
			return "", fmt.Errorf("host %q is not a valid name", s)
		}
	} else if !lower {
		name = strings.ToLower(s)
	}
	dotted := strings.HasSuffix(name, ".")
	name = strings.TrimSuffix(name, ".")
	if err := validName(name); err != nil {
		return "", fmt.Errorf("host %q %w", s, err)
	}
	if numeric(name[strings.LastIndexByte(name, '.')+1:]) {
		if a, err := netip.ParseAddr(name); err != nil || !a.Is4() || dotted || !ascii {
			return "", fmt.Errorf("host %q is an odd spelling of an address", s)
		}
	}
	return name, nil
}

func bracketed(s string) (string, error) {
	a, err := netip.ParseAddr(strings.TrimSuffix(s[1:], "]"))
	if err != nil || !strings.HasSuffix(s, "]") || !a.Is6() || a.Zone() != "" || a.Is4In6() {
		return "", fmt.Errorf("host %q is not an IPv6 address in brackets", s)
	}
	return a.String(), nil
}

// validName checks a lower-case ASCII name without trailing dot.
func validName(name string) error {
	if len(name) > 253 {
		return errors.New("is longer than a name can be")
	}
	for label, rest, more := "", name, true; more; {
		label, rest, more = strings.Cut(rest, ".")
		if err := validLabel(label); err != nil {
			return err
		}
	}
	return nil
}

func validLabel(label string) error {
	if label == "" || len(label) > 63 {
		return errors.New("has an empty or overlong label")
	}
	alnum := false
	for _, c := range []byte(label) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			alnum = true
		case c == '-', c == '_':
		default:
			return fmt.Errorf("has a character %q that no name has", c)
		}
	}
	if !alnum || label[0] == '-' || label[len(label)-1] == '-' {
		return errors.New("has a label of hyphens or underscores, or one that starts or ends with a hyphen")
	}
	if strings.HasPrefix(label, "xn--") {
		return validALabel(label)
	}
	return nil
}

// validALabel refuses what is no A-label, or one that decodes to plain ASCII
// and so would name another host (CVE-2026-39821).
func validALabel(label string) error {
	u, err := idna.Lookup.ToUnicode(label)
	if err != nil || u == label {
		return errors.New("has an invalid xn-- label")
	}
	if back, err := idna.Lookup.ToASCII(u); err != nil || back != label || strings.IndexFunc(u, func(r rune) bool { return r >= 0x80 }) < 0 {
		return errors.New("has an xn-- label that stands for another name")
	}
	return nil
}

// numeric reports whether a resolver may take a name with this last label for
// an IPv4 address ("127.1", "0x7f.1", "2130706433").
func numeric(label string) bool {
	if strings.HasPrefix(label, "0x") {
		return strings.Trim(label[2:], "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}
