package block

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Overlay lays bodies over each other, attribute by attribute; a later one
// wins. A nested block is identified by its type and labels. The result keeps
// the place of every attribute, so that diagnostics point to what was written.
func Overlay(bodies ...*hclsyntax.Body) *hclsyntax.Body {
	out := &hclsyntax.Body{Attributes: hclsyntax.Attributes{}}
	for _, b := range bodies {
		if b == nil {
			continue
		}
		out.SrcRange, out.EndRange = b.SrcRange, b.EndRange
		for name, a := range b.Attributes {
			out.Attributes[name] = a
		}
		for _, blk := range b.Blocks {
			at := slices.IndexFunc(out.Blocks, func(o *hclsyntax.Block) bool {
				return o.Type == blk.Type && slices.Equal(o.Labels, blk.Labels)
			})
			if at < 0 || len(b.Blocks) > 0 && ownedBy(b, out.Blocks[at]) {
				out.Blocks = append(out.Blocks, blk)
				continue
			}
			laid := *blk
			laid.Body = Overlay(out.Blocks[at].Body, blk.Body)
			out.Blocks[at] = &laid
		}
	}
	return out
}

// ownedBy reports whether blk was written in b itself: a duplicate, which the
// schema reports.
func ownedBy(b *hclsyntax.Body, blk *hclsyntax.Block) bool {
	return slices.ContainsFunc(b.Blocks, func(o *hclsyntax.Block) bool { return o.Body == blk.Body })
}

// An Attribute is a value as written.
type Attribute struct {
	Name  string // with the types of the blocks around it: backoff.first
	Range hcl.Range
	Expr  hclsyntax.Expression
}

// Attributes lists what is written in body and the blocks in it, in the order
// of the place.
func Attributes(body *hclsyntax.Body) []Attribute {
	return attributes("", body)
}

func attributes(prefix string, body *hclsyntax.Body) (out []Attribute) {
	for name, a := range body.Attributes {
		out = append(out, Attribute{prefix + name, a.SrcRange, a.Expr})
	}
	slices.SortFunc(out, func(a, b Attribute) int {
		if c := strings.Compare(a.Range.Filename, b.Range.Filename); c != 0 {
			return c
		}
		return a.Range.Start.Byte - b.Range.Start.Byte
	})
	for _, b := range body.Blocks {
		out = append(out, attributes(prefix+b.Type+".", b.Body)...)
	}
	return out
}
