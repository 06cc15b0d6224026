package claim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/postern-proxy/postern/config/block"
)

// Object is the first level of a JSON object.
type Object map[string]json.RawMessage

// maxFields is how many names an object may have.
const maxFields = 1000

// Read reads the first level of an object. A name that is there twice, in whatever
// case, is refused: which one counts would depend on the reader, and the signature
// would be about another one.
func Read(text []byte) (Object, error) {
	no := errors.New("it is no JSON object")
	if !block.ValidJSON(text) {
		return nil, no
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, no
	}
	o, seen := Object{}, map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok || len(o) >= maxFields {
			return nil, no
		}
		if seen[strings.ToLower(name)] {
			return nil, fmt.Errorf("%.80q is there twice", name)
		}
		seen[strings.ToLower(name)] = true
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, no
		}
		o[name] = raw
	}
	return o, nil
}

// Text is a field as text: a string, a number as it is written, or a bool. It is ""
// if there is none, and for null.
func (o Object) Text(name string) string {
	raw := o[name]
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) || raw[0] == '{' || raw[0] == '[' {
		return ""
	}
	if raw[0] != '"' {
		return string(raw)
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return ""
	}
	return s
}

// Object is a field that is an object; empty if it is none.
func (o Object) Object(name string) (Object, error) {
	if len(o[name]) == 0 {
		return Object{}, nil
	}
	in, err := Read(o[name])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return in, nil
}

// List is a field that is a list; nil if it is none.
func (o Object) List(name string) (items []json.RawMessage) {
	if raw := o[name]; len(raw) > 0 && raw[0] == '[' {
		_ = json.Unmarshal(raw, &items)
	}
	return items
}
