package block

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Source answers the names that an expression uses. What is missing is null,
// never an error: providers leave fields out.
type Source interface{ Lookup(ref *Ref) Value }

// Expr is an expression that is evaluated per request. While loading its names
// are checked against its scope and constants are folded; at request time only
// what it names is read. It is safe for concurrent use.
type Expr struct {
	root  node
	refs  []*Ref
	text  string
	where hcl.Range
}

// Eval evaluates e. An error means that a function or operator failed.
func (e *Expr) Eval(s Source) (Value, error) { return e.root.eval(s) }

// String evaluates e to a string; false for null or a failed evaluation.
func (e *Expr) String(s Source) (string, bool) {
	v, err := e.root.eval(s)
	if err != nil {
		return "", false
	}
	return v.Text()
}

// True evaluates e as a condition: null, anything but a bool and a failed
// evaluation are false.
func (e *Expr) True(s Source) bool {
	v, err := e.root.eval(s)
	return err == nil && v.Kind == Bool && v.Bool
}

// Constant returns the value of an expression that uses no name.
func (e *Expr) Constant() (Value, bool) {
	l, ok := e.root.(literal)
	return l.v, ok
}

// Source returns the text as written.
func (e *Expr) Source() string { return e.text }

// Range is where e is written.
func (e *Expr) Range() hcl.Range { return e.where }

// Reads reports whether e uses the name, such as "response.body".
func (e *Expr) Reads(name string) bool {
	for _, r := range e.refs {
		if r.Name == name {
			return true
		}
	}
	return false
}

// Refs lists the names that e uses, each once, in the order in which they are written.
func (e *Expr) Refs() []*Ref { return e.refs }

// Literal returns an expression that yields v, whatever it is asked for.
func Literal(v Value) *Expr { return &Expr{root: literal{v}} }

// ParseExpr compiles an expression that stands alone, for tests.
func ParseExpr(src, scope string) (*Expr, error) { return parseExpr(src, scope, asIs) }

// ParseURLExpr compiles an expression of a URL or path, for defaults: what is
// interpolated is percent-encoded.
func ParseURLExpr(src, scope string) (*Expr, error) { return parseExpr(src, scope, inURL) }

// ParsePathExpr compiles an expression of a path with its query, for tests.
func ParsePathExpr(src, scope string) (*Expr, error) { return parseExpr(src, scope, inPath) }

func parseExpr(src, scope string, encode coding) (*Expr, error) {
	x, diags := hclsyntax.ParseExpression([]byte(src), "expr.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	e, diags := NewContext("test", NewSecrets(nil)).expr(x, scope, encode)
	if diags.HasErrors() {
		return nil, diags
	}
	e.text = src
	return e, nil
}

// expr compiles e for a scope.
func (c *Context) expr(e hcl.Expression, scope string, encode coding) (*Expr, hcl.Diagnostics) {
	x, ok := e.(hclsyntax.Expression)
	if !ok {
		return nil, hcl.Diagnostics{problem("Unsupported expression", "Only HCL's native syntax is supported.", e.Range())}
	}
	k := &compiler{ctx: c, scope: scope, encode: encode, found: map[*hclsyntax.ScopeTraversalExpr]*Ref{}}
	k.bind(x)
	if k.diags.HasErrors() {
		return nil, k.diags
	}
	out := &Expr{root: k.compile(x), where: e.Range(), text: c.Text(e.Range())}
	written := slices.SortedFunc(maps.Keys(k.found), func(a, b *hclsyntax.ScopeTraversalExpr) int {
		return cmp.Compare(a.SrcRange.Start.Byte, b.SrcRange.Start.Byte)
	})
	seen := map[string]bool{}
	for _, at := range written {
		if r := k.found[at]; !seen[r.String()] {
			seen[r.String()] = true
			out.refs = append(out.refs, r)
		}
	}
	if encode == inPath && !k.diags.HasErrors() {
		if why := pathProblem(out.root); why != "" {
			k.diags = append(k.diags, problem("Invalid path", why, e.Range()))
		}
	}
	return out, k.diags
}

// mustBe checks the type of a constant.
func (e *Expr) mustBe(kind string, a *hcl.Attribute) hcl.Diagnostics {
	v, ok := e.Constant()
	if ok && kind == "bool" && v.Kind != Bool {
		return hcl.Diagnostics{problem("Invalid "+a.Name, "A condition must be true or false.", a.Expr.Range())}
	}
	return nil
}

// compiler turns one HCL expression into nodes.
type compiler struct {
	ctx    *Context
	scope  string
	encode coding
	found  map[*hclsyntax.ScopeTraversalExpr]*Ref
	diags  hcl.Diagnostics
}

// bind finds every name in x and replaces it by a flat variable of its own, so
// that HCL never walks into data: what is missing below a name is null. The
// original is kept in the context, because a block may be compiled once for the
// provider and again under a route.
func (k *compiler) bind(x hclsyntax.Expression) {
	free := map[hcl.Range]bool{}
	for _, t := range x.Variables() {
		free[t.SourceRange()] = true
	}
	hclsyntax.VisitAll(x, func(n hclsyntax.Node) hcl.Diagnostics {
		v, ok := n.(*hclsyntax.ScopeTraversalExpr)
		if !ok {
			return nil
		}
		original, again := k.ctx.traversals[v]
		if !again {
			if original = v.Traversal; !free[original.SourceRange()] || original.RootName() == "environment" {
				return nil
			}
		}
		ref, d := newRef(original, k.scope)
		if d != nil {
			k.diags = append(k.diags, d)
			return nil
		}
		k.ctx.traversals[v] = original
		k.found[v] = ref
		v.Traversal = hcl.Traversal{hcl.TraverseRoot{Name: ref.String(), SrcRange: original.SourceRange()}}
		return nil
	})
}

// generic is an expression that HCL evaluates.
type generic struct {
	expr hclsyntax.Expression
	refs []*Ref
	base *hcl.EvalContext
}

func (g *generic) eval(s Source) (Value, error) {
	ctx := g.base
	if len(g.refs) > 0 {
		ctx = g.base.NewChild()
		ctx.Variables = make(map[string]cty.Value, len(g.refs))
		for _, r := range g.refs {
			ctx.Variables[r.String()] = toCty(s.Lookup(r))
		}
	}
	v, diags := g.expr.Value(ctx)
	if diags.HasErrors() {
		return Value{}, fmt.Errorf("evaluate expression: %w", errors.New(diags[0].Summary))
	}
	return fromCty(v), nil
}

// generic compiles what has no native form, and folds it if it is constant.
func (k *compiler) generic(x hclsyntax.Expression) node {
	g := &generic{expr: x, base: k.ctx.eval(x.Range().Filename, false)}
	seen := map[string]bool{}
	hclsyntax.VisitAll(x, func(n hclsyntax.Node) hcl.Diagnostics {
		if v, ok := n.(*hclsyntax.ScopeTraversalExpr); ok {
			if r := k.found[v]; r != nil && !seen[r.String()] {
				seen[r.String()] = true
				g.refs = append(g.refs, r)
			}
		}
		return nil
	})
	val, diags := k.probe(g)
	k.diags = append(k.diags, diags...)
	if len(g.refs) > 0 || diags.HasErrors() {
		return g
	}
	return literal{fromCty(val)}
}

// probe evaluates g with unknown data: it finds what can never work, such as a
// function that does not exist, and secrets where they would be given away.
func (k *compiler) probe(g *generic) (cty.Value, hcl.Diagnostics) {
	ctx := g.base.NewChild()
	ctx.Variables = map[string]cty.Value{}
	for _, r := range g.refs {
		ctx.Variables[r.String()] = cty.DynamicVal
	}
	val, diags := g.expr.Value(ctx)
	if diags.HasErrors() {
		return val, diags
	}
	if refs := references(val); len(refs) > 0 {
		return val, hcl.Diagnostics{problem("Secret in a plain place", fmt.Sprintf("%s is a secret, and what this expression yields is sent, stored or shown.", strings.Join(refs, ", ")), g.expr.Range())}
	}
	return val, nil
}
