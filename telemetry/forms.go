package telemetry

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
)

// A form is a way in which a secret may be written. Escaped ones (URL, JSON,
// quoted) are found by undoing the escapes.
type form uint8

// The forms. Base64 has one for each alphabet (RFC 4648 §4, 5) and each place of
// the secret, mod 3, in what is encoded.
const (
	asItIs   form = iota
	asRunes       // JSON has no invalid UTF-8
	withPlus      // instead of spaces, as in an HTML form
	hexLower
	hexUpper
	base64Forms
	numForms = base64Forms + 6
)

// inBase64 reports whether f is found inside a longer Base64 text, which goes
// with it.
func (f form) inBase64() bool { return f >= base64Forms }

// of is v written in the form.
func (f form) of(v string) string {
	switch f {
	case asItIs:
		return v
	case asRunes:
		return string([]rune(v))
	case withPlus:
		return strings.ReplaceAll(v, " ", "+")
	case hexLower:
		return hex.EncodeToString([]byte(v))
	case hexUpper:
		return strings.ToUpper(hex.EncodeToString([]byte(v)))
	}
	core := base64Core(v, int(f-base64Forms)%3)
	if f-base64Forms >= 3 {
		core = urlAlphabet.Replace(core)
	}
	return core
}

var urlAlphabet = strings.NewReplacer("+", "-", "/", "_")

// base64Core is what v always looks like in Base64 when it begins offset bytes
// (mod 3) after the beginning of what is encoded: without the characters that
// depend on its neighbours.
func base64Core(v string, offset int) string {
	padded := append(make([]byte, offset, offset+len(v)), v...)
	coded := base64.RawStdEncoding.EncodeToString(padded)
	first := (offset*8 + 5) / 6
	last := len(padded) * 8 / 6
	return coded[first:max(first, last)]
}

// eachForm calls do with every form of v that looks different from the others.
func eachForm(v string, do func(f form, text string)) {
	var texts [numForms]string
	for f := range numForms {
		texts[f] = f.of(v)
		alike := texts[:f]
		if f.inBase64() {
			alike = texts[base64Forms:f]
		}
		if !slices.Contains(alike, texts[f]) {
			do(f, texts[f])
		}
	}
}

// leastLine is the length from which a line of a secret of several lines, such
// as a private key, is a secret of its own.
const leastLine = 16

// parts are v and those of its lines that are secrets of their own.
func parts(v string) []string {
	all := []string{v}
	if strings.ContainsRune(v, '\n') {
		for line := range strings.Lines(v) {
			line = strings.TrimSpace(line)
			if len(line) >= leastLine && !strings.HasPrefix(line, "-----") {
				all = append(all, line)
			}
		}
	}
	return all
}

// stretch extends a hit to the whole Base64 text around it: what surrounds a
// secret in "user:password" is no less secret.
func stretch(s string, hit span) span {
	for hit.from > 0 && isBase64(s[hit.from-1]) {
		hit.from--
	}
	for hit.to < len(s) && (isBase64(s[hit.to]) || s[hit.to] == '=') {
		hit.to++
	}
	return hit
}

func isBase64(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/' || c == '-' || c == '_'
}
