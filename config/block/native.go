package block

import (
	"errors"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// node is a compiled expression. The forms that policies use on every request
// (names, templates, comparisons, and/or/not, conditionals) are nodes of their
// own: they allocate little, and what they do not need they do not read, so
// that response.status == 409 && response.body.code == "x" reads the body of a
// 409 only. Everything else is a generic, evaluated by HCL.
type node interface{ eval(Source) (Value, error) }

type literal struct{ v Value }

func (l literal) eval(Source) (Value, error) { return l.v, nil }

type name struct{ ref *Ref }

func (n name) eval(s Source) (Value, error) { return s.Lookup(n.ref), nil }

// text is a template. A null part is an error, as in HCL.
type textParts struct {
	parts  []node
	encode coding
}

var (
	errNull  = errors.New("a part of the text is null")
	errEmpty = errors.New("a part of the path is empty")
)

func (t *textParts) eval(s Source) (Value, error) {
	var b strings.Builder
	for _, p := range t.parts {
		v, err := p.eval(s)
		if err != nil {
			return Value{}, err
		}
		str, ok := v.Text()
		if !ok {
			return Value{}, errNull
		}
		if _, fixed := p.(literal); t.encode != asIs && !fixed {
			if str == "" && t.encode == inPath {
				return Value{}, errEmpty
			}
			str = percentEncode(str)
		}
		b.WriteString(str)
	}
	return Value{Kind: String, Str: b.String()}, nil
}

// logic is && or ||; the right side is looked at only if it matters.
type logic struct {
	l, r node
	and  bool
}

var errNotBool = errors.New("a side of && or || is not true or false")

func (n *logic) eval(s Source) (Value, error) {
	for _, side := range []node{n.l, n.r} {
		v, err := side.eval(s)
		if err != nil {
			return Value{}, err
		}
		if v.Kind != Bool {
			return Value{}, errNotBool
		}
		if v.Bool != n.and {
			return v, nil
		}
	}
	return Value{Kind: Bool, Bool: n.and}, nil
}

type not struct{ n node }

func (n not) eval(s Source) (Value, error) {
	v, err := n.n.eval(s)
	if err == nil && v.Kind != Bool {
		err = errNotBool
	}
	return Value{Kind: Bool, Bool: !v.Bool}, err
}

type comparison struct {
	l, r   node
	negate bool
}

func (c *comparison) eval(s Source) (Value, error) {
	l, err := c.l.eval(s)
	if err != nil {
		return Value{}, err
	}
	r, err := c.r.eval(s)
	return Value{Kind: Bool, Bool: equal(l, r) != c.negate}, err
}

type choice struct{ when, then, other node }

func (c *choice) eval(s Source) (Value, error) {
	v, err := c.when.eval(s)
	switch {
	case err != nil:
		return Value{}, err
	case v.Kind != Bool:
		return Value{}, errNotBool
	case v.Bool:
		return c.then.eval(s)
	}
	return c.other.eval(s)
}

// compile chooses the node for x, whose names are bound.
func (k *compiler) compile(x hclsyntax.Expression) node {
	switch x := x.(type) {
	case *hclsyntax.ParenthesesExpr:
		return k.compile(x.Expression)
	case *hclsyntax.TemplateWrapExpr:
		if k.encode != asIs {
			return &textParts{[]node{k.compile(x.Wrapped)}, k.encode}
		}
		return k.compile(x.Wrapped)
	case *hclsyntax.LiteralValueExpr:
		return literal{fromCty(x.Val)}
	case *hclsyntax.ScopeTraversalExpr:
		if r := k.found[x]; r != nil {
			return name{r}
		}
	case *hclsyntax.TemplateExpr:
		return k.template(x)
	case *hclsyntax.ConditionalExpr:
		return &choice{k.compile(x.Condition), k.compile(x.TrueResult), k.compile(x.FalseResult)}
	case *hclsyntax.UnaryOpExpr:
		if x.Op == hclsyntax.OpLogicalNot {
			return not{k.compile(x.Val)}
		}
	case *hclsyntax.BinaryOpExpr:
		switch x.Op {
		case hclsyntax.OpLogicalAnd, hclsyntax.OpLogicalOr:
			return &logic{k.compile(x.LHS), k.compile(x.RHS), x.Op == hclsyntax.OpLogicalAnd}
		case hclsyntax.OpEqual, hclsyntax.OpNotEqual:
			return fold(&comparison{k.compile(x.LHS), k.compile(x.RHS), x.Op == hclsyntax.OpNotEqual})
		}
	}
	return k.generic(x)
}

// fold evaluates a comparison of constants now.
func fold(c *comparison) node {
	_, l := c.l.(literal)
	_, r := c.r.(literal)
	if !l || !r {
		return c
	}
	v, _ := c.eval(nil)
	return literal{v}
}

// template compiles a quoted template; one of constants only is a constant.
func (k *compiler) template(x *hclsyntax.TemplateExpr) node {
	t := &textParts{encode: k.encode}
	constant := true
	for _, p := range x.Parts {
		n := k.compile(p)
		l, ok := n.(literal)
		constant = constant && ok && l.v.Kind != Null
		t.parts = append(t.parts, n)
	}
	if len(x.Parts) == 0 {
		return literal{Value{Kind: String}}
	}
	if constant && !(k.encode != asIs && len(x.Parts) > 1) {
		v, _ := (&textParts{parts: t.parts}).eval(nil)
		return literal{v}
	}
	return t
}
