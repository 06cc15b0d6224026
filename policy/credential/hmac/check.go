package hmac

import (
	"slices"
	"strings"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// The names that change while things are put, in the order of [Block.early].
var (
	ofBody   = []string{"request.raw_body", "request.sorted_form"}
	ofQuery  = []string{"request.target", "request.raw_query", "request.decoded_query", "request.sorted_query", "request.sorted_decoded_query", "request.query"}
	ofHeader = []string{"request.header"}
)

// checker finds what is wrong with a block, and sorts its templates into those
// before and those after the signature.
type checker struct {
	b     *Block
	parts map[string]*Part // seen so far
	errs  []error
}

func (c *checker) refuse(attr, format string, args ...any) {
	c.errs = append(c.errs, block.At(attr, format, args...))
}

func (c *checker) attributes() {
	b := c.b
	if b.Encoding == Raw {
		c.refuse("encoding", "a signature is written in hex, HEX, base64 or base64url")
	}
	if b.Algorithm.name == "md5" {
		c.refuse("algorithm", "md5 is no hash to sign with; it is for parts that a provider wants so")
	}
	if n := len(b.KeyID); n > 1 && n != len(b.Secret) {
		c.refuse("key_id", "%d ids do not go with %d secrets: write one for all, or one for each", n, len(b.Secret))
	}
	if b.Nonce == Rising && b.Unit.number == 0 {
		c.refuse("nonce", "a rising nonce is a number: its unit is s, ms, us or ns")
	}
}

func (c *checker) templates() {
	b := c.b
	for _, p := range b.Parts {
		if c.parts[p.Name] != nil || p.Name == "" {
			c.refuse("part", "each part has a name of its own")
		}
		c.names("part", p.Message, p.Algorithm.new != nil)
		c.names("part", p.Key, true)
		p.late = c.late(p.Message)
		if c.late(p.Key) {
			c.refuse("part", "the key of part %q is needed before there is a signature", p.Name)
		}
		c.parts[p.Name] = p
	}
	c.names("message", b.Message, false)
	c.names("key", b.Key, true)
	if c.late(b.Message) {
		c.refuse("message", "the signature cannot sign itself")
	}
	if c.late(b.Key) {
		c.refuse("key", "the key is needed before there is a signature")
	}
	c.places("fields", policy.InBody, b.Fields, slices.Concat(ofBody, ofQuery, ofHeader))
	c.places("query", policy.InQuery, b.Query, slices.Concat(ofQuery, ofHeader))
	c.places("header", policy.InHeader, b.Header, ofHeader)
	if len(b.late) == 0 {
		c.refuse("message", `the signature goes nowhere: write header = { X-Signature = "${signature}" }, or query, or fields`)
	}
	if slices.ContainsFunc(b.late, func(p place) bool { return p.in == policy.InBody }) && c.reads(b.Message, ofBody) {
		c.refuse("fields", "the signature cannot stand in the body that it signs")
	}
}

// places sorts the templates of one attribute. A part is made once, so that one
// that is needed early must not read what changes until the signature is made.
func (c *checker) places(attr string, in policy.SlotKind, list block.Templates, changing []string) {
	var seen []string
	for _, t := range list {
		name := t.Name
		if in == policy.InHeader {
			name = strings.ToLower(name)
			if err := policy.CheckHeader(t.Name); err != nil {
				c.refuse(attr, "%w", err)
			}
		}
		if slices.Contains(seen, name) || name == "" {
			c.refuse(attr, "%q is there twice, or no name", t.Name)
		}
		seen = append(seen, name)
		c.names(attr, t.Template, false)
		if p := (place{in, t.Name, t.Template}); c.late(t.Template) {
			c.b.late = append(c.b.late, p)
			continue
		} else {
			c.b.early = append(c.b.early, p)
		}
		for _, r := range t.Refs() {
			if p := c.parts[r.Key]; r.Name == "part" && p != nil && (c.reads(p.Message, changing) || c.reads(p.Key, changing)) {
				c.refuse(attr, "part %q reads what is put at the same time as %s, or later", p.Name, t.Name)
			}
		}
	}
}

// names checks that each name of a template has a value.
func (c *checker) names(attr string, t *block.Template, secret bool) {
	if t == nil {
		return
	}
	for _, r := range t.Refs() {
		switch r.Name {
		case "request.query", "request.header":
			if r.Key == "" {
				c.refuse(attr, "%s needs a name: %s[\"X\"]", r.Name, r.Name)
			}
		case "key_id":
			if len(c.b.KeyID) == 0 {
				c.refuse(attr, "there is no key_id")
			}
		case "values":
			if !slices.Contains(c.b.names, r.Key) {
				c.refuse(attr, "there is no %q in values", r.Key)
			}
		case "part":
			if c.parts[r.Key] == nil {
				c.refuse(attr, "there is no part %q above", r.Key)
			}
		case "expires":
			if c.b.Expires.Duration == 0 {
				c.refuse(attr, "write expires = \"1m\" to say how long a signature holds")
			}
		case "secret":
			if !secret {
				c.refuse(attr, "the secret itself is for keys, and for parts that are hashed")
			}
		}
	}
}

// late reports whether a template needs the signature.
func (c *checker) late(t *block.Template) bool {
	return c.some(t, func(r *block.Ref) bool { return r.Name == "signature" })
}

// reads reports whether a template, or a part in it, reads one of the names.
func (c *checker) reads(t *block.Template, names []string) bool {
	return c.some(t, func(r *block.Ref) bool { return slices.Contains(names, r.Name) })
}

func (c *checker) some(t *block.Template, is func(*block.Ref) bool) bool {
	return t != nil && slices.ContainsFunc(t.Refs(), func(r *block.Ref) bool {
		p := c.parts[r.Key]
		return is(r) || r.Name == "part" && p != nil && (c.some(p.Message, is) || c.some(p.Key, is))
	})
}
