package deploy

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// value is what a mapping has under a key, nil if nothing, or if m is no
// mapping.
func value(m *yaml.Node, key string) *yaml.Node {
	if i := index(m, key); i >= 0 {
		return m.Content[i]
	}
	return nil
}

// index is where the value of a key stands in the content of a mapping, or -1.
func index(m *yaml.Node, key string) int {
	if m == nil || m.Kind != yaml.MappingNode {
		return -1
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Kind == yaml.ScalarNode && m.Content[i].Value == key {
			return i + 1
		}
	}
	return -1
}

// word is the text under a key, "" if there is none.
func word(m *yaml.Node, keys ...string) string {
	for _, key := range keys {
		m = value(m, key)
	}
	if m == nil || m.Kind != yaml.ScalarNode {
		return ""
	}
	return m.Value
}

// set puts v under a key, where the key stands or at the end.
func set(m *yaml.Node, key string, v *yaml.Node) {
	if i := index(m, key); i >= 0 {
		v.LineComment, v.HeadComment, v.FootComment = m.Content[i].LineComment, m.Content[i].HeadComment, m.Content[i].FootComment
		m.Content[i] = v
		return
	}
	m.Content = append(m.Content, text(key), v)
}

// list is the sequence under a key, made if it is missing or null.
func list(m *yaml.Node, key string) (*yaml.Node, error) {
	s := value(m, key)
	switch {
	case s == nil || s.Tag == "!!null":
		s = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		set(m, key, s)
	case s.Kind != yaml.SequenceNode:
		return nil, fmt.Errorf("line %d: %s is no list", s.Line, key)
	case len(s.Content) == 0:
		s.Style = 0 // a flow list would hold all that comes
	}
	return s, nil
}

// named finds the element of a list whose key has that text.
func named(s *yaml.Node, key, name string) int {
	return slices.IndexFunc(s.Content, func(e *yaml.Node) bool { return word(e, key) == name })
}

// put replaces the element that has the same name, or inserts it at.
func put(s *yaml.Node, at int, e *yaml.Node, key string) {
	if i := named(s, key, word(e, key)); i >= 0 {
		s.Content[i] = e
		return
	}
	s.Content = slices.Insert(s.Content, at, e)
}

// descend follows keys to a mapping that has to be there.
func descend(m *yaml.Node, keys ...string) (*yaml.Node, error) {
	for _, key := range keys {
		next := value(m, key)
		if next == nil || next.Kind != yaml.MappingNode {
			return nil, fmt.Errorf("line %d: there is no %s", m.Line, key)
		}
		m = next
	}
	return m, nil
}

func text(s string) *yaml.Node {
	n := new(yaml.Node)
	n.SetString(s)
	return n
}

func mapping() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"} }

// fields is a mapping of texts; the booleans among them are given as such.
func fields(pairs ...any) *yaml.Node {
	m := mapping()
	for i := 0; i+1 < len(pairs); i += 2 {
		v := new(yaml.Node)
		_ = v.Encode(pairs[i+1]) // of a text or a bool
		m.Content = append(m.Content, text(pairs[i].(string)), v)
	}
	return m
}

// strip takes the comments out.
func strip(n *yaml.Node) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	for _, c := range n.Content {
		strip(c)
	}
}

// clone copies a tree that has no aliases.
func clone(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = make([]*yaml.Node, len(n.Content))
	for i, e := range n.Content {
		c.Content[i] = clone(e)
	}
	return &c
}

// plain refuses what cannot be changed at one place only: anchors, aliases, and
// keys that stand twice.
func plain(n *yaml.Node) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return fmt.Errorf("line %d: the pod is written with an anchor or alias; write it out", n.Line)
	}
	if n.Kind == yaml.MappingNode {
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind == yaml.ScalarNode && seen[key.Value] {
				return fmt.Errorf("line %d: %s stands twice", key.Line, key.Value)
			}
			seen[key.Value] = true
		}
	}
	for _, c := range n.Content {
		if err := plain(c); err != nil {
			return err
		}
	}
	return nil
}
