package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"golang.org/x/term"

	"github.com/postern-proxy/postern/config"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/keys"
	"github.com/postern-proxy/postern/inbound/scheme"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/seal"
)

// A loaded configuration is compiled and can run. It is made as a whole or not
// at all.
type loaded struct {
	*config.Config
	outbound *policy.Set
	inbound  *inbound.Set
	hooks    []*inbound.Webhook
	keys     []string // environment variables that hold credentials of providers

	ring *seal.Ring // nil if there is no key; read when it is to run
}

// offline are the schemes where nothing may be fetched: what checks or tests a
// policy does not go to the network.
func offline() inbound.Schemes { return scheme.All(keys.New(keys.Options{}), nil) }

// load reads and compiles everything, and reports every problem. It needs no
// network and no secret, and writes nothing.
func load(path string, secrets *block.Secrets, features []policy.Feature, base http.RoundTripper, verifications inbound.Schemes) (*loaded, hcl.Diagnostics) {
	c, diags := config.LoadWith(path, secrets)
	if c.Context == nil { // what cannot be parsed cannot be compiled
		return &loaded{Config: c}, diags
	}
	l := &loaded{Config: c}
	var more hcl.Diagnostics
	before := len(c.Context.Variables())
	l.outbound, more = policy.Compile(c.Providers, features, c.Context, base)
	l.keys = c.Context.Variables()[before:]
	diags = append(diags, more...)
	kinds := c.Schemes(verifications)
	for _, w := range c.Webhooks {
		hook, more := inbound.Decode(w.Name, w.Range, w.Body, c.Context, kinds)
		diags = append(diags, more...)
		if !more.HasErrors() {
			diags = append(diags, l.knownProvider(hook, w.Body)...)
			diags = append(diags, l.farHorizon(hook, w.Body)...)
			l.hooks = append(l.hooks, hook)
		}
	}
	l.inbound, more = inbound.NewSet(*c.Inbound, l.hooks)
	diags = append(diags, more...)
	return l, slices.Concat(diags, l.knownClients(), l.knownNames())
}

// knownProvider checks that a webhook names a provider that there is, where it
// names one itself: a catalogue entry's is a habit, not a reference.
func (l *loaded) knownProvider(w *inbound.Webhook, body *hclsyntax.Body) hcl.Diagnostics {
	a := body.Attributes["provider"]
	if a == nil || strings.HasPrefix(a.SrcRange.Filename, "catalog/") || l.outbound.Provider(w.Provider) != nil {
		return nil
	}
	at := a.Expr.Range()
	return hcl.Diagnostics{unknownProvider(fmt.Sprintf("There is no provider %q.", w.Provider), w.Provider, l.outbound.Providers(), &at)}
}

// farHorizon checks that the id of an event is known as long as the event itself.
func (l *loaded) farHorizon(w *inbound.Webhook, body *hclsyntax.Body) hcl.Diagnostics {
	a, retain := body.Attributes["horizon"], l.Store.Retain.Duration
	if a == nil || w.Horizon.Duration == 0 || w.Horizon.Duration >= retain {
		return nil
	}
	at := a.Expr.Range()
	return hcl.Diagnostics{{
		Severity: hcl.DiagError, Summary: "Invalid horizon", Subject: &at,
		Detail: fmt.Sprintf("Events are kept for %s (store.retain), and the id of one is known as long as that: write a horizon that is no shorter.", l.Store.Retain),
	}}
}

func unknownProvider(detail, name string, known []string, at *hcl.Range) *hcl.Diagnostic {
	if s := block.Suggest(name, known); s != "" {
		detail += fmt.Sprintf(" Did you mean %q?", s)
	}
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Unknown provider", Detail: detail, Subject: at}
}

// knownClients checks that clients name providers that there are.
func (l *loaded) knownClients() (diags hcl.Diagnostics) {
	for _, c := range l.Proxy.Clients {
		for _, p := range c.Providers {
			if l.outbound.Provider(p) != nil {
				continue
			}
			diags = append(diags, unknownProvider(fmt.Sprintf("Client %q may use provider %q, which there is not.", c.Name, p), p, l.outbound.Providers(), &c.Range))
		}
	}
	return diags
}

// knownNames checks that the connect block gives names to providers that there
// are.
func (l *loaded) knownNames() (diags hcl.Diagnostics) {
	if l.Connect == nil {
		return nil
	}
	for _, p := range slices.Sorted(maps.Keys(l.Connect.Names)) {
		if l.outbound.Provider(p) == nil {
			diags = append(diags, unknownProvider(fmt.Sprintf("connect.names has a name for provider %q, which there is not.", p), p, l.outbound.Providers(), &l.Connect.Range))
		}
	}
	return diags
}

// report prints diagnostics with the lines they are about.
func report(w io.Writer, diags hcl.Diagnostics, files map[string]*hcl.File) {
	width, color := 100, false
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil {
			width = columns
		}
	}
	_ = hcl.NewDiagnosticTextWriter(w, conceal(diags, files), uint(width), color).WriteDiagnostics(diags)
}

// conceal returns files in which what may be a secret is blackened.
func conceal(diags hcl.Diagnostics, files map[string]*hcl.File) map[string]*hcl.File {
	out := maps.Clone(files)
	for _, d := range diags {
		if _, secret := d.Extra.(block.Concealed); !secret || d.Subject == nil || out[d.Subject.Filename] == nil {
			continue
		}
		f := *out[d.Subject.Filename]
		f.Bytes = bytes.Clone(f.Bytes)
		for i := d.Subject.Start.Byte; i < min(d.Subject.End.Byte, len(f.Bytes)); i++ {
			if f.Bytes[i] != '\n' {
				f.Bytes[i] = '*'
			}
		}
		out[d.Subject.Filename] = &f
	}
	return out
}
