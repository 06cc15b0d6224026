package inbound

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound/schema"
)

// Schema is a schema block: what events whose types match a pattern have to fit.
type Schema struct {
	Pattern string     `hcl:"type,label"`
	Range   hcl.Range  `hcl:",def_range"`
	File    string     `hcl:"file"`             // relative to the file of the block
	Mode    SchemaMode `hcl:"mode,optional"`    // what becomes of a misfit
	Formats bool       `hcl:"formats,optional"` // a format that does not hold is a misfit

	schema *schema.Schema
}

// SchemaMode is what becomes of an event that does not fit.
type SchemaMode string

// The modes.
const (
	Quarantine SchemaMode = "quarantine" // acknowledged and kept, not delivered
	Observe    SchemaMode = "observe"    // delivered, counted and logged
)

// UnmarshalText accepts quarantine and observe.
func (m *SchemaMode) UnmarshalText(text []byte) error {
	switch v := SchemaMode(text); v {
	case Quarantine, Observe:
		*m = v
		return nil
	}
	return fmt.Errorf("unknown mode %q: use quarantine or observe", text)
}

// Default sets the mode.
func (s *Schema) Default() { s.Mode = Quarantine }

// Check implements [block.Checker].
func (s *Schema) Check() error {
	if s.File == "" {
		return block.At("file", "file must name a file with a JSON Schema")
	}
	parts := strings.Split(s.Pattern, ".")
	for i, p := range parts {
		if p == "" || strings.Contains(p, "**") && (p != "**" || i < len(parts)-1) {
			return errors.New("the type of a schema is names with dots between them; * stands for anything within one of them, and ** as the last for all that follow")
		}
	}
	return nil
}

// readSchemas compiles the schemas of w; body is its block.
func (w *Webhook) readSchemas(ctx *block.Context, body *hclsyntax.Body) (diags hcl.Diagnostics) {
	seen := map[string]*Schema{}
	for _, s := range w.Schema {
		at := s.Range
		for _, b := range body.Blocks {
			if a := b.Body.Attributes["file"]; a != nil && b.DefRange() == s.Range {
				at = a.Expr.Range()
			}
		}
		refuse := func(format string, args ...any) {
			diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Invalid schema", Detail: block.Sentence(fmt.Sprintf(format, args...)), Subject: &at})
		}
		if first := seen[s.Pattern]; first != nil {
			refuse("there is another schema for %q at %s", s.Pattern, first.Range)
			continue
		}
		seen[s.Pattern] = s
		if s.File == "" { // said already
			continue
		}
		name := s.File
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(at.Filename), name)
		}
		var err error
		if s.schema, err = schema.Compile(name, schema.Options{Read: ctx.ReadFile, Formats: s.Formats}); err != nil {
			refuse("schema %v", err)
		}
	}
	slices.SortStableFunc(w.Schema, func(a, b *Schema) int { return cmp.Compare(literal(b.Pattern), literal(a.Pattern)) })
	return diags
}

// literal says how specific a pattern is: by what of it is written out, and one
// without wildcards before all others.
func literal(pattern string) int {
	if !strings.Contains(pattern, "*") {
		return 1 << 20
	}
	n := 2 * (len(pattern) - strings.Count(pattern, "*"))
	if strings.HasSuffix(pattern, "**") {
		n--
	}
	return n
}

// matches reports whether a type is one of a pattern: dot by dot, a * standing
// for anything within one part, and ** for all parts that follow.
func matches(pattern, kind string) bool {
	if pattern == "**" {
		return true
	}
	p, restP, moreP := strings.Cut(pattern, ".")
	k, restK, moreK := strings.Cut(kind, ".")
	return moreP == moreK && glob(p, k) && (!moreP || matches(restP, restK))
}

// glob matches one part.
func glob(pattern, s string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == s
	}
	if !strings.HasPrefix(s, first) {
		return false
	}
	s = s[len(first):]
	for {
		part, more, again := strings.Cut(rest, "*")
		if !again {
			return strings.HasSuffix(s, part)
		}
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(part):], more
	}
}

// schemaFor is the most specific schema for a type, nil if there is none.
func (w *Webhook) schemaFor(kind string) *Schema {
	for _, s := range w.Schema {
		if matches(s.Pattern, kind) {
			return s
		}
	}
	return nil
}

// misfit says what of the event does not fit the schema for its type; nil if it
// fits or there is none.
func (w *Webhook) misfit(e *Event) (*schema.Misfit, *Schema) {
	s := w.schemaFor(e.Type)
	if s == nil {
		return nil, nil
	}
	if code := e.Header.Get("Content-Encoding"); code != "" && !strings.EqualFold(code, "identity") {
		return s.schema.Refuse("encoded, so that it cannot be read"), s
	}
	return s.schema.Judge(e.Body), s
}

// hold takes note of what of the event of a does not fit, and holds it back
// unless its misfit is only to be observed.
func (w *Webhook) hold(a *Arrival) {
	m, s := w.misfit(a.Event)
	if m == nil {
		return
	}
	a.Event.Misfit, a.Misfit = m.Fingerprint, s.reason(m)
	if s.Mode == Observe {
		return
	}
	quarantine(a.To, a.Misfit)
}

// quarantine holds back the deliveries that would be made: those for which an event
// is not meant stay ignored.
func quarantine(to []Placement, why string) {
	for i := range to {
		if p := &to[i]; p.State == "" || p.State == Received {
			p.State, p.Reason = Quarantined, why
		}
	}
}

func (s *Schema) reason(m *schema.Misfit) string {
	return "does not fit " + filepath.Base(s.File) + ": " + m.String()
}

// tellMisfit tells of an event that was stored and does not fit.
func (in *Inbox) tellMisfit(a *Arrival) {
	if a.Misfit == "" {
		return
	}
	e := a.Event
	in.opt.Observer.misfit(Misfit{
		Event: a.ID, Webhook: e.Webhook, Type: e.Type, Fingerprint: e.Misfit, Reason: a.Misfit,
		Held: slices.ContainsFunc(a.To, func(p Placement) bool { return p.State == Quarantined }),
	})
}
