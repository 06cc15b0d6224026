package block

import (
	"encoding"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/gocty"
)

var (
	secretType   = reflect.TypeFor[Secret]()
	exprType     = reflect.TypeFor[*Expr]()
	templateType = reflect.TypeFor[*Template]()
	templateList = reflect.TypeFor[Templates]()
	pathType     = reflect.TypeFor[Path]()
)

// attribute evaluates one attribute into dst.
func attribute(a *hcl.Attribute, ctx *Context, field reflect.StructField, dst reflect.Value) hcl.Diagnostics {
	literal := field.Tag.Get("literal") == "allowed"
	switch t := dst.Type(); {
	case t == exprType:
		return decodeExpr(a, ctx, field, dst)
	case t == templateType:
		tmpl, diags := ctx.signed(a.Expr, field.Tag.Get("scope"))
		dst.Set(reflect.ValueOf(tmpl))
		return diags
	case t == templateList:
		list, diags := ctx.templates(a.Expr, field.Tag.Get("scope"))
		dst.Set(reflect.ValueOf(list))
		return diags
	case t.Kind() == reflect.Slice && t.Elem() == exprType:
		return exprList(a, ctx, field, dst)
	case t.Kind() == reflect.Map && t.Elem() == exprType:
		return exprMap(a, ctx, field, dst)
	case t == secretType:
		s, diags := ctx.secret(a.Expr, literal)
		dst.Set(reflect.ValueOf(s))
		return diags
	case t.Kind() == reflect.Slice && t.Elem() == secretType:
		return secretList(a, ctx, dst, literal)
	case t.Kind() == reflect.Map && t.Elem() == secretType:
		return secretMap(a, ctx, dst, literal)
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 && isText(reflect.New(t.Elem())):
		items, diags := hcl.ExprList(a.Expr)
		dst.SetZero() // a default is replaced, not added to
		for _, item := range items {
			v := reflect.New(t.Elem())
			d := text(a.Name, item, ctx, v)
			if diags = append(diags, d...); !d.HasErrors() {
				dst.Set(reflect.Append(dst, v.Elem()))
			}
		}
		return diags
	case t == pathType:
		var s string
		diags := plain(a.Expr, ctx, reflect.ValueOf(&s).Elem())
		if s != "" && !filepath.IsAbs(s) {
			s = filepath.Join(filepath.Dir(a.Range.Filename), s)
		}
		dst.SetString(s)
		return diags
	case isText(dst.Addr()):
		return text(a.Name, a.Expr, ctx, dst.Addr())
	case t.Kind() == reflect.Pointer && isText(dst):
		v := reflect.New(t.Elem())
		diags := text(a.Name, a.Expr, ctx, v)
		dst.Set(v)
		return diags
	}
	return plain(a.Expr, ctx, dst)
}

// plain evaluates an expression whose value is needed now and is no secret.
func plain(e hcl.Expression, ctx *Context, dst reflect.Value) hcl.Diagnostics {
	val, diags := ctx.value(e)
	if diags.HasErrors() {
		return diags
	}
	want, err := gocty.ImpliedType(dst.Interface())
	if err == nil {
		val, err = convert.Convert(val, want)
	}
	if err == nil && !val.IsNull() {
		err = gocty.FromCtyValue(val, dst.Addr().Interface())
	}
	if err != nil {
		return hcl.Diagnostics{problem("Unsuitable value type", Sentence("unsuitable value: "+err.Error()), e.Range())}
	}
	return nil
}

func isText(v reflect.Value) bool {
	_, ok := v.Interface().(encoding.TextUnmarshaler)
	return ok
}

// text evaluates e to a string and hands it to v.
func text(name string, e hcl.Expression, ctx *Context, v reflect.Value) hcl.Diagnostics {
	val, diags := ctx.value(e)
	if diags.HasErrors() {
		return diags
	}
	s, err := convert.Convert(val, cty.String)
	if err == nil && s.IsNull() {
		return nil
	}
	if err == nil {
		err = v.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s.AsString()))
	}
	if err != nil {
		return hcl.Diagnostics{problem("Invalid "+name, Sentence(err.Error()), e.Range())}
	}
	return nil
}

// value evaluates e while loading. A secret in it is an error.
func (c *Context) value(e hcl.Expression) (cty.Value, hcl.Diagnostics) {
	val, diags := e.Value(c.eval(e.Range().Filename, false))
	if diags.HasErrors() {
		return val, diags
	}
	if refs := references(val); len(refs) > 0 {
		return val, hcl.Diagnostics{problem("Secret in a plain place",
			fmt.Sprintf("%s is a secret, and this value is not kept secret. If it is none, write plain(...).", strings.Join(refs, ", ")), e.Range())}
	}
	if !val.IsWhollyKnown() {
		return val, hcl.Diagnostics{problem("Unknown value", "This value must be known when the configuration is loaded.", e.Range())}
	}
	return val, nil
}

// Plain evaluates an expression to a string now. env() and file() are resolved:
// it is for the few values that are public whatever they come from.
func (c *Context) Plain(e hcl.Expression) (string, hcl.Diagnostics) {
	val, diags := e.Value(c.build(filepath.Dir(e.Range().Filename), true))
	if diags.HasErrors() {
		return "", diags
	}
	val, _ = val.Unmark()
	if val.IsNull() || !val.IsKnown() || val.Type() != cty.String {
		return "", hcl.Diagnostics{problem("Unsuitable value type", "A string is needed here.", e.Range())}
	}
	return val.AsString(), nil
}

func decodeExpr(a *hcl.Attribute, ctx *Context, field reflect.StructField, dst reflect.Value) hcl.Diagnostics {
	e, diags := ctx.expr(a.Expr, field.Tag.Get("scope"), codings[field.Tag.Get("encode")])
	if e != nil && !diags.HasErrors() {
		diags = append(diags, e.mustBe(field.Tag.Get("type"), a)...)
	}
	dst.Set(reflect.ValueOf(e))
	return diags
}

func exprList(a *hcl.Attribute, ctx *Context, field reflect.StructField, dst reflect.Value) hcl.Diagnostics {
	items, diags := hcl.ExprList(a.Expr)
	dst.SetZero() // a default is replaced, not added to
	for _, item := range items {
		e, d := ctx.expr(item, field.Tag.Get("scope"), asIs)
		diags = append(diags, d...)
		dst.Set(reflect.Append(dst, reflect.ValueOf(e)))
	}
	return diags
}

func exprMap(a *hcl.Attribute, ctx *Context, field reflect.StructField, dst reflect.Value) hcl.Diagnostics {
	pairs, diags := hcl.ExprMap(a.Expr)
	dst.Set(reflect.MakeMap(dst.Type()))
	for _, p := range pairs {
		key, d := ctx.value(p.Key)
		diags = append(diags, d...)
		e, d := ctx.expr(p.Value, field.Tag.Get("scope"), asIs)
		diags = append(diags, d...)
		if !diags.HasErrors() {
			dst.SetMapIndex(reflect.ValueOf(key.AsString()), reflect.ValueOf(e))
		}
	}
	return diags
}
