package block

import (
	"bytes"
	"encoding/json"
	"math/big"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// Kind is what a [Value] is.
type Kind uint8

// The kinds. A JSON value is an object or an array, as text.
const (
	Null Kind = iota
	String
	Number
	Bool
	JSON
)

// Value is what an expression reads or yields. Str is the string, the source
// text of a number (9007199254740993 stays itself) or the text of a JSON value.
type Value struct {
	Kind Kind
	Str  string
	Bool bool
}

// Text returns v as a string; false for null.
func (v Value) Text() (string, bool) {
	switch v.Kind {
	case Null:
		return "", false
	case Bool:
		if v.Bool {
			return "true", true
		}
		return "false", true
	}
	return v.Str, true
}

// JSONValue reads one value of a JSON text by a gjson path, "" for all of it.
// What is missing, or in a text that is not JSON, is null.
func JSONValue(body []byte, path string) Value {
	if !ValidJSON(body) {
		return Value{}
	}
	return JSONField(body, path)
}

// JSONField is [JSONValue] for a text that [ValidJSON] has accepted: whoever
// reads several values of one text has it checked once.
func JSONField(valid []byte, path string) Value {
	if path == "" {
		return fromGJSON(gjson.ParseBytes(valid))
	}
	return fromGJSON(gjson.GetBytes(valid, path))
}

// maxDepth is how deep a JSON text may be nested to be read. The parser
// recurses: megabytes of brackets would cost gigabytes of stack.
const maxDepth = 512

// ValidJSON reports whether body is one JSON text, not nested too deeply.
func ValidJSON(body []byte) bool { return !TooDeep(body) && gjson.ValidBytes(body) }

// TooDeep reports whether body would be nested too deeply if it were JSON.
func TooDeep(body []byte) bool {
	if bytes.Count(body, []byte{'['})+bytes.Count(body, []byte{'{'}) <= maxDepth {
		return false // most bodies, and counting is quick
	}
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > maxDepth {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}

func fromGJSON(r gjson.Result) Value {
	switch r.Type {
	case gjson.String:
		return Value{Kind: String, Str: r.Str}
	case gjson.Number:
		return Value{Kind: Number, Str: r.Raw}
	case gjson.True, gjson.False:
		return Value{Kind: Bool, Bool: r.Type == gjson.True}
	case gjson.JSON:
		return Value{Kind: JSON, Str: r.Raw}
	}
	return Value{}
}

// FormValue reads one field of an application/x-www-form-urlencoded body. The
// path is as for [JSONValue]: "" is an object of all fields, and a field in
// brackets is a further step: metadata.order is metadata[order].
func FormValue(body []byte, path string) Value {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return Value{}
	}
	if path == "" {
		return ObjectValue(form)
	}
	steps := splitPath(path)
	name := steps[0]
	for _, s := range steps[1:] {
		name += "[" + s + "]"
	}
	if v, ok := form[name]; ok && len(v) > 0 {
		return Value{Kind: String, Str: v[0]}
	}
	return Value{}
}

// FormField is [FormValue] that goes on into a field that is JSON: payload.user.id
// is user.id of what the field payload holds.
func FormField(body []byte, path string) Value {
	v := FormValue(body, path)
	first, rest := cutStep(path)
	if v.Kind != Null || rest == "" {
		return v
	}
	return JSONValue([]byte(FormValue(body, first).Str), rest)
}

// cutStep returns the first step of a path, and what follows it.
func cutStep(path string) (first, rest string) {
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '\\':
			i++
		case '.':
			return path[:i], path[i+1:]
		}
	}
	return path, ""
}

// ObjectValue is a JSON object of the first value of each key.
func ObjectValue(m map[string][]string) Value {
	flat := make(map[string]string, len(m))
	for k, v := range m {
		if len(v) > 0 {
			flat[k] = v[0]
		}
	}
	text, err := json.Marshal(flat)
	if err != nil {
		return Value{}
	}
	return Value{Kind: JSON, Str: string(text)}
}

// escapeStep quotes a key for a gjson path.
func escapeStep(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if strings.IndexByte(`.*?|#@!{}[]()=<>%\"'~:`, c) >= 0 || c < ' ' {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// splitPath undoes the joining of escaped steps.
func splitPath(path string) (steps []string) {
	var cur []byte
	for i := 0; i < len(path); i++ {
		switch {
		case path[i] == '\\' && i+1 < len(path):
			i++
			cur = append(cur, path[i])
		case path[i] == '.':
			steps, cur = append(steps, string(cur)), nil
		default:
			cur = append(cur, path[i])
		}
	}
	return append(steps, string(cur))
}

// equal compares as HCL does: values of different kinds differ, and numbers
// are compared as numbers.
func equal(a, b Value) bool {
	if a.Kind != b.Kind {
		return false
	}
	switch a.Kind {
	case Null:
		return true
	case Bool:
		return a.Bool == b.Bool
	case Number:
		if a.Str == b.Str {
			return true
		}
		x, _, errX := big.ParseFloat(a.Str, 10, 512, big.ToNearestEven)
		y, _, errY := big.ParseFloat(b.Str, 10, 512, big.ToNearestEven)
		return errX == nil && errY == nil && x.Cmp(y) == 0
	case JSON:
		return a.Str == b.Str || affordable(a.Str) && affordable(b.Str) && toCty(a).RawEquals(toCty(b))
	}
	return a.Str == b.Str
}

// HCL makes of a JSON text what is many times its size. It may be ten times, or
// freely so much that it does not matter.
const (
	costFactor = 10
	costFree   = 16 << 20
	costText   = 8    // for each byte
	costValue  = 250  // for each element or member
	costObject = 1200 // for each object
)

// affordable reports whether HCL can be given a JSON text at a bounded cost (claim
// C43). What it cannot be given is null to an expression that is not evaluated
// without it.
func affordable(text string) bool {
	most := max(costFactor*len(text), costFree)
	cost, quoted := costText*len(text), false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case quoted:
		case c == '{':
			cost += costObject
		case c == ',' || c == '[':
			cost += costValue
		case c == 'e' || c == 'E':
			if vast(text[i+1:]) {
				return false
			}
		}
		if cost > most {
			return false
		}
	}
	return true
}

// vast reports whether what follows the e of a number is an exponent of more than
// three digits: to write such a number out takes as many digits as it says.
func vast(text string) bool {
	text = strings.TrimLeft(text, "+-0")
	digits := 0
	for digits < len(text) && '0' <= text[digits] && text[digits] <= '9' {
		digits++
	}
	return digits > 3
}

// toCty gives v to HCL. Strings are NFC-normalised by cty, which is why
// nothing that is signed or verified goes this way.
func toCty(v Value) cty.Value {
	switch v.Kind {
	case String:
		return cty.StringVal(v.Str)
	case Bool:
		return cty.BoolVal(v.Bool)
	case Number:
		if _, exponent, ok := strings.Cut(strings.ToLower(v.Str), "e"); ok && vast(exponent) {
			break
		}
		if n, err := cty.ParseNumberVal(v.Str); err == nil {
			return n
		}
	case JSON:
		if !affordable(v.Str) {
			break
		}
		if t, err := ctyjson.ImpliedType([]byte(v.Str)); err == nil {
			if val, err := ctyjson.Unmarshal([]byte(v.Str), t); err == nil {
				return val
			}
		}
	}
	return cty.NullVal(cty.DynamicPseudoType)
}

// fromCty takes a result from HCL; unknown values are null.
func fromCty(v cty.Value) Value {
	if v.IsNull() || !v.IsKnown() {
		return Value{}
	}
	switch v.Type() {
	case cty.String:
		return Value{Kind: String, Str: v.AsString()}
	case cty.Bool:
		return Value{Kind: Bool, Bool: v.True()}
	case cty.Number:
		text, err := ctyjson.Marshal(v, cty.Number)
		if err == nil {
			return Value{Kind: Number, Str: string(text)}
		}
	}
	text, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return Value{}
	}
	return Value{Kind: JSON, Str: string(text)}
}
