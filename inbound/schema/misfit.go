package schema

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Misfit says what does not fit: where, and which keyword of the schema says so.
// It holds no value, and of the names in the text only those that the schema
// names too, or that are no more than a word.
type Misfit struct {
	// Fingerprint is the same for texts that miss in the same places in the same
	// ways, whatever their values are and however long their lists.
	Fingerprint string
	Places      []string // "/data/email: required", sorted, each once
	More        int      // places beyond those
}

const (
	maxPlaces = 20
	maxShown  = 5
	maxPlace  = 120 // bytes of one
)

const (
	anyIndex  = "*"
	kindLarge = "does not fit, and is too large to say where"
)

// String lists the first places.
func (m *Misfit) String() string {
	shown := m.Places[:min(len(m.Places), maxShown)]
	text := strings.Join(shown, "; ")
	if more := len(m.Places) - len(shown) + m.More; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// place is one that does not fit.
type place struct {
	path []string
	name string // of the member that is missing, or one too many
	kind string
}

// misfit words places, each once.
func (s *Schema) misfit(all ...place) *Misfit {
	var texts []string
	for _, p := range all {
		var b strings.Builder
		for _, step := range p.path {
			b.WriteString("/" + s.shown(step))
		}
		if p.name != "" {
			b.WriteString("/" + p.name)
		}
		if b.Len() == 0 && p.kind != kindLarge && len(all) > 0 && p.path != nil {
			b.WriteByte('/')
		}
		text := clip(b.String())
		if text != "" {
			text += ": "
		}
		texts = append(texts, text+p.kind)
	}
	slices.Sort(texts)
	texts = slices.Compact(texts)
	sum := sha256.Sum256([]byte(strings.Join(texts, "\n")))
	m := &Misfit{Fingerprint: hex.EncodeToString(sum[:6]), Places: texts}
	if len(texts) > maxPlaces {
		m.Places, m.More = texts[:maxPlaces:maxPlaces], len(texts)-maxPlaces
	}
	return m
}

// clip shortens a path in its middle, where it says least.
func clip(path string) string {
	if len(path) <= maxPlace {
		return path
	}
	return path[:maxPlace/2] + "..." + path[len(path)-maxPlace/2:]
}

// shown is a step of a path as it may be seen: an index of an array, and the key
// of a map, are as good as any other.
func (s *Schema) shown(step string) string {
	if s.names[step] {
		return strings.ReplaceAll(strings.ReplaceAll(step, "~", "~0"), "/", "~1")
	}
	return anyIndex
}

// word is a name that the schema does not know, if it is no more than a word:
// what has digits or other signs in it may be data.
func word(name string) string {
	for _, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == '-') {
			return anyIndex
		}
	}
	if name == "" || len(name) > 40 {
		return anyIndex
	}
	return name
}

// places are the innermost of e: where one of several schemas would do, it is
// that choice which does not fit.
func places(e *jsonschema.ValidationError) (all []place) {
	at := e.InstanceLocation
	if at == nil {
		at = []string{}
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		return named(at, k.Missing, "required", false)
	case *kind.Dependency:
		return named(at, k.Missing, "required", false)
	case *kind.DependentRequired:
		return named(at, k.Missing, "required", false)
	case *kind.AdditionalProperties:
		return named(at, k.Properties, "not in the schema", true)
	case *kind.PropertyNames:
		return []place{{path: at, kind: "propertyNames"}}
	case *kind.FalseSchema:
		return []place{{path: at, kind: "not in the schema"}}
	case *kind.AnyOf, *kind.OneOf, *kind.Contains, *kind.MinContains, *kind.ContentSchema, *kind.Not:
	default:
		for _, c := range e.Causes {
			all = append(all, places(c)...)
		}
	}
	if all == nil {
		all = []place{{path: at, kind: keyword(e)}}
	}
	return all
}

func keyword(e *jsonschema.ValidationError) string {
	if _, ok := e.ErrorKind.(*kind.Not); ok {
		return "not"
	}
	if path := e.ErrorKind.KeywordPath(); len(path) > 0 {
		return path[len(path)-1]
	}
	return "schema"
}

// named are members of the object at a path.
func named(at, names []string, why string, strange bool) (all []place) {
	for _, n := range names {
		if strange {
			n = word(n)
		} else if n == "" {
			n = anyIndex
		}
		all = append(all, place{at, n, why})
	}
	return all
}

// doubles are the names that an object has twice: which of the two counts would
// be anybody's guess.
func doubles(paths [][]string) (all []place) {
	for _, p := range paths {
		all = append(all, place{path: p, kind: "twice"})
	}
	slices.SortFunc(all, func(a, b place) int { return cmp.Compare(len(a.path), len(b.path)) })
	return all
}

// Refuse is the misfit of a text that cannot be looked at, for that reason.
func (s *Schema) Refuse(why string) *Misfit { return s.misfit(place{kind: why}) }
