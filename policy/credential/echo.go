package credential

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// shortest is the length below which a value is not looked for: it would be
// found by chance.
const shortest = 8

// echo is what to look for in answers: the ways in which injected values may
// come back. It does not change, and may be used by many calls at once: whoever
// keeps values for a while, such as access tokens, keeps their echo beside them.
type echo struct {
	forms [][]byte // the longest first
}

func newEcho(values ...string) *echo {
	e := new(echo)
	for _, v := range values {
		if len(v) < shortest {
			continue
		}
		e.add(v)
		if strings.ContainsFunc(v, rewritten) {
			e.rewrite(v)
		}
		e.add(hex.EncodeToString([]byte(v)))
		e.add(strings.ToUpper(hex.EncodeToString([]byte(v))))
		e.add64(base64.RawStdEncoding.EncodeToString([]byte(v)))
		for offset := range 3 {
			e.add64(base64Core(v, offset))
		}
	}
	slices.SortStableFunc(e.forms, func(a, b []byte) int { return len(b) - len(a) })
	return e
}

// rewritten reports whether c is written in many ways: encoded, escaped,
// replaced by a dot or a question mark.
func rewritten(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~')
}

// rewrite adds the ways to write a value that has such characters.
func (e *echo) rewrite(v string) {
	for _, coded := range []string{url.QueryEscape(v), url.PathEscape(v)} {
		e.add(coded)
		e.add(lowerEscapes(coded))
	}
	for _, text := range inJSON(v) {
		e.add(text)
		for _, twice := range inJSON(text) { // a JSON body that is repeated in a JSON message
			e.add(twice)
		}
	}
	for _, run := range strings.FieldsFunc(v, rewritten) {
		if len(run) >= 2*shortest { // long enough to be the secret, whatever became of the rest
			e.add(run)
		}
	}
}

func (e *echo) add(s string) {
	f := []byte(s)
	if len(f) >= shortest && !slices.ContainsFunc(e.forms, func(g []byte) bool { return bytes.Equal(f, g) }) {
		e.forms = append(e.forms, f)
	}
}

// add64 adds a Base64 text in both alphabets (RFC 4648 §4, 5).
func (e *echo) add64(s string) {
	e.add(s)
	if strings.ContainsAny(s, "+/") {
		e.add(urlAlphabet.Replace(s))
	}
}

var urlAlphabet = strings.NewReplacer("+", "-", "/", "_")

// base64Core is what v always looks like in Base64 when it begins offset bytes
// (mod 3) after the beginning of what is encoded: without the characters that
// depend on its neighbours.
func base64Core(v string, offset int) string {
	coded := base64.RawStdEncoding.EncodeToString(append(make([]byte, offset, offset+len(v)), v...))
	return coded[(offset*8+5)/6 : (offset+len(v))*8/6]
}

// lowerEscapes writes %2f for %2F.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// inJSON are the ways to write v inside a JSON string: with and without the
// escapes for HTML, and with that of the slash.
func inJSON(v string) []string {
	html, _ := json.Marshal(v) // a string has no failure
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
	bare := strings.TrimSuffix(b.String(), "\n")
	bare = bare[1 : len(bare)-1]
	return []string{string(html[1 : len(html)-1]), bare, strings.ReplaceAll(bare, "/", `\/`)}
}

// in reports whether p holds one of the forms.
func (e *echo) in(p []byte) bool {
	return slices.ContainsFunc(e.forms, func(f []byte) bool { return bytes.Contains(p, f) })
}

// clean is s without the forms. It is s itself if there is none in it.
func (e *echo) clean(s string) (cleaned string, found bool) {
	if len(s) < shortest {
		return s, false
	}
	p := append(make([]byte, 0, 256), s...) // most are short, and need no memory
	if !e.replace(p) {
		return s, false
	}
	return string(p), true
}

// replace overwrites every occurrence in p by asterisks.
func (e *echo) replace(p []byte) (found bool) {
	for _, f := range e.forms {
		for at := 0; ; {
			i := bytes.Index(p[at:], f)
			if i < 0 {
				break
			}
			for j := range f {
				p[at+i+j] = '*'
			}
			at += i + len(f)
			found = true
		}
	}
	return found
}

// fields masks the values of headers or trailers. Lists of values that others
// may hold are replaced, not written into.
func (e *echo) fields(h http.Header) (found bool) {
	for name, lines := range h {
		var clean []string
		for i, line := range lines {
			text, hit := e.clean(line)
			if hit && clean == nil {
				clean = slices.Clone(lines)
			}
			if hit {
				clean[i] = text
			}
		}
		if clean != nil {
			h[name], found = clean, true
		}
	}
	return found
}

// tail is the length of the longest end of p that is the beginning of a form.
func (e *echo) tail(p []byte) int {
	longest := 0
	for _, f := range e.forms {
		for at := max(0, len(p)-len(f)+1); len(p)-at > longest; at++ {
			i := bytes.IndexByte(p[at:], f[0])
			if i < 0 {
				break
			}
			if at += i; bytes.HasPrefix(f, p[at:]) {
				longest = max(longest, len(p)-at)
				break
			}
		}
	}
	return longest
}
