package hmac

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Algorithm is a hash function by name.
type Algorithm struct {
	name string
	new  func() hash.Hash
}

// algorithms are all there are. Pusher wants MD5 of bodies; as the hash of a
// signature it is refused (RFC 6151).
var algorithms = []Algorithm{{"sha256", sha256.New}, {"sha1", sha1.New}, {"sha384", sha512.New384}, {"sha512", sha512.New}, {"md5", md5.New}}

// UnmarshalText accepts sha1, sha256, sha384, sha512 and md5.
func (a *Algorithm) UnmarshalText(text []byte) error {
	for _, known := range algorithms {
		if known.name == string(text) {
			*a = known
			return nil
		}
	}
	return fmt.Errorf("unknown algorithm %q: use sha1, sha256, sha384, sha512 or, for a part, md5", text)
}

func (a Algorithm) String() string { return a.name }

// Encoding is how bytes are written as text.
type Encoding string

// The encodings. Raw is that of a part which stays as it is.
const (
	Hex       Encoding = "hex"
	UpperHex  Encoding = "HEX"
	Base64    Encoding = "base64"
	Base64URL Encoding = "base64url" // without padding
	Raw       Encoding = "raw"
)

// UnmarshalText accepts all encodings; which of them fit is checked by the block.
func (e *Encoding) UnmarshalText(text []byte) error {
	switch v := Encoding(text); v {
	case Hex, UpperHex, Base64, Base64URL, Raw:
		*e = v
		return nil
	}
	return fmt.Errorf("unknown encoding %q: use hex, HEX, base64 or base64url, or raw for a part", text)
}

// append writes p in the encoding.
func (e Encoding) append(dst, p []byte) []byte {
	switch e {
	case Hex:
		return hex.AppendEncode(dst, p)
	case UpperHex:
		at := len(dst)
		dst = hex.AppendEncode(dst, p)
		for i, c := range dst[at:] {
			if 'a' <= c {
				dst[at+i] = c - 'a' + 'A'
			}
		}
		return dst
	case Base64:
		return base64.StdEncoding.AppendEncode(dst, p)
	case Base64URL:
		return base64.RawURLEncoding.AppendEncode(dst, p)
	}
	return append(dst, p...)
}

// Unit is how a timestamp is written: a number since 1970, or a date of these
// pieces, each a layout of package time or, quoted, a literal.
type Unit struct {
	name   string
	number time.Duration
	pieces []string
}

// UnmarshalText accepts s, ms, us, ns, rfc3339, rfc3339_ms, http_date, and dates
// as the function formatdate has them.
func (u *Unit) UnmarshalText(text []byte) error {
	*u = Unit{name: string(text)}
	switch u.name {
	case "s":
		u.number = time.Second
	case "ms":
		u.number = time.Millisecond
	case "us":
		u.number = time.Microsecond
	case "ns":
		u.number = time.Nanosecond
	case "rfc3339":
		u.pieces = []string{time.RFC3339}
	case "rfc3339_ms":
		u.pieces = []string{"2006-01-02T15:04:05.000Z07:00"}
	case "http_date": // RFC 9110 §5.6.7
		u.pieces = []string{http.TimeFormat}
	default:
		return u.date(u.name)
	}
	return nil
}

func (u Unit) String() string { return u.name }

// verbs are those of formatdate with leading zeros.
var verbs = map[string]string{
	"YYYY": "2006", "YY": "06", "MMMM": "January", "MMM": "Jan", "MM": "01", "M": "1", "DD": "02", "D": "2", "EEEE": "Monday", "EEE": "Mon",
	"hh": "15", "mm": "04", "ss": "05", "Z": "Z07:00", "ZZZZ": "-0700", "ZZZZZ": "-07:00",
}

// date reads a date such as "YYYYMMDD'T'hh:mm:ss".
func (u *Unit) date(s string) error {
	bad := fmt.Errorf("unknown unit %q: use s, ms, us, ns, rfc3339, rfc3339_ms, http_date or a date such as \"YYYY-MM-DD'T'hh:mm:ss\"", s)
	for s != "" {
		n := 1
		switch c := s[0]; {
		case c == '\'':
			n = strings.IndexByte(s[1:], '\'') + 2
			if n < 2 {
				return bad
			}
			u.pieces = append(u.pieces, s[:n])
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			for n < len(s) && s[n] == c {
				n++
			}
			layout, ok := verbs[s[:n]]
			if !ok {
				return bad
			}
			u.pieces = append(u.pieces, layout)
		case c < ' ' || c >= 0x7f || '0' <= c && c <= '9': // digits mean something to package time
			return bad
		default:
			u.pieces = append(u.pieces, "'"+s[:1]+"'")
		}
		s = s[n:]
	}
	if !slices.ContainsFunc(u.pieces, func(p string) bool { return p[0] != '\'' }) {
		return bad
	}
	return nil
}

// append writes t in the unit.
func (u *Unit) append(dst []byte, t time.Time) []byte {
	if u.number > 0 {
		return strconv.AppendInt(dst, u.count(t), 10)
	}
	t = t.UTC()
	for _, p := range u.pieces {
		if p[0] == '\'' {
			dst = append(dst, p[1:len(p)-1]...)
		} else {
			dst = t.AppendFormat(dst, p)
		}
	}
	return dst
}

// count is t as a number.
func (u *Unit) count(t time.Time) int64 {
	if u.number == time.Second {
		return t.Unix()
	}
	return t.UnixNano() / int64(u.number)
}
