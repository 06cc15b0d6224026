package telemetry

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A view is a text with its escapes undone: those of URLs (%41), and those of
// JSON and of Go and its relatives (\u0041, \x41, \n, \").
type view struct {
	text []byte
	at   []int32 // at[i] is where, in the original, what text[i] stands for begins; one more for the end
}

// maxRounds is how many escapings inside each other are undone.
const maxRounds = 4

// findEscaped appends where s holds a form that is escaped. Where both kinds of
// escapes stand, they are undone one after the other as well: what looks like
// one of the other kind may be the secret's own.
func (r *Redactor) findEscaped(s string, hits []span) []span {
	v := view{text: []byte(s), at: make([]int32, len(s)+1)}
	for i := range v.at {
		v.at[i] = int32(i)
	}
	hits = r.findUndoing(v, `%\`, "", maxRounds, hits)
	if strings.Contains(s, "%") && strings.Contains(s, `\`) || strings.Contains(s, "%5") {
		hits = r.findUndoing(v, "%", `\`, maxRounds, hits)
		hits = r.findUndoing(v, `\`, "%", maxRounds, hits)
	}
	return hits
}

// findUndoing appends where v holds a form when escapes that begin with one of
// marks are undone up to so many rounds, and after each of them those of then.
func (r *Redactor) findUndoing(v view, marks, then string, rounds int, hits []span) []span {
	for ; rounds > 0; rounds-- {
		next, changed := v.undo(marks)
		if !changed {
			break
		}
		v = next
		for _, h := range r.find(string(v.text), nil) {
			for h.to < len(v.text) && v.at[h.to] == v.at[h.to-1] {
				h.to++ // a whole escape, not a part of what it stands for
			}
			hits = append(hits, span{int(v.at[h.from]), int(v.at[h.to])})
		}
		if then != "" {
			hits = r.findUndoing(v, then, "", rounds-1, hits)
		}
	}
	return hits
}

// undo undoes one level of escapes that begin with one of marks.
func (v view) undo(marks string) (out view, changed bool) {
	out = view{make([]byte, 0, len(v.text)), make([]int32, 0, len(v.at))}
	for i := 0; i < len(v.text); {
		var char []byte
		n := 1
		if strings.IndexByte(marks, v.text[i]) >= 0 {
			char, n = unescape(v.text[i:])
		}
		changed = changed || n > 1
		before := len(out.text)
		if n == 1 {
			out.text = append(out.text, v.text[i])
		} else {
			out.text = append(out.text, char...)
		}
		for range len(out.text) - before {
			out.at = append(out.at, v.at[i])
		}
		i += n
	}
	out.at = append(out.at, v.at[len(v.text)])
	return out, changed
}

// unescape reads one escape, and how long it is; 1 if there is none.
func unescape(s []byte) (char []byte, n int) {
	if len(s) < 2 || s[0] != '%' && s[0] != '\\' {
		return nil, 1
	}
	if s[0] == '%' {
		return hexByte(s, 1)
	}
	switch s[1] {
	case 'x':
		return hexByte(s, 2)
	case 'u':
		return codeUnit(s)
	case 'U':
		return codePoint(s)
	case 'n':
		return []byte{'\n'}, 2
	case 'r':
		return []byte{'\r'}, 2
	case 't':
		return []byte{'\t'}, 2
	case 'b':
		return []byte{'\b'}, 2
	case 'f':
		return []byte{'\f'}, 2
	case 'a':
		return []byte{'\a'}, 2
	case 'v':
		return []byte{'\v'}, 2
	case '"', '\'', '\\', '/':
		return s[1:2], 2
	}
	return nil, 1
}

// hexByte reads a byte written as two hex digits after skip bytes.
func hexByte(s []byte, skip int) ([]byte, int) {
	if len(s) < skip+2 {
		return nil, 1
	}
	c, err := strconv.ParseUint(string(s[skip:skip+2]), 16, 8)
	if err != nil {
		return nil, 1
	}
	return []byte{byte(c)}, skip + 2
}

// codePoint reads \UXXXXXXXX.
func codePoint(s []byte) ([]byte, int) {
	if len(s) < 10 {
		return nil, 1
	}
	c, err := strconv.ParseUint(string(s[2:10]), 16, 32)
	if err != nil || c > utf8.MaxRune {
		return nil, 1
	}
	return utf8.AppendRune(nil, rune(c)), 10
}

// codeUnit reads \uXXXX, or two of them that are one character.
func codeUnit(s []byte) ([]byte, int) {
	c, ok := hex4(s)
	if !ok {
		return nil, 1
	}
	if utf16.IsSurrogate(c) {
		low, ok := hex4(s[6:])
		if pair := utf16.DecodeRune(c, low); ok && pair != utf8.RuneError {
			return utf8.AppendRune(nil, pair), 12
		}
	}
	return utf8.AppendRune(nil, c), 6
}

func hex4(s []byte) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	c, err := strconv.ParseUint(string(s[2:6]), 16, 16)
	return rune(c), err == nil
}
