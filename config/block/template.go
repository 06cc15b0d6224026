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
type Template struct{ parts []Part }

// Templates are the templates of an attribute such as
// header = { X-Signature = "${signature}" }, in the order in which they are
// written. They may be constants.
type Templates []NamedTemplate

// NamedTemplate is one of [Templates].
type NamedTemplate struct {
	Name string
	*Template
}

// WriteTo writes the template. A name without a value is an error, and what
// was written before it must not be used.
func (t *Template) WriteTo(w io.Writer, s BytesSource) error {
	for i := range t.parts {
		p := t.parts[i].Literal
		if ref := t.parts[i].Ref; ref != nil {
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
	return slices.ContainsFunc(t.parts, func(p Part) bool { return p.Ref != nil && p.Ref.Name == name })
}

// Refs lists the names that t uses, in order.
func (t *Template) Refs() (refs []*Ref) {
	for _, p := range t.parts {
		if p.Ref != nil {
			refs = append(refs, p.Ref)
		}
	}
	return refs
}

// Part is a literal or a name of a template.
type Part struct {
	Literal []byte
	Ref     *Ref // nil for a literal
}

// Parts lists what t is made of, in order.
func (t *Template) Parts() []Part { return t.parts }

// ParseTemplate compiles a template without its quotes, for verifiers that are
// declared in code and for tests.
func ParseTemplate(src, scope string) (*Template, error) {
	x, diags := hclsyntax.ParseTemplate([]byte(src), "template.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	t, diags := NewContext("", NewSecrets(nil)).signed(x, scope)
	if diags.HasErrors() {
		return nil, diags
	}
	return t, nil
}

// signed compiles a template of what is signed: a constant says nothing.
func (c *Context) signed(e hcl.Expression, scope string) (*Template, hcl.Diagnostics) {
	t, diags := c.template(e, scope)
	if !diags.HasErrors() && len(t.Refs()) == 0 {
		diags = append(diags, problem("Unsupported template", "It names nothing of what is signed.", e.Range()))
	}
	return t, diags
}

// templates compiles the templates of an object.
func (c *Context) templates(e hcl.Expression, scope string) (out Templates, diags hcl.Diagnostics) {
	pairs, diags := hcl.ExprMap(e)
	for _, p := range pairs {
		key, d := c.value(p.Key)
		diags = append(diags, d...)
		t, d := c.template(p.Value, scope)
		if diags = append(diags, d...); !diags.HasErrors() {
			out = append(out, NamedTemplate{key.AsString(), t})
		}
	}
	return out, diags
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
			t.parts = append(t.parts, Part{Literal: []byte(s)})
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
			t.parts = append(t.parts, Part{Ref: ref})
		default:
			diags = append(diags, problem("Unsupported template", "What is signed is made of literals and names only; functions and operators are not byte-exact.", p.Range()))
		}
	}
	return t, diags
}
