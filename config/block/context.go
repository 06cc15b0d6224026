package block

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/customdecode"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// Context is what decoding needs beside a body. It belongs to one loading of
// the configuration.
type Context struct {
	Environment string
	Secrets     *Secrets
	Sources     map[string][]byte // text of the files by name, for showing what was written

	secrets    []*secret                   // all that were decoded
	variables  []string                    // that they, and the sides of conditionals not chosen, come from
	contexts   map[string]*hcl.EvalContext // by folder, and whether secrets are revealed
	traversals map[*hclsyntax.ScopeTraversalExpr]hcl.Traversal

	mu   sync.Mutex
	held map[string]held // files with secrets by name, as this loading found them
}

// NewContext returns a context in which `environment` has that value.
func NewContext(environment string, s *Secrets) *Context {
	return &Context{
		Environment: environment, Secrets: s, Sources: map[string][]byte{},
		contexts:   map[string]*hcl.EvalContext{},
		traversals: map[*hclsyntax.ScopeTraversalExpr]hcl.Traversal{},
		held:       map[string]held{},
	}
}

// Text returns what is written at r, "" if the file is not known.
func (c *Context) Text(r hcl.Range) string {
	src := c.Sources[r.Filename]
	if r.Start.Byte > r.End.Byte || r.End.Byte > len(src) {
		return ""
	}
	return string(src[r.Start.Byte:r.End.Byte])
}

// eval returns the names and functions for an expression of that file. Unless
// reveal is set, env() and file() yield unknown values that are marked with the
// reference, so that checking needs no secret.
func (c *Context) eval(file string, reveal bool) *hcl.EvalContext {
	dir := filepath.Dir(file)
	if reveal { // at request time: nothing here is shared with loading
		return c.build(dir, true)
	}
	if e := c.contexts[dir]; e != nil {
		return e
	}
	e := c.build(dir, false)
	c.contexts[dir] = e
	return e
}

func (c *Context) build(dir string, reveal bool) *hcl.EvalContext {
	fns := functions()
	resolve := c.unknown
	if reveal {
		resolve = c.known
	}
	fns["env"] = function.New(&function.Spec{
		Params:   []function.Parameter{{Name: "name", Type: cty.String}},
		VarParam: &function.Parameter{Name: "default", Type: cty.String},
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			r := reference{kind: "env", name: args[0].AsString()}
			if len(args) > 1 {
				r.hasDefault, r.fallback = true, args[1].AsString()
			}
			return resolve(r)
		},
	})
	fns["file"] = function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			name := args[0].AsString()
			if !filepath.IsAbs(name) {
				name = filepath.Join(dir, name)
			}
			return resolve(reference{kind: "file", name: name})
		},
	})
	if c.Secrets.stand {
		fns["expect"] = text2(cty.String, func(value, _ string) cty.Value { return cty.StringVal(value) })
	}
	fns["command"] = commandFunc(dir, resolve)
	fns["plain"] = function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: customdecode.ExpressionClosureType}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			closure := customdecode.ExpressionClosureFromVal(args[0])
			val, diags := closure.Expression.Value(c.build(dir, true))
			if diags.HasErrors() {
				return cty.NilVal, firstCause(diags)
			}
			val, _ = val.Unmark()
			if val.Type() != cty.String || val.IsNull() {
				return cty.NilVal, fmt.Errorf("plain() needs a string")
			}
			return val, nil
		},
	})
	return &hcl.EvalContext{Variables: map[string]cty.Value{"environment": cty.StringVal(c.Environment)}, Functions: fns}
}

// unknown stands for a secret while loading.
func (c *Context) unknown(r reference) (cty.Value, error) {
	return cty.UnknownVal(cty.String).Mark(r), nil
}

// known is the secret itself.
func (c *Context) known(r reference) (cty.Value, error) {
	v, err := c.lookup(r)
	val := cty.StringVal(v)
	if err == nil && val.AsString() != v {
		err = errNotText
	}
	if err != nil {
		return cty.NilVal, &SecretError{r.String(), err}
	}
	return val.Mark(r), nil
}

// errNotText says that a value would not pass unchanged through an expression,
// whose strings are normalised (Unicode Annex 15, form C).
var errNotText = errors.New("it is no normalised Unicode text, so that an expression would change it: use it as it is, without functions around it")

// lookup resolves one reference, to the very bytes.
func (c *Context) lookup(r reference) (string, error) {
	switch {
	case c.Secrets.stand:
		return c.Secrets.standIn(r), nil
	case r.kind == "env":
		return c.Secrets.variable(r)
	case r.kind == "command":
		return c.Secrets.answer(r.command)
	}
	return c.file(r.name)
}

// functions are the functions that need nothing of ours, a new map each time.
func functions() map[string]function.Function {
	return map[string]function.Function{
		"lower": stdlib.LowerFunc, "upper": stdlib.UpperFunc,
		"trimprefix": stdlib.TrimPrefixFunc, "trimsuffix": stdlib.TrimSuffixFunc, "trimspace": stdlib.TrimSpaceFunc,
		"split": stdlib.SplitFunc, "join": stdlib.JoinFunc, "replace": stdlib.ReplaceFunc,
		"contains": stdlib.ContainsFunc, "lookup": stdlib.LookupFunc, "merge": stdlib.MergeFunc,
		"coalesce": stdlib.CoalesceFunc, "length": stdlib.LengthFunc, "keys": stdlib.KeysFunc,
		"jsonencode": stdlib.JSONEncodeFunc, "jsondecode": jsonDecode,
		"formatdate": stdlib.FormatDateFunc, "timeadd": stdlib.TimeAddFunc, "format": stdlib.FormatFunc,
		"substr": stdlib.SubstrFunc, "min": stdlib.MinFunc, "max": stdlib.MaxFunc,
		"try": tryfunc.TryFunc, "can": tryfunc.CanFunc,
		"startswith":   text2(cty.Bool, func(s, prefix string) cty.Value { return cty.BoolVal(strings.HasPrefix(s, prefix)) }),
		"endswith":     text2(cty.Bool, func(s, suffix string) cty.Value { return cty.BoolVal(strings.HasSuffix(s, suffix)) }),
		"base64encode": base64Encode, "base64decode": base64Decode,
		"sha256": sha256Hex, "hmac_sha256": hmacSHA256Hex,
		"regex": stdlib.RegexFunc, "expect": expectFunc,
	}
}

// jsonDecode reads JSON that can be read at a bounded cost.
var jsonDecode = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "str", Type: cty.String}},
	Type: func(args []cty.Value) (cty.Type, error) {
		if v := args[0]; v.IsKnown() && !v.IsNull() && !affordable(v.AsString()) {
			return cty.NilType, function.NewArgErrorf(0, "the text is too complex")
		}
		return stdlib.JSONDecodeFunc.ReturnTypeForValues(args)
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return stdlib.JSONDecodeFunc.Call(args) },
})

// expectFunc gives its first argument back if it matches the pattern. While
// loading without secrets the argument is unknown, and passes.
var expectFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "value", Type: cty.String}, {Name: "pattern", Type: cty.String, AllowMarked: true, AllowUnknown: true}},
	Type: func(args []cty.Value) (cty.Type, error) { // also called while the value is unknown
		pattern := args[1]
		switch {
		case pattern.IsMarked():
			return cty.String, function.NewArgErrorf(1, "the pattern must be no secret: it is shown where it does not match")
		case !pattern.IsKnown():
			return cty.String, function.NewArgErrorf(1, "the pattern must be known when the policy is loaded")
		}
		if _, err := regexp.Compile(pattern.AsString()); err != nil {
			return cty.String, function.NewArgErrorf(1, "%q is not a regular expression", pattern.AsString())
		}
		return cty.String, nil
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		value, pattern := args[0].AsString(), regexp.MustCompile(args[1].AsString())
		bare := strings.TrimSpace(value)
		switch {
		case pattern.MatchString(value):
			return args[0], nil
		case bare != value && pattern.MatchString(bare):
			return cty.NilVal, fmt.Errorf("the value does not match %q, but would without the white space at its beginning or end", pattern)
		case value == "":
			return cty.NilVal, fmt.Errorf("the value is empty, and does not match %q", pattern)
		}
		return cty.NilVal, fmt.Errorf("the value does not match %q", pattern)
	},
})
