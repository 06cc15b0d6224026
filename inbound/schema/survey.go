package schema

import (
	"encoding/json"
	"math/bits"
	"strconv"
	"unicode/utf8"

	"github.com/postern-proxy/postern/config/block"
)

// What a text may be. Longer numbers are no data that an application could use: the
// parsers that it has refuse them too.
const (
	maxDigits   = 1000
	maxExponent = 1000
)

// A text costs what is built of it to be judged. That may be at most nine times
// its size, a tenth being the text itself; small ones always may cost floor.
const (
	factor = 9
	floor  = 4 << 20
)

// What is built costs about this, in bytes.
const (
	costSlot   = 16            // an element of an array, or a boxed text
	costMap    = 48            // an object
	costGroup  = 8*(16+16) + 8 // eight of its members
	costRefuse = 96            // an element that does not fit, while nobody asks where
	costTell   = 640           // a value that does not fit, when it is said where
)

// survey is what was found in a text.
type survey struct {
	values int   // of any kind
	cost   int   // of building it and judging it
	counts []int // of the members of each array and object that has any, in the order in which they begin
	kind   string
}

// look surveys a text, and builds nothing. s.kind says why it is not to be
// judged, "" if it is.
func look(body []byte) (s survey) {
	switch {
	case !utf8.Valid(body):
		s.kind = "not UTF-8"
	case block.TooDeep(body):
		s.kind = kindComplex
	case !json.Valid(body):
		s.kind = "not JSON"
	case !s.walk(body):
		s.kind = kindComplex
	}
	return s
}

// kindComplex is the kind of a text that would cost too much.
const kindComplex = "too complex"

func limit(body []byte) int { return max(factor*len(body), floor) }

// walk counts what a valid text holds; false if that is too much.
func (s *survey) walk(body []byte) bool {
	s.cost = len(body) // it is copied once
	w := &walker{survey: s, text: body, most: limit(body)}
	w.value(false)
	return !w.over
}

// walker goes through a text that is known to be valid, and not too deep.
type walker struct {
	*survey
	text []byte
	at   int
	most int
	over bool
}

// space passes over white space and what stands between values.
func (w *walker) space() byte {
	for w.at < len(w.text) {
		switch c := w.text[w.at]; c {
		case ' ', '\t', '\r', '\n', ',', ':':
			w.at++
		default:
			return c
		}
	}
	return 0
}

// value passes over one value; listed says that it is an element of an array.
func (w *walker) value(listed bool) {
	w.values++
	if listed {
		w.cost += costSlot + costRefuse
	}
	switch c := w.space(); c {
	case '{', '[':
		w.at++
		w.many(c == '{')
	case '"':
		w.at = pastString(w.text, w.at)
		w.cost += costSlot
	default:
		from := w.at
		w.at = pastToken(w.text, from)
		if c == '-' || '0' <= c && c <= '9' {
			w.cost += costSlot
			w.over = w.over || !reasonable(w.text[from:w.at])
		}
	}
	w.over = w.over || w.cost > w.most
}

// many passes over the members of an array or object that has begun.
func (w *walker) many(object bool) {
	n, place := 0, -1
	for c := w.space(); c != '}' && c != ']' && !w.over; c = w.space() {
		if place < 0 {
			place = len(w.counts)
			w.counts = append(w.counts, 0)
			w.cost += 3 * 8 // the list of counts grows
		}
		if object {
			w.at = pastString(w.text, w.at)
		}
		w.value(!object)
		n++
	}
	w.at++
	if place < 0 {
		return
	}
	w.counts[place] = n
	if object {
		w.cost += costMap + costGroup*groups(n)
	} else {
		w.cost += costSlot + costSlot/2 // the array itself, boxed
	}
}

// groups is how many groups of eight a map of n members has: a power of two,
// filled to seven eighths at most.
func groups(n int) int {
	if n <= 8 {
		return 1
	}
	return 1 << bits.Len(uint((n*8/7+7)/8-1))
}

// pastString is where the string that begins at from has ended.
func pastString(text []byte, from int) int {
	for i := from + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// pastToken is where the number or word that begins at from has ended.
func pastToken(text []byte, from int) int {
	for i := from; i < len(text); i++ {
		switch text[i] {
		case ',', ']', '}', ' ', '\t', '\r', '\n':
			return i
		}
	}
	return len(text)
}

// reasonable reports whether a number can be compared at little cost.
func reasonable(number []byte) bool {
	mantissa, exponent := number, ""
	for i, c := range number {
		if c == 'e' || c == 'E' {
			mantissa, exponent = number[:i], string(number[i+1:])
		}
	}
	if len(mantissa) > maxDigits {
		return false
	}
	if exponent == "" {
		return true
	}
	n, err := strconv.Atoi(exponent)
	return err == nil && -maxExponent <= n && n <= maxExponent
}
