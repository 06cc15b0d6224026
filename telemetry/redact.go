package telemetry

import (
	"cmp"
	"slices"
	"strings"
)

// Secrets knows the values that must not be seen. Watch calls learn with every
// one, those known by now before it returns, and forget when one need not be
// looked for any more, one call at a time.
type Secrets interface {
	Watch(learn, forget func(value string))
}

// mask is what stands where a secret stood.
const mask = "[redacted]"

// A Redactor removes secrets from text: by value first, in whatever form it is
// written (pitfall P52), then by the name in front of it. What becomes known
// while a text is looked at may still be in it.
type Redactor struct {
	long  endings // forms of eight bytes and more
	short endings // of four to seven; shorter ones are not looked for
}

// NewRedactor returns a redactor of secrets; nil stands for none.
func NewRedactor(s Secrets) *Redactor {
	r := &Redactor{long: endings{width: 8}, short: endings{width: 4}}
	if s != nil {
		s.Watch(r.learn, r.forget)
	}
	return r
}

// learn has the forms of v looked for.
func (r *Redactor) learn(v string) { r.each(v, (*endings).add) }

// forget undoes one learn of v.
func (r *Redactor) forget(v string) { r.each(v, (*endings).remove) }

func (r *Redactor) each(v string, do func(e *endings, end string, of written)) {
	for _, part := range parts(v) {
		eachForm(part, func(f form, text string) {
			for _, e := range []*endings{&r.long, &r.short} {
				if len(text) >= e.width {
					do(e, text[len(text)-e.width:], written{part, f})
					break
				}
			}
		})
	}
}

// Text returns s without secrets. It allocates nothing if there are none and s
// has no escapes.
func (r *Redactor) Text(s string) string { return r.text(s, marksOf(s)) }

func (r *Redactor) text(s string, m marks) string {
	if r != nil {
		s = r.mask(s, m&escaped != 0)
	}
	if m&naming != 0 {
		s = maskNamed(s)
	}
	return s
}

// marks say which bytes a text has that need a closer look.
type marks uint8

const (
	escaped marks = 1 << iota // an escape begins with it
	naming                    // it may stand between a name and its value
	quote                     // it is escaped in JSON
	odd                       // not printable ASCII
)

var markOf = [256]marks{'%': escaped, '\\': escaped | quote, '"': quote, '=': naming, ':': naming}

func marksOf(s string) (m marks) {
	for i := range len(s) {
		c := s[i]
		m |= markOf[c]
		if c < ' ' || c > '~' {
			m |= odd
		}
	}
	return m
}

// span is a part of a string.
type span struct{ from, to int }

// mask replaces every form of every secret in s, however it is escaped.
func (r *Redactor) mask(s string, escaped bool) string {
	hits := r.find(s, nil)
	if escaped {
		hits = r.findEscaped(s, hits)
	}
	if hits == nil {
		return s
	}
	return cut(s, hits)
}

// find appends where s holds a form.
func (r *Redactor) find(s string, hits []span) []span {
	return r.short.find(s, r.long.find(s, hits))
}

// cut puts the mask in place of the spans.
func cut(s string, spans []span) string {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(a.from-b.from, b.to-a.to) })
	var b strings.Builder
	done := 0
	for _, sp := range spans {
		if sp.to <= done {
			continue
		}
		if sp.from >= done {
			b.WriteString(s[done:sp.from])
			b.WriteString(mask)
		}
		done = sp.to
	}
	b.WriteString(s[done:])
	return b.String()
}
