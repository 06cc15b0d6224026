package schema

import "encoding/json"

// builder makes of a text that was surveyed what a schema is compared with. Each
// array and object is made at the size that it will have.
type builder struct {
	text   string
	at     int
	counts []int
	path   []string // of the value that is built; elements of arrays are *
	twice  [][]string
}

var (
	noMembers  = map[string]any{} // shared: nobody writes to it
	noElements = []any{}
)

// build makes the value of body, and tells the objects that have a name twice.
func build(body []byte, s *survey) (v any, twice [][]string) {
	b := &builder{text: string(body), counts: s.counts}
	v = b.value()
	return v, b.twice
}

func (b *builder) space() byte {
	for b.at < len(b.text) {
		switch c := b.text[b.at]; c {
		case ' ', '\t', '\r', '\n', ',', ':':
			b.at++
		default:
			return c
		}
	}
	return 0
}

func (b *builder) value() any {
	switch c := b.space(); c {
	case '{':
		b.at++
		return b.object()
	case '[':
		b.at++
		return b.array()
	case '"':
		return b.str()
	default:
		from := b.at
		for b.at < len(b.text) && !ends(b.text[b.at]) {
			b.at++
		}
		switch c {
		case 't':
			return true
		case 'f':
			return false
		case 'n':
			return nil
		}
		return json.Number(b.text[from:b.at])
	}
}

func ends(c byte) bool {
	switch c {
	case ',', ']', '}', ' ', '\t', '\r', '\n':
		return true
	}
	return false
}

func (b *builder) object() any {
	if b.space() == '}' {
		b.at++
		return noMembers
	}
	n := b.counts[0]
	b.counts = b.counts[1:]
	m := make(map[string]any, n)
	for b.space() != '}' {
		name := b.str()
		b.path = append(b.path, name)
		if _, known := m[name]; known && len(b.twice) < maxPlaces {
			b.twice = append(b.twice, append([]string(nil), b.path...))
		}
		m[name] = b.value()
		b.path = b.path[:len(b.path)-1]
	}
	b.at++
	return m
}

func (b *builder) array() any {
	if b.space() == ']' {
		b.at++
		return noElements
	}
	n := b.counts[0]
	b.counts = b.counts[1:]
	list := make([]any, 0, n)
	b.path = append(b.path, anyIndex)
	for b.space() != ']' {
		list = append(list, b.value())
	}
	b.path = b.path[:len(b.path)-1]
	b.at++
	return list
}

// str is the string that begins here. A lone surrogate is U+FFFD, as it is for
// whoever reads the text in Go.
func (b *builder) str() string {
	from, escaped := b.at, false
	for b.at++; b.text[b.at] != '"'; b.at++ {
		if b.text[b.at] == '\\' {
			escaped = true
			b.at++
		}
	}
	b.at++
	if !escaped {
		return b.text[from+1 : b.at-1]
	}
	var s string
	_ = json.Unmarshal([]byte(b.text[from:b.at]), &s) // valid, as the whole text is
	return s
}
