package inbound

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/postern-proxy/postern/config/block"
)

// Sample is a request that a webhook takes for an event of a type: body, or if that
// is nil a small one that is made of the event block. at is the public URL, if there
// is any. It is for development, and not signed: see [Webhook.SignSample].
func (w *Webhook) Sample(kind string, body []byte, header http.Header, at string, now time.Time) *Request {
	r := &Request{Method: http.MethodPost, URL: at, Path: w.Path, Header: header.Clone(), Body: body, Received: now}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	made := &sampled{header: r.Header, body: map[string]any{}, item: map[string]any{}, group: map[string]any{}}
	made.set(w.Event.Type, kind)
	if body == nil {
		made.set(w.Event.ID, "evt_"+strings.ReplaceAll(uuid.NewString(), "-", "")[:24])
		made.set(w.Event.Account, "acct_sample")
		made.set(w.Event.Key, "key_sample")
		made.set(w.Event.Time, w.Event.Unit.sample(now))
		r.Body, _ = json.Marshal(made.whole(w.Event.Split, w.Event.Nested)) // of maps, lists and texts
	}
	if w.check != nil && w.check.Form && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Body = formOf(r.Body)
	}
	if r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// formOf writes a JSON object as a form: texts as they are, all else as JSON. What is
// none is a form already.
func formOf(body []byte) []byte {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return body
	}
	form := url.Values{}
	for name, raw := range fields {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		form.Set(name, text)
	}
	return []byte(form.Encode())
}

// errNoKey says that a sample cannot be signed.
var errNoKey = errors.New("it is signed with a key that only the sender has, or in a way that Postern cannot make: have the provider send a test event")

// SignSample signs a request as its sender would. The signature may stand in its body,
// and be the very secret.
func (w *Webhook) SignSample(r *Request) error {
	switch {
	case w.check == nil || w.check.None:
		return nil
	case w.check.Sign == nil:
		return fmt.Errorf("webhook %q: %w", w.Name, errNoKey)
	}
	if err := w.check.Sign(r); err != nil {
		return fmt.Errorf("webhook %q: %w", w.Name, err)
	}
	return nil
}

// Signs reports whether samples can be signed.
func (w *Webhook) Signs() bool { return w.check != nil && (w.check.None || w.check.Sign != nil) }

// Webhook returns the webhook of this name, nil if there is none.
func (s *Set) Webhook(name string) *Webhook {
	i := slices.IndexFunc(s.hooks, func(w *Webhook) bool { return w.Name == name })
	if i < 0 {
		return nil
	}
	return s.hooks[i]
}

// PublicURL is what the path and query of a request make of the public URL; "" if
// none is configured.
func (s *Set) PublicURL(uri string) string { return s.config.publicURL(uri) }

// sample is a time as a provider writes it.
func (u Unit) sample(t time.Time) any {
	switch u {
	case RFC3339:
		return t.UTC().Format(time.RFC3339)
	case Millis:
		return t.UnixMilli()
	}
	return t.Unix()
}

// sampled is a request that is made so that expressions find something.
type sampled struct {
	header http.Header
	body   map[string]any
	item   map[string]any // of a list that is split
	group  map[string]any // that the item is nested in
}

// whole is the body, with the item in the list that is split.
func (s *sampled) whole(split, nested *block.Expr) any {
	if split == nil {
		return s.body
	}
	item := s.nested(nested)
	for _, ref := range split.Refs() {
		if ref.Name != "body" {
			continue
		}
		if ref.Path == "" {
			return []any{item}
		}
		put(s.body, strings.Split(ref.Path, "."), []any{item})
	}
	return s.body
}

// nested is the item of the outer list.
func (s *sampled) nested(in *block.Expr) map[string]any {
	if in == nil {
		maps.Copy(s.item, s.group)
		return s.item
	}
	for _, ref := range in.Refs() {
		if ref.Name == "item" && ref.Path != "" {
			put(s.group, strings.Split(ref.Path, "."), []any{s.item})
			break
		}
	}
	return s.group
}

// set puts a value where an expression reads first.
func (s *sampled) set(x *block.Expr, value any) {
	if x == nil {
		return
	}
	for _, ref := range x.Refs() {
		switch {
		case ref.Name == "header" && ref.Key != "":
			if s.header.Get(ref.Key) == "" {
				s.header.Set(ref.Key, fmt.Sprint(value))
			}
		case ref.Name == "group" && ref.Path != "":
			put(s.group, strings.Split(ref.Path, "."), value)
		case ref.Name == "item" && ref.Path != "":
			put(s.item, strings.Split(ref.Path, "."), value)
		case ref.Name == "body" && ref.Path != "":
			put(s.body, strings.Split(ref.Path, "."), value)
		default:
			continue
		}
		return
	}
}

// put sets the value at a path in nested maps and lists; what is there already stays.
func put(in map[string]any, path []string, value any) {
	name, rest := path[0], path[1:]
	if len(rest) == 0 {
		if in[name] == nil {
			in[name] = value
		}
		return
	}
	if n, err := strconv.Atoi(rest[0]); err == nil && n == 0 {
		list, _ := in[name].([]any)
		if len(rest) == 1 {
			if list == nil {
				in[name] = []any{value}
			}
			return
		}
		if len(list) == 0 {
			list = []any{map[string]any{}}
			in[name] = list
		}
		if item, ok := list[0].(map[string]any); ok {
			put(item, rest[1:], value)
		}
		return
	}
	inner, ok := in[name].(map[string]any)
	if !ok {
		if in[name] != nil {
			return
		}
		inner = map[string]any{}
		in[name] = inner
	}
	put(inner, rest, value)
}
