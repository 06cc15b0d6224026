package block

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// Items cuts the elements out of v, byte for byte as they stand in it: of a list,
// or of a string that holds one as JSON. An object is the only element of itself,
// if it has anything in it. It stops after limit of them, and reports how many
// there are, but for more than limit only that there are more; false if v is
// nothing of the kind.
func (v Value) Items(limit int) (items []string, n int, ok bool) {
	text := v.Str
	if v.Kind == String && ValidJSON([]byte(text)) {
		text = strings.TrimSpace(text)
	} else if v.Kind != JSON {
		return nil, 0, false
	}
	all := gjson.Parse(text)
	switch {
	case all.IsArray():
		all.ForEach(func(_, item gjson.Result) bool {
			if n++; n > limit {
				return false
			}
			items = append(items, item.Raw)
			return true
		})
	case !all.IsObject():
		return nil, 0, false
	case strings.TrimSpace(all.Raw[1:len(all.Raw)-1]) != "":
		items, n = []string{all.Raw}, 1
	}
	return items, n, true
}

// Without cuts the values that names name out of a text that [ValidJSON] has accepted, in
// place: what stays is the rest, byte for byte. The text is as it was where it has none
// of them.
func Without(text []byte, names []*Expr) []byte {
	var cuts []gjson.Result
	for _, e := range names {
		for _, r := range e.refs {
			if v := gjson.GetBytes(text, r.Path); v.Index > 0 {
				cuts = append(cuts, v)
			}
		}
	}
	if cuts == nil {
		return text
	}
	slices.SortFunc(cuts, func(a, b gjson.Result) int { return a.Index - b.Index })
	rest, at := make([]byte, 0, len(text)), 0
	for _, c := range cuts {
		if c.Index >= at { // else it is in what has been cut
			rest, at = append(rest, text[at:c.Index]...), c.Index+len(c.Raw)
		}
	}
	return append(rest, text[at:]...)
}

// Exact reports whether e yields what it names as it is, byte for byte: a name, or
// one of several. What functions and operators make is written anew.
func (e *Expr) Exact() bool { return exact(e.root) }

func exact(n node) bool {
	switch n := n.(type) {
	case name:
		return true
	case literal:
		return n.v.Kind == Null
	case *choice:
		return exact(n.then) && exact(n.other)
	}
	return false
}
