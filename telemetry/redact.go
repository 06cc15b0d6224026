package telemetry

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Secrets knows every secret value that was ever given out. Version grows
// whenever the list does.
type Secrets interface {
	Values() (values []string, version uint64)
	Version() uint64
}

// mask is what stands where a secret stood.
const mask = "[redacted]"

// A Redactor removes secrets from text: by value first, in whatever form it is
// written (pitfall P52), then by the name in front of it.
type Redactor struct {
	secrets Secrets
	known   atomic.Pointer[forms]
	mu      sync.Mutex // held while known is made anew
}

// NewRedactor returns a redactor of secrets; nil stands for none.
func NewRedactor(s Secrets) *Redactor { return &Redactor{secrets: s} }

// Text returns s without secrets. It allocates nothing if there are none and s
// has no escapes.
func (r *Redactor) Text(s string) string { return r.text(s, marksOf(s)) }

func (r *Redactor) text(s string, m marks) string {
	if f := r.forms(); f != nil {
		s = f.mask(s, m&escaped != 0)
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

// forms are those of the values known by now.
func (r *Redactor) forms() *forms {
	if r == nil || r.secrets == nil {
		return nil
	}
	f := r.known.Load()
	if f != nil && f.version == r.secrets.Version() {
		return f
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if f = r.known.Load(); f == nil || f.version != r.secrets.Version() {
		f = newForms(r.secrets.Values())
		r.known.Store(f)
	}
	return f
}

// span is a part of a string.
type span struct{ from, to int }

// mask replaces every form of every secret in s, however it is escaped.
func (f *forms) mask(s string, escaped bool) string {
	if f.empty {
		return s
	}
	hits := f.find(s, nil)
	if escaped {
		hits = f.findEscaped(s, hits)
	}
	if hits == nil {
		return s
	}
	return cut(s, hits)
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
