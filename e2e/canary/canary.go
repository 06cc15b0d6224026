// Package canary finds secrets where they must not be: whole, in part, and in every form in which text is commonly
// written down.
package canary

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Secret is one value that occurs in one place only: where the test put it.
type Secret struct {
	Name  string
	Value string

	random string // the part that no other secret shares
}

// New makes a secret of prefix, 26 random letters and digits, and suffix. A suffix such as `"<&%+/\` tells the forms
// apart; it must be fit for where the secret goes.
func New(name, prefix, suffix string) Secret {
	random := rand.Text()
	return Secret{Name: name, Value: prefix + random + suffix, random: random}
}

// Known makes a secret of a value that could not be chosen, such as a line of a private key, of at least 26 characters.
func Known(name, value string) Secret { return Secret{Name: name, Value: value, random: value} }

// Hit is a secret found.
type Hit struct {
	Secret, Form, Place string
	Around              string // what stands beside it, the secret itself left out
}

// String describes the hit without repeating the secret.
func (h Hit) String() string {
	return fmt.Sprintf("%s found %s in %s, after %q", h.Secret, h.Form, h.Place, h.Around)
}

// Scan looks for every secret in text.
func Scan(place string, text []byte, secrets ...Secret) []Hit {
	var hits []Hit
	for _, s := range secrets {
		forms := s.Forms()
		for _, form := range slices.Sorted(maps.Keys(forms)) {
			for _, needle := range forms[form] {
				i := bytes.Index(text, []byte(needle))
				if i < 0 {
					continue
				}
				hits = append(hits, Hit{Secret: s.Name, Form: form, Place: place, Around: string(text[max(0, i-60):i])})
				break
			}
		}
	}
	return hits
}

// Forms returns the texts to look for, by the name of the form.
func (s Secret) Forms() map[string][]string {
	v := s.Value
	return map[string][]string{
		"raw":         {v},
		"in part":     {s.random[:13], s.random[13:]},
		"hexadecimal": {hex.EncodeToString([]byte(s.random)), strings.ToUpper(hex.EncodeToString([]byte(s.random)))},
		"base64":      base64Forms(v),
		"URL-encoded": {url.QueryEscape(v), url.PathEscape(v), percentAll(s.random)},
		"JSON":        {jsonText(v, true), jsonText(v, false), utf16Escapes(s.random)},
		"Go-quoted":   {trimQuotes(strconv.Quote(v)), trimQuotes(strconv.QuoteToASCII(v))},
		"HTML":        {html.EscapeString(v)},
		"reversed":    {reverse(s.random)},
		"UTF-16":      {spread(s.random)},
	}
}

// base64Forms returns what the value looks like inside the base64 of a longer text, at each of the three alignments
// and in both alphabets, its uncertain ends left out.
func base64Forms(v string) []string {
	var out []string
	for lead := range 3 {
		b := append(make([]byte, lead), v...)
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := enc.EncodeToString(b)
			from := []int{0, 2, 3}[lead]
			to := len(text)
			if len(b)%3 != 0 {
				to--
			}
			out = append(out, text[from:to])
		}
	}
	return out
}

func jsonText(v string, escapeHTML bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(escapeHTML)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return trimQuotes(strings.TrimSpace(b.String()))
}

func utf16Escapes(v string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(v)) {
		fmt.Fprintf(&b, "\\u%04x", u)
	}
	return b.String()
}

func percentAll(v string) string {
	var b strings.Builder
	for _, c := range []byte(v) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func trimQuotes(s string) string { return s[1 : len(s)-1] }

func reverse(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

func spread(s string) string { return strings.Join(strings.Split(s, ""), "\x00") }
