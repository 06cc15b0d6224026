package telemetry

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
)

// forms finds all forms of all secrets in one pass.
type forms struct {
	version uint64
	empty   bool
	maybe   [1 << 10]uint64       // bit set of hashes of the heads: few texts have one
	heads   map[[4]byte][]pattern // by the first four bytes, longest first
}

// pattern is one form of one secret, of at least four bytes.
type pattern struct {
	text   string
	base64 bool // found inside a longer Base64 text, which goes with it
}

// leastForm is the length in bytes below which nothing is looked for.
const leastForm = 4

// leastLine is the length from which a line of a secret of several lines, such
// as a private key, is a secret of its own.
const leastLine = 16

func newForms(values []string, version uint64) *forms {
	f := &forms{version: version, heads: map[[4]byte][]pattern{}}
	for _, v := range values {
		f.secret(v)
		if strings.ContainsRune(v, '\n') {
			for line := range strings.Lines(v) {
				line = strings.TrimSpace(line)
				if len(line) >= leastLine && !strings.HasPrefix(line, "-----") {
					f.secret(line)
				}
			}
		}
	}
	for _, list := range f.heads {
		slices.SortFunc(list, func(a, b pattern) int { return len(b.text) - len(a.text) })
	}
	f.empty = len(f.heads) == 0
	return f
}

// secret adds the forms of one value. Escaped ones (URL, JSON, quoted) are
// found by undoing the escapes.
func (f *forms) secret(v string) {
	f.add(v, false)
	f.add(string([]rune(v)), false)               // JSON has no invalid UTF-8
	f.add(strings.ReplaceAll(v, " ", "+"), false) // in a form
	f.add(hex.EncodeToString([]byte(v)), false)
	f.add(strings.ToUpper(hex.EncodeToString([]byte(v))), false)
	for offset := range 3 {
		core := base64Core(v, offset)
		f.add(core, true)
		f.add(strings.NewReplacer("+", "-", "/", "_").Replace(core), true)
	}
}

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

func (f *forms) add(text string, base64 bool) {
	if len(text) < leastForm {
		return
	}
	head := [4]byte([]byte(text[:4]))
	if slices.Contains(f.heads[head], pattern{text, base64}) {
		return
	}
	f.heads[head] = append(f.heads[head], pattern{text, base64})
	h := hash(text[:leastForm])
	f.maybe[h>>6] |= 1 << (h & 63)
}

// hash is of the first four bytes, for maybe.
func hash(s string) uint16 {
	head := uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
	return uint16(head * 0x9e3779b1 >> 16)
}

// find appends where s holds a form.
func (f *forms) find(s string, hits []span) []span {
	for i := 0; i+leastForm <= len(s); i++ {
		h := hash(s[i : i+leastForm])
		if f.maybe[h>>6]&(1<<(h&63)) == 0 {
			continue
		}
		for _, p := range f.heads[[4]byte{s[i], s[i+1], s[i+2], s[i+3]}] {
			if !strings.HasPrefix(s[i:], p.text) {
				continue
			}
			hit := span{i, i + len(p.text)}
			if p.base64 {
				hit = stretch(s, hit)
				i = hit.to - 1
			}
			hits = append(hits, hit)
			break
		}
	}
	return hits
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
