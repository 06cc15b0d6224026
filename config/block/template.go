package block

import (
	"fmt"
	"io"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// BytesSource answers the names of a [Template] with the very bytes that were
// received; false if there are none.
type BytesSource interface{ Bytes(ref *Ref) ([]byte, bool) }

// Template is a text of literals and plain names, written byte for byte: what
// is signed or verified never passes through HCL's strings, which are
// NFC-normalised, so that valid signatures would break and distinct bodies look
// alike.
type Template struct {
	parts []part
}

type part struct {
	literal []byte
	ref     *Ref // nil for a literal
}

// WriteTo writes the template. A name without a value is an error, and what
// was written before it must not be used.
func (t *Template) WriteTo(w io.Writer, s BytesSource) error {
	for i := range t.parts {
		p := t.parts[i].literal
		if ref := t.parts[i].ref; ref != nil {
			var ok bool
			if p, ok = s.Bytes(ref); !ok {
				return fmt.Errorf("%s is missing", ref.Name)
			}
		}
		if _, err := w.Write(p); err != nil {
			return fmt.Errorf("write template: %w", err)
		}
	}
	return nil
}

// Reads reports whether t uses the name.
func (t *Template) Reads(name string) bool {
	for _, p := range t.parts {
		if p.ref != nil && p.ref.Name == name {
			return true
		}
	}
	return false
}

// ParseTemplate compiles a template without its quotes, for verifiers that are
// declared in code and for tests.
func ParseTemplate(src, scope string) (*Template, error) {
	x, diags := hclsyntax.ParseTemplate([]byte(src), "template.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	t, diags := NewContext("", NewSecrets(nil)).template(x, scope)
	if diags.HasErrors() {
		return nil, diags
	}
	return t, nil
}

func (c *Context) template(e hcl.Expression, scope string) (*Template, hcl.Diagnostics) {
	var parts []hclsyntax.Expression
	switch x := e.(type) {
	case *hclsyntax.TemplateExpr:
		parts = x.Parts
	case *hclsyntax.TemplateWrapExpr:
		parts = []hclsyntax.Expression{x.Wrapped}
	case *hclsyntax.ScopeTraversalExpr:
		parts = []hclsyntax.Expression{x}
	}
	if len(parts) == 0 {
		return nil, hcl.Diagnostics{problem("Unsupported template", `Expected a text of literals and names, such as "${timestamp}.${raw_body}".`, e.Range())}
	}
	t := &Template{}
	var diags hcl.Diagnostics
	for _, p := range parts {
		switch p := p.(type) {
		case *hclsyntax.LiteralValueExpr:
			s, _ := fromCty(p.Val).Text()
			for _, b := range []byte(s) {
				if b >= 0x80 {
					diags = append(diags, problem("Unsupported template", "Literal text in what is signed must be ASCII.", p.Range()))
					break
				}
			}
			t.parts = append(t.parts, part{literal: []byte(s)})
		case *hclsyntax.ScopeTraversalExpr:
			original, again := c.traversals[p]
			if !again {
				original = p.Traversal
			}
			ref, d := newRef(original, scope)
			if d != nil {
				diags = append(diags, d)
				continue
			}
			t.parts = append(t.parts, part{ref: ref})
		default:
			diags = append(diags, problem("Unsupported template", "What is signed is made of literals and names only; functions and operators are not byte-exact.", p.Range()))
		}
	}
	if !diags.HasErrors() && !slices.ContainsFunc(t.parts, func(p part) bool { return p.ref != nil }) {
		diags = append(diags, problem("Unsupported template", "It names nothing of what is signed.", e.Range()))
	}
	return t, diags
}
