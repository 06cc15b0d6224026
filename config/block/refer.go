package block

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// reference names a secret. It is also the mark that values derived from it carry.
type reference struct {
	kind, name string
	hasDefault bool
	fallback   string
	command    command // of kind "command"
}

func (r reference) String() string { return "[secret " + r.kind + ":" + r.name + "]" }

// references lists the references that a value was made from, as they are
// printed, in order.
func references(v cty.Value) (refs []string) { return printed(referencesIn(v)) }

func referencesIn(v cty.Value) (refs []reference) {
	_, marks := v.UnmarkDeep()
	for m := range marks {
		if r, ok := m.(reference); ok {
			refs = append(refs, r)
		}
	}
	slices.SortFunc(refs, func(a, b reference) int { return strings.Compare(a.String(), b.String()) })
	return refs
}

func printed(refs []reference) (out []string) {
	for _, r := range refs {
		out = append(out, r.String())
	}
	return slices.Compact(out)
}

// secret reads an expression that must come from references; where literals
// are allowed (a user name), one is taken as it is. Of a conditional that is
// decided by now, such as one about `environment`, both sides are checked, and
// one is the secret.
func (c *Context) secret(e hcl.Expression, literal bool) (Secret, hcl.Diagnostics) {
	if chosen, other := c.decided(e); chosen != nil {
		before := len(c.secrets)
		_, diags := c.secret(other, literal)
		c.secrets = c.secrets[:before]
		s, more := c.secret(chosen, literal)
		return s, append(diags, more...)
	}
	val, diags := e.Value(c.eval(e.Range().Filename, false))
	if diags.HasErrors() {
		return Secret{}, diags
	}
	from := referencesIn(val)
	unmarked, _ := val.Unmark()
	switch {
	case len(from) == 0 && literal && unmarked.IsKnown() && unmarked.Type() == cty.String && !unmarked.IsNull():
		return Secret{&secret{refs: strconv.Quote(unmarked.AsString()), literal: unmarked.AsString()}}, nil
	case len(from) == 0:
		d := problem("Secret written out", `A secret does not belong into a policy. Write env("NAME"), file("path") or command("..."), and put the value there.`, e.Range())
		d.Extra = Concealed{}
		return Secret{}, hcl.Diagnostics{d}
	case unmarked.Type() != cty.String:
		return Secret{}, hcl.Diagnostics{problem("Unsuitable value type", "A secret must be a string.", e.Range())}
	}
	for _, r := range from {
		c.Secrets.note(r, e.Range())
		if r.kind == "env" {
			c.variables = append(c.variables, r.name)
		}
	}
	made := &secret{refs: strings.Join(printed(from), " "), from: from, direct: direct(e), expr: e, ctx: c}
	c.secrets = append(c.secrets, made)
	return Secret{made}, nil
}

// direct reports whether e is a reference and nothing else.
func direct(e hcl.Expression) bool {
	call, ok := e.(*hclsyntax.FunctionCallExpr)
	return ok && (call.Name == "env" || call.Name == "file" || call.Name == "command")
}

// decided returns the two sides of a conditional whose condition is known while
// loading; nil if e is none.
func (c *Context) decided(e hcl.Expression) (chosen, other hcl.Expression) {
	for {
		p, ok := e.(*hclsyntax.ParenthesesExpr)
		if !ok {
			break
		}
		e = p.Expression
	}
	choice, ok := e.(*hclsyntax.ConditionalExpr)
	if !ok {
		return nil, nil
	}
	when, diags := choice.Condition.Value(c.eval(e.Range().Filename, false))
	switch {
	case diags.HasErrors() || when.IsMarked() || !when.IsKnown() || when.IsNull() || when.Type() != cty.Bool:
		return nil, nil
	case when.True():
		return choice.TrueResult, choice.FalseResult
	}
	return choice.FalseResult, choice.TrueResult
}

// secretList reads one secret or a list of them.
func secretList(a *hcl.Attribute, ctx *Context, dst reflect.Value, literal bool) (diags hcl.Diagnostics) {
	if chosen, other := ctx.decided(a.Expr); chosen != nil {
		before, unused := len(ctx.secrets), reflect.New(dst.Type()).Elem()
		diags = secretList(&hcl.Attribute{Name: a.Name, Expr: other}, ctx, unused, literal)
		ctx.secrets = ctx.secrets[:before]
		return append(diags, secretList(&hcl.Attribute{Name: a.Name, Expr: chosen}, ctx, dst, literal)...)
	}
	items, d := hcl.ExprList(a.Expr)
	if d.HasErrors() {
		items = []hcl.Expression{a.Expr}
	} else if len(items) == 0 {
		return hcl.Diagnostics{problem("Invalid "+a.Name, "At least one secret is needed.", a.Expr.Range())}
	}
	for _, item := range items {
		s, d := ctx.secret(item, literal)
		diags = append(diags, d...)
		dst.Set(reflect.Append(dst, reflect.ValueOf(s)))
	}
	return diags
}

func secretMap(a *hcl.Attribute, ctx *Context, dst reflect.Value, literal bool) hcl.Diagnostics {
	pairs, diags := hcl.ExprMap(a.Expr)
	dst.Set(reflect.MakeMap(dst.Type()))
	for _, p := range pairs {
		key, d := ctx.value(p.Key)
		diags = append(diags, d...)
		s, d := ctx.secret(p.Value, literal)
		diags = append(diags, d...)
		if !diags.HasErrors() {
			dst.SetMapIndex(reflect.ValueOf(key.AsString()), reflect.ValueOf(s))
		}
	}
	return diags
}
