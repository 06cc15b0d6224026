package inbound

import (
	"bytes"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
)

// Names answers the names that expressions and signature templates use about
// one request. A header or query parameter that is sent more than once has no
// value: which one counts would be anybody's guess.
type Names struct {
	*Request
	Timestamp string
	Event     *Event // nil where event.* is not in scope
	Item      []byte // of a list in the body, as JSON; nil if the event is the whole body
	Group     []byte // the item of that list that Item is nested in, or is

	read, groupRead map[string]block.Value // of the body and of the group, for all their items
}

// bodyKind is what a body can be read as.
type bodyKind struct{ known, form, opaque bool }

// bodyKind looks through the body once, whoever asks. It goes by the bytes, and by what
// headers say of them only where the bytes leave it open: few providers sign headers, so
// that whoever replays a request can make them say anything.
func (r *Request) bodyKind() bodyKind {
	if !r.kind.known {
		form, encoded := isForm(r.Header), r.Header.Get("Content-Encoding") != ""
		if form && !compound(r.Body) {
			r.kind = bodyKind{known: true, form: true, opaque: encoded && !isASCII(r.Body)}
			return r.kind
		}
		json := block.ValidJSON(r.Body)
		r.kind = bodyKind{known: true, form: form && !json, opaque: !json && (!form || encoded)}
	}
	return r.kind
}

// isJSON reports whether the body is read as JSON.
func (r *Request) isJSON() bool { k := r.bodyKind(); return !k.form && !k.opaque }

// compound reports whether body begins as an object or a list does, and no form.
func compound(body []byte) bool {
	body = bytes.TrimLeft(body, " \t\r\n")
	return len(body) > 0 && (body[0] == '{' || body[0] == '[')
}

// isASCII reports whether body is ASCII without control characters, as forms are and
// what is compressed is not.
func isASCII(body []byte) bool {
	for _, c := range body {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// Lookup implements [block.Source].
func (n *Names) Lookup(ref *block.Ref) block.Value {
	switch ref.Name {
	case "body":
		return n.body(ref.Path)
	case "item":
		if n.Item == nil {
			return block.Value{}
		}
		return block.JSONField(n.Item, ref.Path)
	case "group":
		return n.group(ref.Path)
	case "header":
		if ref.Key == "" {
			return block.ObjectValue(n.Header)
		}
	case "query":
		if ref.Key == "" {
			return block.ObjectValue(parseQuery(n.Query))
		}
	}
	if b, ok := n.Bytes(ref); ok {
		return block.Value{Kind: block.String, Str: string(b)}
	}
	return block.Value{}
}

// Bytes implements [block.BytesSource].
func (n *Names) Bytes(ref *block.Ref) ([]byte, bool) {
	switch ref.Name {
	case "raw_body":
		return n.Body, true
	case "timestamp":
		return []byte(n.Timestamp), n.Timestamp != ""
	case "url":
		return []byte(n.URL), n.URL != ""
	case "method":
		return []byte(n.Method), n.Method != ""
	case "path":
		return []byte(n.Path), n.Path != ""
	case "body":
		v, ok := n.body(ref.Path).Text()
		return []byte(v), ok
	case "header":
		v, ok := only(n.Header.Values(ref.Key))
		return []byte(v), ok
	case "query":
		v, ok := only(parseQuery(n.Query)[ref.Key])
		return []byte(v), ok
	}
	if v, ok := n.event(ref.Name); ok {
		return []byte(v), v != ""
	}
	return nil, false
}

func (n *Names) event(name string) (string, bool) {
	if n.Event == nil {
		return "", false
	}
	switch name {
	case "event.id":
		return n.Event.EventID, true
	case "event.type":
		return n.Event.Type, true
	case "event.account":
		return n.Event.Account, true
	case "event.key":
		return n.Event.Key, true
	case "event.time":
		if n.Event.Occurred.IsZero() {
			return "", true
		}
		return n.Event.Occurred.UTC().Format(time.RFC3339Nano), true
	}
	return "", false
}

// body reads a form if the sender says that it is one, and JSON otherwise.
func (n *Names) body(path string) block.Value {
	if n.bodyKind().opaque {
		return block.Value{}
	}
	if v, ok := n.read[path]; ok {
		return v
	}
	v := n.field(path)
	if n.read != nil { // whatever the number of items, the body is looked through once
		n.read[path] = v
	}
	return v
}

// group reads the item of the outer list.
func (n *Names) group(path string) block.Value {
	if n.Group == nil {
		return block.Value{}
	}
	v, ok := n.groupRead[path]
	if !ok {
		v = block.JSONField(n.Group, path)
		if n.groupRead != nil {
			n.groupRead[path] = v
		}
	}
	return v
}

// field reads a body that can be read. In a form, a path may go on into a field
// that is JSON, such as payload.
func (n *Names) field(path string) block.Value {
	if !n.bodyKind().form {
		return block.JSONField(n.Body, path)
	}
	return block.FormField(n.Body, path)
}

func isForm(h http.Header) bool {
	t := h.Get("Content-Type")
	if t == "application/json" { // as most are
		return false
	}
	kind, _, err := mime.ParseMediaType(t)
	return err == nil && kind == "application/x-www-form-urlencoded"
}

func only(values []string) (string, bool) {
	if len(values) != 1 {
		return "", false
	}
	return values[0], true
}

func parseQuery(raw string) url.Values {
	if raw == "" || strings.ContainsRune(raw, ';') {
		return nil
	}
	v, err := url.ParseQuery(raw)
	if err != nil {
		return nil
	}
	return v
}
