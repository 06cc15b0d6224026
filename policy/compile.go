package policy

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/config/block"
)

// A Written is one provider as the files say it.
type Written struct {
	Name   string
	Range  hcl.Range
	Layers []*hclsyntax.Body // the catalogue's body first, if there is one
}

// head is what stands in a provider block beside the blocks of features.
type head struct {
	Catalog   string    `hcl:"catalog,optional"`
	Hosts     []Host    `hcl:"hosts,optional"`
	Upstream  *Upstream `hcl:"upstream,optional"`
	Endpoints []Pattern `hcl:"endpoints,optional"`
	Listen    string    `hcl:"listen,optional"`
}

// Check refuses what no call could come to.
func (h *head) Check() error {
	var errs []error
	if p := Duplicate(h.Endpoints); p != nil {
		errs = append(errs, block.At("endpoints", "%q matches the same requests as one before it", p.Text))
	}
	if h.Listen != "" {
		if _, port, err := net.SplitHostPort(h.Listen); err != nil || port != "0" && !validPort(port) {
			errs = append(errs, block.At("listen", "%q is not an address with a port, such as \"127.0.0.1:8091\"", h.Listen))
		}
	}
	return errors.Join(errs...)
}

// Upstream is the base URL of another place to send to: a mock, a staging host.
type Upstream struct{ url.URL }

// UnmarshalText reads an http or https URL of a host alone.
func (u *Upstream) UnmarshalText(text []byte) error {
	v, err := url.Parse(string(text))
	if err != nil || v.Scheme != "http" && v.Scheme != "https" || v.Hostname() == "" || v.Path != "" && v.Path != "/" || v.RawQuery != "" || v.Fragment != "" || v.User != nil {
		return fmt.Errorf("%q is not the URL of a host, such as \"http://127.0.0.1:12111\"", text)
	}
	v.Path = ""
	u.URL = *v
	return nil
}

// unbuilt says which names of the policy language this version does not have:
// they are refused, never ignored.
var unbuilt = map[string]bool{"drift": true}

// Compile turns providers into a Set. Every problem is reported, not just the
// first. base sends a request that has passed all stages.
func Compile(written []Written, features []Feature, ctx *block.Context, base http.RoundTripper) (*Set, hcl.Diagnostics) {
	c := &compiler{features: features, ctx: ctx, base: base, set: &Set{exact: map[string]*Provider{}, byName: map[string]*Provider{}}, at: map[string]hcl.Range{}, listens: map[string]string{}}
	for _, w := range written {
		if first, ok := c.at[w.Name]; ok {
			c.fail("Duplicate provider", fmt.Sprintf("Provider %q is already at %s.", w.Name, first), w.Range)
			continue
		}
		c.at[w.Name] = w.Range
		c.provider(w)
	}
	return c.set, unique(c.diags)
}

type compiler struct {
	features []Feature
	ctx      *block.Context
	base     http.RoundTripper
	set      *Set
	at       map[string]hcl.Range
	listens  map[string]string // providers by their own ports
	hosts    []Host            // of the provider that is being compiled
	upstream *url.URL          // and its
	diags    hcl.Diagnostics
}

// provider compiles one provider with all its routes.
func (c *compiler) provider(w Written) {
	h := c.head(w)
	p := &Provider{Name: w.Name, Hosts: h.Hosts, Listen: h.Listen}
	if h.Upstream != nil {
		p.Upstream = &h.Upstream.URL
	}
	c.hosts, c.upstream = h.Hosts, p.Upstream
	var layers []hclsyntax.Blocks
	for _, body := range w.Layers {
		layers = append(layers, c.blocks(body, true))
	}
	own := c.lay(nil, layers, len(layers)-1)
	shared := c.stages(Scope{Provider: w.Name}, own, nil)
	p.whole = c.plan(p, "", w.Range, shared)
	for i := range h.Endpoints {
		p.labels = append(p.labels, &h.Endpoints[i])
	}
	for _, r := range c.routes(layers) {
		stages := c.stages(Scope{Provider: w.Name, Route: r.pattern.Text}, c.lay(own, r.layers, 0), shared)
		p.routes = append(p.routes, routed{&r.pattern, c.plan(p, r.pattern.Text, r.at, stages)})
		p.labels = append(p.labels, &r.pattern)
	}
	slices.SortStableFunc(p.routes, func(a, b routed) int { return comparePatterns(a.pattern, b.pattern) })
	slices.SortStableFunc(p.labels, comparePatterns)
	if first := c.listens[p.Listen]; p.Listen != "" && first != "" {
		c.fail("Duplicate listen", fmt.Sprintf("Provider %q listens on %s already.", first, p.Listen), c.attribute(w, "listen"))
	}
	c.listens[p.Listen] = p.Name
	c.set.byName[p.Name] = p
	c.set.names = append(c.set.names, p.Name)
	for _, host := range h.Hosts {
		if err := c.set.add(host, p); err != nil {
			c.fail("Duplicate host", block.Sentence(err.Error()), c.attribute(w, "hosts"))
		}
	}
}

func (c *compiler) head(w Written) head {
	var h head
	attrs := &hclsyntax.Body{Attributes: hclsyntax.Attributes{}}
	for _, body := range w.Layers {
		attrs = block.Overlay(attrs, &hclsyntax.Body{Attributes: body.Attributes, SrcRange: body.SrcRange, EndRange: body.EndRange})
	}
	diags := block.Decode(attrs, c.ctx, &h)
	c.diags = append(c.diags, diags...)
	lost := attrs.Attributes["catalog"] != nil && len(w.Layers) == 1 // an entry that there is not was reported already
	if len(h.Hosts) == 0 && !diags.HasErrors() && !lost {
		c.fail("Missing hosts", fmt.Sprintf("Provider %q needs hosts, such as [\"api.example.com\"], or a catalog entry that has them.", w.Name), c.attribute(w, "hosts"))
	}
	return h
}

// attribute is the place of an attribute, or of the provider if it has none.
func (c *compiler) attribute(w Written, name string) hcl.Range {
	for _, body := range slices.Backward(w.Layers) {
		if a := body.Attributes[name]; a != nil {
			return a.Expr.Range()
		}
	}
	return w.Range
}

// blocks checks the types and labels of the blocks in body.
func (c *compiler) blocks(body *hclsyntax.Body, routes bool) hclsyntax.Blocks {
	schema := &hcl.BodySchema{}
	for _, f := range c.features {
		if f.Hidden {
			continue
		}
		b := hcl.BlockHeaderSchema{Type: f.Name}
		if f.Kind != "" || f.Named {
			b.LabelNames = []string{"name"}
		}
		schema.Blocks = append(schema.Blocks, b)
	}
	for name := range unbuilt {
		schema.Blocks = append(schema.Blocks, hcl.BlockHeaderSchema{Type: name})
	}
	if routes {
		schema.Blocks = append(schema.Blocks, hcl.BlockHeaderSchema{Type: "route", LabelNames: []string{"pattern"}})
		for _, name := range []string{"catalog", "hosts", "upstream", "endpoints", "listen"} {
			schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: name})
		}
	}
	content, diags := body.Content(schema)
	c.diags = append(c.diags, diags...)
	var out hclsyntax.Blocks
	for _, b := range content.Blocks {
		if unbuilt[b.Type] {
			c.fail("Not built yet", fmt.Sprintf("%s is part of the policy language, but this version does not have it yet.", b.Type), b.DefRange)
			continue
		}
		at := slices.IndexFunc(body.Blocks, func(o *hclsyntax.Block) bool { return o.Body == b.Body })
		out = append(out, body.Blocks[at])
	}
	return out
}

// fail reports a problem.
func (c *compiler) fail(summary, detail string, at hcl.Range) {
	c.diags = append(c.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: &at})
}

// unique drops diagnostics that were already reported at the same place: a
// provider's block is decoded again where a route is laid over it.
func unique(diags hcl.Diagnostics) (out hcl.Diagnostics) {
	seen := map[string]bool{}
	for _, d := range diags {
		key := d.Summary + "\x00" + d.Detail
		if d.Subject != nil {
			key += d.Subject.String()
		}
		if !seen[key] {
			seen[key] = true
			out = append(out, d)
		}
	}
	return out
}

// fieldError places the error of a Stage function.
func (c *compiler) fieldError(err error, body *hclsyntax.Body, whole hcl.Range) {
	content := &hcl.BodyContent{Attributes: hcl.Attributes{}}
	for name, a := range body.Attributes {
		content.Attributes[name] = a.AsHCLAttribute()
	}
	for _, b := range body.Blocks {
		content.Blocks = append(content.Blocks, b.AsHCLBlock())
	}
	var f *block.FieldError
	if !errors.As(err, &f) {
		c.fail("Invalid block", block.Sentence(err.Error()), whole)
		return
	}
	c.diags = append(c.diags, block.Place(err, content, whole)...)
}
