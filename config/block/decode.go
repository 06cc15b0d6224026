// Package block decodes one HCL body into one Go struct.
//
// The struct is both the schema and the value that the program runs on. Struct
// tags are those of gohcl; added are: types that implement
// [encoding.TextUnmarshaler], secrets that stay references, expressions that
// are evaluated per request, and defaults and checks. Every problem is reported,
// at its place.
//
// Read it in this order:
//
//	decode.go    a body -> a struct
//	field.go     one attribute -> one field
//	context.go   functions and names known while loading
//	refer.go     an expression -> a reference to a secret
//	secret.go    secrets, and where their values come from
//	file.go      files that are replaced while Postern runs
//	command.go   command() as it is written, words.go its words; run.go runs it
//	             once, refresh.go again before its value is too old
//	fingerprint.go  which secret it is, without showing it
//	known.go     what must not be seen
//	scope.go     which names an expression may use where
//	expr.go      expressions that are evaluated per request
//	native.go    the forms of expression that need no HCL at request time
//	template.go  byte-exact templates
//	value.go     what expressions read and yield
//	types.go     durations, sizes, rates, paths; tls.go: the tls block of listeners
//	resolve.go   reading all secrets at start
//	overlay.go   one body laid over another
//	scan.go      what is refused before the parser sees it
package block

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
)

// A Defaulter fills in its own defaults. Default runs before decoding.
type Defaulter interface{ Default() }

// A Checker reports values that parse but make no sense. Check runs when
// decoding has succeeded. Use [At] to place an error under an attribute, and
// [errors.Join] to report several.
type Checker interface{ Check() error }

// FieldError is an error about one attribute.
type FieldError struct {
	Attr, Problem string
	Err           error
}

func (e *FieldError) Error() string { return e.Attr + ": " + e.Problem }

// Unwrap returns the cause, if any.
func (e *FieldError) Unwrap() error { return e.Err }

// ErrWritten, wrapped by what [At] is given, says that the attribute holds a
// secret that is written out: it is not shown.
var ErrWritten = errors.New("a secret does not belong into a policy")

// At returns an error that Decode shows under the attribute or block named attr.
func At(attr, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &FieldError{attr, err.Error(), errors.Unwrap(err)}
}

// Decode fills in the struct that into points to. The fields of a struct that is
// embedded in it count as its own.
func Decode(body hcl.Body, ctx *Context, into any) hcl.Diagnostics {
	if d, ok := into.(Defaulter); ok {
		d.Default()
	}
	val := reflect.ValueOf(into).Elem()
	schema, partial := schemaOf(val)
	var (
		content *hcl.BodyContent
		rest    hcl.Body
		diags   hcl.Diagnostics
	)
	if partial {
		content, rest, diags = body.PartialContent(schema)
	} else {
		content, diags = body.Content(schema)
	}
	suggest(diags, schema)
	diags = append(diags, fields(val, ctx, content, rest, body)...)
	if c, ok := into.(Checker); ok && !diags.HasErrors() {
		diags = append(diags, Place(c.Check(), content, body.MissingItemRange())...)
	}
	return diags
}

// schemaOf is what may stand in a body that is decoded into val.
func schemaOf(val reflect.Value) (schema *hcl.BodySchema, partial bool) {
	schema, partial = gohcl.ImpliedBodySchema(val.Addr().Interface())
	for i := range val.NumField() {
		if name, kind := tag(val.Type().Field(i)); kind == "attr" { // gohcl takes a pointer, as an expression is, for optional
			at := slices.IndexFunc(schema.Attributes, func(a hcl.AttributeSchema) bool { return a.Name == name })
			schema.Attributes[at].Required = true
		}
		if val.Type().Field(i).Anonymous {
			inner, _ := schemaOf(val.Field(i))
			schema.Attributes, schema.Blocks = append(schema.Attributes, inner.Attributes...), append(schema.Blocks, inner.Blocks...)
		}
	}
	return schema, partial
}

// fields decodes content into the fields of val.
func fields(val reflect.Value, ctx *Context, content *hcl.BodyContent, rest, body hcl.Body) (diags hcl.Diagnostics) {
	for i := range val.NumField() {
		field := val.Type().Field(i)
		if field.Anonymous {
			diags = append(diags, fields(val.Field(i), ctx, content, rest, body)...)
			continue
		}
		name, kind := tag(field)
		switch kind {
		case "attr", "optional":
			if a := content.Attributes[name]; a != nil {
				diags = append(diags, attribute(a, ctx, field, val.Field(i))...)
			}
		case "block":
			diags = append(diags, blocks(content.Blocks.OfType(name), ctx, val.Field(i), body, name)...)
		case "remain":
			val.Field(i).Set(reflect.ValueOf(rest))
		}
	}
	return diags
}

// suggest adds what was probably meant where HCL does not: it leaves out names
// that are there already, as they are where one body is laid over another.
func suggest(diags hcl.Diagnostics, schema *hcl.BodySchema) {
	var known []string
	for _, a := range schema.Attributes {
		known = append(known, a.Name)
	}
	for _, b := range schema.Blocks {
		known = append(known, b.Type)
	}
	for _, d := range diags {
		_, rest, _ := strings.Cut(d.Detail, `"`)
		given, _, quoted := strings.Cut(rest, `"`)
		if !strings.HasPrefix(d.Summary, "Unsupported") || !quoted || strings.Contains(d.Detail, "Did you mean") {
			continue
		}
		if s := Suggest(given, known); s != "" {
			d.Detail += fmt.Sprintf(" Did you mean %q?", s)
		}
	}
}

// Concealed marks a diagnostic whose source must not be shown: it may be a
// secret.
type Concealed struct{}

// blocks decodes found into dst, which is a struct, a pointer or a slice.
func blocks(found hcl.Blocks, ctx *Context, dst reflect.Value, parent hcl.Body, name string) (diags hcl.Diagnostics) {
	many := dst.Kind() == reflect.Slice
	if len(found) > 1 && !many {
		return hcl.Diagnostics{problem("Duplicate "+name, fmt.Sprintf("Only one %s block is allowed; the first is at %s.", name, found[0].DefRange), found[1].DefRange)}
	}
	if len(found) == 0 && dst.Kind() == reflect.Struct {
		return hcl.Diagnostics{problem("Missing "+name, fmt.Sprintf("A %s block is required here.", name), parent.MissingItemRange())}
	}
	for _, b := range found {
		elem := dst.Type()
		if many || elem.Kind() == reflect.Pointer {
			elem = elem.Elem()
		}
		pointers := elem.Kind() == reflect.Pointer
		if pointers {
			elem = elem.Elem()
		}
		v := reflect.New(elem)
		labels(b, v.Elem())
		diags = append(diags, Decode(b.Body, ctx, v.Interface())...)
		if !pointers && dst.Kind() != reflect.Pointer {
			v = v.Elem()
		}
		if many {
			v = reflect.Append(dst, v)
		}
		dst.Set(v)
	}
	return diags
}

// labels copies the labels of b, and where b is, into the tagged fields of v.
func labels(b *hcl.Block, v reflect.Value) {
	next := 0
	for i := range v.NumField() {
		switch _, kind := tag(v.Type().Field(i)); kind {
		case "label":
			v.Field(i).SetString(b.Labels[next])
			next++
		case "def_range":
			v.Field(i).Set(reflect.ValueOf(b.DefRange))
		}
	}
}

// Place turns the result of a check into diagnostics: a [FieldError] is shown
// under its attribute or block in content, anything else at whole.
func Place(err error, content *hcl.BodyContent, whole hcl.Range) (diags hcl.Diagnostics) {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			diags = append(diags, Place(e, content, whole)...)
		}
		return diags
	}
	var f *FieldError
	if !errors.As(err, &f) {
		return hcl.Diagnostics{problem("Invalid block", Sentence(err.Error()), whole)}
	}
	where := whole
	if a := content.Attributes[f.Attr]; a != nil {
		where = a.Expr.Range()
	} else if b := content.Blocks.OfType(f.Attr); len(b) > 0 {
		where = b[0].DefRange
	}
	d := problem("Invalid "+f.Attr, Sentence(f.Problem), where)
	if errors.Is(f.Err, ErrWritten) {
		d.Extra = Concealed{}
	}
	return hcl.Diagnostics{d}
}

func problem(summary, detail string, at hcl.Range) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: &at}
}

// Sentence gives s its capital and full stop.
func Sentence(s string) string {
	if s == "" {
		return s
	}
	if c := s[0]; 'a' <= c && c <= 'z' && (len(s) < 2 || s[1] != '_') {
		s = string(c-'a'+'A') + s[1:]
	}
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "?") {
		s += "."
	}
	return s
}

// tag splits a gohcl tag into its name and kind.
func tag(f reflect.StructField) (name, kind string) {
	t, ok := f.Tag.Lookup("hcl")
	if !ok {
		return "", ""
	}
	name, kind, ok = strings.Cut(t, ",")
	if !ok {
		kind = "attr"
	}
	return name, kind
}
