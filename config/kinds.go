package config

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
)

// Schemes returns those that are made of code and one for each webhook of the
// catalogue: verify "zoom" is what the catalogue says about Zoom's signatures and
// handshakes, with what the policy writes laid over it.
func (c *Config) Schemes(made inbound.Schemes) inbound.Schemes {
	all := inbound.Schemes{}
	for name, scheme := range made {
		all[name] = inbound.WithHandshakes(scheme)
	}
	l := &loader{c: c, catalog: map[string]*hclsyntax.Block{}}
	for _, name := range catalogNames("verify") {
		if made[name] == nil {
			all[name] = l.kind(name, all)
		}
	}
	return all
}

// kind is the scheme of a webhook of the catalogue.
func (l *loader) kind(name string, all inbound.Schemes) inbound.Scheme {
	return func(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
		base := verifyOf(l.entry("webhook " + name).Body)
		scheme, written := all[base.Labels[0]], body.(*hclsyntax.Body)
		if scheme == nil {
			at := base.DefRange()
			return nil, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Unknown verification", Detail: fmt.Sprintf("There is no verification %q.", base.Labels[0]), Subject: &at}}
		}
		if diags := said(name, base.Body, written); diags.HasErrors() {
			return nil, diags
		}
		return scheme(block.Overlay(base.Body, written), ctx)
	}
}

// NamesEvents reports whether the catalogue says how the events of a webhook are
// named. It counts where a policy has catalog = name.
func (c *Config) NamesEvents(name string) bool {
	l := &loader{c: c, catalog: map[string]*hclsyntax.Block{}}
	entry := l.entry("webhook " + name)
	return entry != nil && slices.ContainsFunc(entry.Body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == "event" })
}

// said refuses what the catalogue says already, but for the tolerance, which is a
// matter of taste.
func said(name string, base, written *hclsyntax.Body) (diags hcl.Diagnostics) {
	for _, a := range written.Attributes {
		if base.Attributes[a.Name] != nil && a.Name != "tolerance" {
			diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Invalid " + a.Name, Detail: fmt.Sprintf("The catalogue says what it is for %s. To describe another signature write verify %q.", name, "hmac"), Subject: &a.NameRange})
		}
	}
	return diags
}

// verifyOf is the verify block of a webhook, nil if it has none.
func verifyOf(webhook *hclsyntax.Body) *hclsyntax.Block {
	for _, b := range webhook.Blocks {
		if b.Type == "verify" && len(b.Labels) == 1 {
			return b
		}
	}
	return nil
}

// unverified is a webhook of the catalogue without its verify block: a policy says
// itself how a webhook is verified, by verify "NAME" as the catalogue has it.
func unverified(body *hclsyntax.Body) *hclsyntax.Body {
	if body == nil {
		return nil
	}
	out := *body
	out.Blocks = nil
	for _, b := range body.Blocks {
		if b.Type != "verify" {
			out.Blocks = append(out.Blocks, b)
		}
	}
	return &out
}
