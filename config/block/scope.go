package block

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// shape is what may follow a name.
type shape uint8

const (
	scalar shape = iota // nothing
	table               // one key: header["X"], query.page
	tree                // a path into JSON or a form: body.data.id
)

var (
	request = map[string]shape{"request.method": scalar, "request.host": scalar, "request.path": scalar, "request.query": table, "request.header": table, "request.body": tree, "request.raw_body": scalar, "account": scalar, "client": scalar}
	answer  = map[string]shape{"response.status": scalar, "response.header": table, "response.body": tree}
	webhook = map[string]shape{"header": table, "query": table, "body": tree, "raw_body": scalar, "url": scalar, "timestamp": scalar}
	verify  = map[string]shape{"method": scalar, "path": scalar, "field": table, "secret": scalar, "raw_body_sha256": scalar, "raw_body_sha256_base64": scalar}
	item    = map[string]shape{"item": tree}
	event   = map[string]shape{"event.id": scalar, "event.type": scalar, "event.account": scalar, "event.time": scalar, "event.key": scalar}
	deliver = map[string]shape{"header": table, "body": tree, "raw_body": scalar}
	token   = map[string]shape{"token": scalar}
	signing = map[string]shape{
		"request.method": scalar, "request.host": scalar, "request.path": scalar, "request.target": scalar, "request.raw_query": scalar,
		"request.decoded_query": scalar, "request.sorted_query": scalar, "request.sorted_decoded_query": scalar, "request.sorted_form": scalar,
		"request.query": table, "request.header": table, "request.raw_body": scalar,
		"key_id": scalar, "secret": scalar, "values": table, "timestamp": scalar, "expires": scalar, "nonce": scalar, "part": table, "signature": scalar,
	}
	account  = map[string]shape{"account": scalar}
	params   = map[string]shape{"account": scalar, "params": table}
	listing  = join(answer, params, map[string]shape{"since": scalar, "cursor": scalar, "last": tree})
	granted  = map[string]shape{"account": scalar, "response.body": tree}
	asserted = map[string]shape{"sent": tree, "asked": tree, "response": tree, "problem": tree, "waited": scalar, "stored": scalar, "delivered": tree}
)

// scopes says which names an expression may use where (docs/policy.md, "Expressions").
var scopes = map[string]map[string]shape{
	"request":      request,
	"response":     join(request, answer),
	"credential":   token,
	"signing":      signing,
	"webhook":      webhook,
	"verify":       join(webhook, verify),
	"confirmation": join(webhook, map[string]shape{"token": scalar}),
	"answer":       join(webhook, map[string]shape{"method": scalar, "path": scalar, "signature.hex": scalar, "signature.base64": scalar, "hash.hex": scalar, "hash.base64": scalar}),
	"items":        join(webhook, item, map[string]shape{"group": tree}),
	"event":        join(webhook, item, event),
	"delivery":     join(deliver, event),
	"account":      account,
	"reconcile":    listing,
	"item":         join(listing, map[string]shape{"item": tree}),
	"subscribed":   join(answer, params, map[string]shape{"until": scalar}),
	"token":        granted,
	"test":         asserted,
}

func join(ms ...map[string]shape) map[string]shape {
	out := map[string]shape{}
	for _, m := range ms {
		maps.Copy(out, m)
	}
	return out
}

// Ref is a name that an expression uses.
type Ref struct {
	Name string // such as "request.header" or "body"
	Key  string // of a table: the header or query parameter as written
	Path string // of a tree: a gjson path, "" for all of it
}

// String is a canonical form, distinct for distinct refs.
func (r *Ref) String() string { return r.Name + "\x00" + r.Key + "\x00" + r.Path }

// newRef reads a traversal as a name of the scope.
func newRef(t hcl.Traversal, scope string) (*Ref, *hcl.Diagnostic) {
	names := scopes[scope]
	name, rest := t.RootName(), t[1:]
	kind, ok := names[name]
	if !ok && len(rest) > 0 {
		if next, isKey := stepName(rest[0]); isKey {
			if k, found := names[name+"."+next]; found {
				name, rest, kind, ok = name+"."+next, rest[1:], k, true
			}
		}
	}
	where := t.SourceRange()
	if !ok {
		return nil, unknownName(t, names)
	}
	ref := &Ref{Name: name}
	switch {
	case kind == scalar && len(rest) > 0, kind == table && len(rest) > 1:
		return nil, problem("Unsupported attribute", fmt.Sprintf("%s has nothing below it.", name), where)
	case kind == table && len(rest) == 1:
		key, _ := stepName(rest[0])
		ref.Key = key
	case kind == tree:
		var steps []string
		for _, s := range rest {
			step, _ := stepName(s)
			steps = append(steps, escapeStep(step))
		}
		ref.Path = strings.Join(steps, ".")
	}
	return ref, nil
}

func stepName(s hcl.Traverser) (string, bool) {
	switch s := s.(type) {
	case hcl.TraverseAttr:
		return s.Name, true
	case hcl.TraverseIndex:
		if s.Key.Type() == cty.String {
			return s.Key.AsString(), true
		}
		text, _ := fromCty(s.Key).Text()
		return text, true
	}
	return "", false
}

func unknownName(t hcl.Traversal, names map[string]shape) *hcl.Diagnostic {
	written := t.RootName()
	if len(t) > 1 {
		if s, ok := stepName(t[1]); ok {
			written += "." + s
		}
	}
	known := slices.Sorted(maps.Keys(names))
	known = append(known, "environment")
	if s := Suggest(written, known); s != "" {
		return problem("Unknown name", fmt.Sprintf("There is no %s here. Did you mean %s?", written, s), t.SourceRange())
	}
	return problem("Unknown name", fmt.Sprintf("There is no %s here. Known are: %s.", written, strings.Join(known, ", ")), t.SourceRange())
}

// Suggest returns the one of known that given most likely means, or "".
func Suggest(given string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		if d := levenshtein.Distance(given, k, nil); d < least && d < len(k) {
			best, least = k, d
		}
	}
	return best
}
