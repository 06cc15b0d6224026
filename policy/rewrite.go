package policy

import (
	"encoding/json"
	"mime"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/postern-proxy/postern/config/block"
)

// SetPath sets the path of u as it goes over the wire.
func SetPath(u *url.URL, escaped string) {
	plain, err := url.PathUnescape(escaped)
	if err != nil {
		plain = escaped
	}
	u.Path, u.RawPath = plain, escaped
}

// SetQuery removes every parameter of that name, in whatever encoding, and
// appends one. The rest of the query stays byte for byte, also what cannot be
// parsed.
func SetQuery(u *url.URL, name, value string) {
	u.RawQuery = DropQuery(u.RawQuery, name)
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += url.QueryEscape(name) + "=" + url.QueryEscape(value)
	u.ForceQuery = false
}

// DropQuery returns raw without the parameters of that name. Some servers take
// a semicolon for an ampersand.
func DropQuery(raw, name string) string {
	if len(QueryValues(raw, name)) == 0 {
		return raw
	}
	var b strings.Builder
	joint := ""
	for part := range parameters(raw) {
		if key, _, _ := strings.Cut(part.text, "="); decoded(key) != name {
			if b.Len() > 0 {
				b.WriteString(joint)
			}
			b.WriteString(part.text)
			joint = ""
		}
		if joint != "&" { // an ampersand parts for every server
			joint = part.joint
		}
	}
	return b.String()
}

// PutQuery returns raw with one parameter of that name, where the first one
// stands or else at the end: for queries whose order matters. The rest stays byte
// for byte.
func PutQuery(raw, name, value string) string {
	pair := url.QueryEscape(name) + "=" + url.QueryEscape(value)
	at, found := 0, false
	for part := range parameters(raw) {
		if key, _, _ := strings.Cut(part.text, "="); decoded(key) == name {
			found = true
			break
		}
		at += len(part.text) + len(part.joint)
	}
	if !found || at > 0 && raw[at-1] == ';' { // there not every server would see it
		if raw = DropQuery(raw, name); raw != "" {
			raw += "&"
		}
		return raw + pair
	}
	rest := ""
	if end := strings.IndexAny(raw[at:], "&;"); end >= 0 {
		if rest = DropQuery(raw[at+end+1:], name); rest != "" {
			rest = "&" + rest
		}
	}
	return raw[:at] + pair + rest
}

// QueryValues lists the values of the parameters of that name.
func QueryValues(raw, name string) (values []string) {
	for part := range parameters(raw) {
		if key, value, _ := strings.Cut(part.text, "="); decoded(key) == name {
			values = append(values, decoded(value))
		}
	}
	return values
}

// parameter is one part of a query with the sign that follows it.
type parameter struct{ text, joint string }

func parameters(raw string) func(yield func(parameter) bool) {
	return func(yield func(parameter) bool) {
		for raw != "" {
			at := strings.IndexAny(raw, "&;")
			if at < 0 {
				yield(parameter{raw, ""})
				return
			}
			if !yield(parameter{raw[:at], raw[at : at+1]}) {
				return
			}
			raw = raw[at+1:]
		}
	}
}

// decoded is s itself if it is not well escaped.
func decoded(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// SetField makes value the only member of that name of a JSON object, however
// often and with whatever escapes it stood there. All other members stay byte
// for byte. It reports false if body is not a JSON object.
func SetField(body []byte, name, value string) ([]byte, bool) {
	if !block.ValidJSON(body) {
		return nil, false
	}
	object := gjson.ParseBytes(body)
	if !object.IsObject() {
		return nil, false
	}
	out := append(make([]byte, 0, len(body)+len(name)+len(value)+8), '{')
	object.ForEach(func(key, member gjson.Result) bool {
		if key.String() != name {
			out = append(append(append(append(out, key.Raw...), ':'), member.Raw...), ',')
		}
		return true
	})
	return append(append(append(append(out, quote(name)...), ':'), quote(value)...), '}'), true
}

// Fields lists the members of that name of a JSON object; false if body is not one.
func Fields(body []byte, name string) (members []block.Value, ok bool) {
	if !block.ValidJSON(body) {
		return nil, false
	}
	object := gjson.ParseBytes(body)
	if !object.IsObject() {
		return nil, false
	}
	object.ForEach(func(key, member gjson.Result) bool {
		if key.String() == name {
			members = append(members, block.JSONValue([]byte(member.Raw), ""))
		}
		return true
	})
	return members, true
}

func quote(s string) []byte {
	text, _ := json.Marshal(s) // a string has no failure
	return text
}

// DropField returns a JSON object without the members of that name. All others
// stay byte for byte. It reports false if body is not a JSON object.
func DropField(body []byte, name string) ([]byte, bool) {
	if !block.ValidJSON(body) {
		return nil, false
	}
	object := gjson.ParseBytes(body)
	if !object.IsObject() {
		return nil, false
	}
	out := append(make([]byte, 0, len(body)), '{')
	object.ForEach(func(key, member gjson.Result) bool {
		if key.String() != name {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(append(append(out, key.Raw...), ':'), member.Raw...)
		}
		return true
	})
	return append(out, '}'), true
}

// DropMember returns a body of a content type, a form or a JSON object, without the
// members of that name; any other as it is.
func DropMember(contentType string, body []byte, name string) []byte {
	if kind, _, _ := mime.ParseMediaType(contentType); kind == "application/x-www-form-urlencoded" {
		return []byte(DropQuery(string(body), name))
	}
	if out, ok := DropField(body, name); ok {
		return out
	}
	return body
}

// DropSegment returns an escaped path without a first segment that is of a form,
// such as "/bot*"; * stands for at least one byte.
func DropSegment(path, form string) string {
	before, after, star := strings.Cut(form, "*")
	segment, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if own := "/" + segment; star && len(before) > 1 && len(own) > len(before)+len(after) && strings.HasPrefix(own, before) && strings.HasSuffix(own, after) {
		return "/" + rest
	}
	return path
}
