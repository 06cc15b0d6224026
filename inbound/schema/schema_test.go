package schema

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// compile compiles files, the first of which is the schema.
func compile(t testing.TB, formats bool, files ...string) (*Schema, error) {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Compile(filepath.Join(dir, files[0]), Options{Formats: formats, Read: func(name string) ([]byte, error) {
		text, err := os.ReadFile(name)
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			err = p.Err
		}
		return text, err
	}})
}

func mustCompile(t testing.TB, text string) *Schema {
	t.Helper()
	s, err := compile(t, false, "s.json", text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const customer = `{
  "type": "object", "required": ["id", "data"],
  "properties": {
    "id": {"type": "string", "minLength": 1},
    "data": {"type": "object", "required": ["email"], "properties": {
      "email": {"type": "string", "format": "email"},
      "age": {"type": "integer", "minimum": 0},
      "items": {"type": "array", "items": {"type": "object", "properties": {"price": {"type": "number"}}}},
      "tags": {"type": "object", "additionalProperties": {"type": "string"}},
      "kind": {"anyOf": [{"type": "null"}, {"enum": ["a", "b"]}]},
      "closed": {"type": "object", "properties": {"x": true}, "additionalProperties": false},
      "ref": {"$ref": "#/$defs/short"}, "no": {"not": {"type": "string"}}
    }}
  },
  "$defs": {"short": {"type": "string", "maxLength": 3}}
}`

func TestJudge(t *testing.T) {
	s := mustCompile(t, customer)
	for _, c := range []struct{ body, want string }{
		{`{"id":"x","data":{"email":"a@b.c","age":3,"unknown":[1,2]},"more":1}`, ""},
		{` {"id":"x","data":{"email":"no address"}} `, ""}, // formats are remarks
		{`{"id":1,"data":{"email":"a@b.c"}}`, "/id: type"},
		{`{"data":{"age":-1}}`, "/data/age: minimum; /data/email: required; /id: required"},
		{`{"id":"x","data":{"email":"s3cret","items":[{"price":1},{"price":"s3cret"},{"price":"t"}]}}`, "/data/items/*/price: type"},
		{`{"id":"x","data":{"email":"e","tags":{"s3cret":1,"t":2}}}`, "/data/tags/*: type"},
		{`{"id":"x","data":{"email":"e","kind":"s3cret"}}`, "/data/kind: anyOf"},
		{`{"id":"x","data":{"email":"e","closed":{"added":1,"s3cret 4242":1}}}`, "/data/closed/*: not in the schema; /data/closed/added: not in the schema"},
		{`{"id":"x","data":{"email":"e","ref":"s3cret"}}`, "/data/ref: maxLength"},
		{`{"id":"x","data":{"email":"e","no":"s3cret"}}`, "/data/no: not"},
		{`[]`, "/: type"},
		{`{"id":"x","data":{"email":"e"},"id":"y"}`, "/id: twice"},
		{`{"id":"x","data":{"email":"e","items":[{"s3cret":1,"s3cret":2}]}}`, "/data/items/*/*: twice"},
		{`{"id":"x","data":{"email":"e"},"ID":7}`, ""}, // another name (claim C43)
		{``, "not JSON"},
		{`s3cret=1`, "not JSON"},
		{"\ufeff{}", "not JSON"},
		{"{\"id\":\"\xff\"}", "not UTF-8"},
		{`{"id":"x","data":{"email":"\ud800"}}`, ""},
		{`{"id":"","data":{"email":"\u0000"}}`, "/id: minLength"},
		{`{"id":"x","data":{"email":"e","age":1e400}}`, ""},
		{`{"id":"x","data":{"email":"e","age":1234567890123456789012345678901234567890}}`, ""},
		{`{"id":"x","data":{"email":"e","age":-1234567890123456789012345678901234567890}}`, "/data/age: minimum"},
		{`{"id":"x","data":{"email":"e","age":1e99999999}}`, "too complex"},
		{`{"id":"x","data":{"email":"e","age":` + strings.Repeat("9", 2000) + `}}`, "too complex"},
	} {
		m := s.Judge([]byte(c.body))
		if m == nil {
			if c.want != "" {
				t.Errorf("%s fits", c.body)
			}
			continue
		}
		if m.String() != c.want {
			t.Errorf("%s: %q instead of %q", c.body, m, c.want)
		}
		if strings.Contains(m.String(), "s3cret") {
			t.Errorf("%s: %q tells a value", c.body, m)
		}
	}
}

// TestFingerprint: it is the same whatever the values are, and another for
// another place or keyword.
func TestFingerprint(t *testing.T) {
	s := mustCompile(t, customer)
	print := func(body string) string { return s.Judge([]byte(body)).Fingerprint }
	same := []string{
		`{"id":1,"data":{"email":"e","items":[{"price":"a"}]}}`,
		`{"id":2,"data":{"items":[{},{"price":"b"},{"price":null}],"email":"e"}}`,
	}
	if print(same[0]) != print(same[1]) {
		t.Error("another value, another fingerprint")
	}
	seen := []string{print(same[0])}
	for _, other := range []string{`{"id":"","data":{"email":"e"}}`, `{"id":1,"data":{"email":"e"}}`, `{"data":{"email":"e"}}`, `x`} {
		if f := print(other); slices.Contains(seen, f) {
			t.Errorf("%s has the fingerprint of another", other)
		} else {
			seen = append(seen, f)
		}
	}
}

func TestPlacesAreBounded(t *testing.T) {
	var props, body []string
	for i := range 50 {
		name := "n" + strings.Repeat("x", i)
		props, body = append(props, `"`+name+`":{"type":"string"}`), append(body, `"`+name+`":1`)
	}
	s := mustCompile(t, `{"properties":{`+strings.Join(props, ",")+`}}`)
	m := s.Judge([]byte("{" + strings.Join(body, ",") + "}"))
	if len(m.Places) != maxPlaces || m.More != 50-maxPlaces || !strings.HasSuffix(m.String(), "and 45 more") || len(m.String()) > 1000 {
		t.Errorf("%d places, %d more: %s", len(m.Places), m.More, m)
	}
}

func TestCompile(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []string
		want  string
	}{
		{"local reference", []string{"a.json", `{"$ref":"sub/b.json#/$defs/x"}`, "sub/b.json", `{"$defs":{"x":{"type":"string"}}}`}, ""},
		{"older draft", []string{"a.json", `{"$schema":"http://json-schema.org/draft-07/schema#","type":"string"}`}, ""},
		{"boolean", []string{"a.json", `true`}, ""},
		{"remote reference", []string{"a.json", `{"$ref":"https://example.com/s.json"}`}, "https://example.com/s.json: a schema is never fetched"},
		{"remote meta-schema", []string{"a.json", `{"$schema":"https://example.com/meta"}`}, "never fetched"},
		{"outside", []string{"a.json", `{"$ref":"../b.json"}`}, "outside of the folder"},
		{"absolute", []string{"a.json", `{"$ref":"file:///etc/passwd"}`}, "outside of the folder"},
		{"by id", []string{"a.json", `{"$id":"https://example.com/a","$ref":"b.json"}`, "b.json", `true`}, "never fetched"},
		{"missing", []string{"x/none.json", `{"$ref":"none2.json"}`}, "none2.json: no such file"},
		{"no JSON", []string{"a.json", `{`}, "it is no JSON"},
		{"no schema", []string{"a.json", `{"type":"strnig","minLength":"x"}`}, "it is no valid schema"},
		{"bad pattern", []string{"a.json", `{"pattern":"("}`}, "it is no valid schema"},
		{"no anchor", []string{"a.json", `{"$ref":"#/$defs/none"}`}, "$defs/none"},
	} {
		_, err := compile(t, false, c.files...)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v instead of %q", c.name, err, c.want)
		case err != nil && (strings.Contains(err.Error(), "\n") || c.name != "outside" && strings.Contains(err.Error(), os.TempDir()+"/Test")):
			t.Errorf("%s: %q", c.name, err)
		}
	}
}

func TestFormats(t *testing.T) {
	for _, formats := range []bool{false, true} {
		s, err := compile(t, formats, "a.json", `{"properties":{"at":{"format":"date-time"}}}`)
		if err != nil {
			t.Fatal(err)
		}
		if m := s.Judge([]byte(`{"at":"yesterday"}`)); (m != nil) != formats {
			t.Errorf("formats %v: %v", formats, m)
		}
	}
}

// TestSteps: a schema that refers to itself in two ways would be compared 2^n
// times with what is nested n deep.
func TestSteps(t *testing.T) {
	s := mustCompile(t, `{"$defs":{"e":{"anyOf":[{"items":{"$ref":"#/$defs/e"},"type":"array","maxItems":1},{"items":{"$ref":"#/$defs/e"},"type":"array"},{"type":"null"}]}},"$ref":"#/$defs/e"}`)
	if m := s.Judge([]byte(strings.Repeat("[", 200) + "1" + strings.Repeat("]", 200))); m == nil || m.String() != kindComplex {
		t.Error(m)
	}
	if m := s.Judge([]byte(`[[null]]`)); m != nil { // the next one has its own steps
		t.Error(m)
	}
}

func TestJudgeAtOnce(t *testing.T) {
	s := mustCompile(t, customer)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 100 {
				if m := s.Judge([]byte(`{"id":1,"data":{"email":"a"}}`)); m == nil || m.String() != "/id: type" {
					t.Error(m)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestNamesAsGiven: a file is read by the name that it was given, because it is
// watched by that.
func TestNamesAsGiven(t *testing.T) {
	t.Chdir(t.TempDir())
	var read []string
	_, err := Compile("sub/a.json", Options{Read: func(name string) ([]byte, error) {
		read = append(read, name)
		return []byte(map[string]string{"sub/a.json": `{"$ref":"x/b.json"}`, "sub/x/b.json": `true`}[filepath.ToSlash(name)]), nil
	}})
	if err != nil || strings.Join(read, " ") != "sub/a.json sub/x/b.json" {
		t.Errorf("%q, %v", read, err)
	}
}
