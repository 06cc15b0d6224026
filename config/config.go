// Package config reads the configuration files. It composes the blocks that
// other packages own and knows no stage; only cmd imports it.
//
//	config.go   files -> Config
//	files.go    which files there are, and their syntax
//	kinds.go    how the webhooks of the catalogue are verified
//	watch.go    when they change
package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/admin"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connect"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/proxy"
	"github.com/postern-proxy/postern/seal"
	"github.com/postern-proxy/postern/shared"
	"github.com/postern-proxy/postern/store"
)

// Config is everything that the files say. It is complete only if there were
// no errors.
type Config struct {
	Folder      string // what relative paths of defaults are relative to
	Environment string
	Proxy       *proxy.Config
	Inbound     *inbound.Config
	Admin       *admin.Config
	Connect     *connect.Config // nil if there is no such block
	Store       *store.Config
	Seal        *seal.Config   // nil if there is no such block
	Shared      *shared.Config // nil if there is no such block
	Providers   []policy.Written
	Webhooks    []Webhook
	Tests       []*hclsyntax.Block // of *_test.hcl

	Context *block.Context
	Files   map[string]*hcl.File // by name, for printing diagnostics
	Sources []string             // the files of the configuration, to be watched
}

// Webhook is a webhook block, laid over its catalogue entry.
type Webhook struct {
	Name  string
	Range hcl.Range
	Body  *hclsyntax.Body
}

// unbuilt are the blocks of the language that this version does not have.
var unbuilt = []string{"contract"}

// Load reads a file or a folder. environ is that of the process, as os.Environ
// gives it. It needs no network and no secret, and writes nothing.
func Load(path string, environ []string) (*Config, hcl.Diagnostics) {
	return LoadWith(path, block.NewSecrets(environ))
}

// LoadWith is [Load] with the secrets of an earlier loading, whose values stay
// known to whoever redacts them.
func LoadWith(path string, secrets *block.Secrets) (*Config, hcl.Diagnostics) {
	l := &loader{c: &Config{Files: map[string]*hcl.File{}}, seen: map[string]hcl.Range{}}
	l.read(path)
	if l.diags.HasErrors() {
		return l.c, l.diags
	}
	l.catalog = map[string]*hclsyntax.Block{}
	l.c.Context = block.NewContext("", secrets)
	for name, f := range l.c.Files {
		l.c.Context.Sources[name] = f.Bytes
	}
	l.environment()
	l.defaults()
	for _, b := range l.blocks {
		l.block(b)
	}
	return l.c, l.diags
}

type loader struct {
	c       *Config
	bodies  []*hclsyntax.Body
	blocks  []*hclsyntax.Block
	catalog map[string]*hclsyntax.Block // by type and label
	seen    map[string]hcl.Range
	diags   hcl.Diagnostics
}

// environment evaluates the one attribute that stands outside of blocks.
func (l *loader) environment() {
	env := "dev"
	for _, body := range l.bodies {
		for name, a := range body.Attributes {
			if name != "environment" {
				l.unexpected(name, a.NameRange)
				continue
			}
			if first, ok := l.seen[name]; ok {
				l.fail("Duplicate environment", fmt.Sprintf("The first one is at %s.", first), a.NameRange)
				continue
			}
			l.seen[name] = a.NameRange
			text, diags := l.c.Context.Plain(a.Expr)
			l.diags = append(l.diags, diags...)
			env = text
		}
	}
	l.c.Environment, l.c.Context.Environment = env, env
}

func (l *loader) defaults() {
	c := l.c
	c.Proxy, c.Inbound, c.Admin, c.Store = new(proxy.Config), new(inbound.Config), new(admin.Config), new(store.Config)
	c.Proxy.Default()
	c.Inbound.Default()
	c.Admin.Default()
	c.Store.Default()
	for _, p := range []*block.Path{&c.Proxy.Trust, &c.Proxy.CA} { // a block, if there is one, has them relative to its own file
		*p = block.Path(filepath.Join(c.Folder, string(*p)))
	}
}

// block reads one outermost block.
func (l *loader) block(b *hclsyntax.Block) {
	switch b.Type {
	case "proxy":
		folder := *l.c.Proxy
		l.single(b, l.c.Proxy)
		l.keepFolders(b, &folder)
	case "inbound":
		l.single(b, l.c.Inbound)
	case "admin":
		l.single(b, l.c.Admin)
	case "store":
		l.single(b, l.c.Store)
		l.c.Store.Range = b.DefRange()
	case "connect":
		c := new(connect.Config)
		if _, again := l.seen[b.Type]; !again {
			l.c.Connect = c
		}
		c.Range = b.DefRange()
		l.single(b, c)
	case "seal":
		c := new(seal.Config)
		if _, again := l.seen[b.Type]; !again {
			l.c.Seal = c
		}
		l.single(b, c)
	case "shared":
		c := new(shared.Config)
		if _, again := l.seen[b.Type]; !again {
			l.c.Shared = c
		}
		l.single(b, c)
	case "provider":
		if l.labelled(b) {
			w := policy.Written{Name: b.Labels[0], Range: b.DefRange(), Layers: []*hclsyntax.Body{b.Body}}
			if base := l.base(b); base != nil {
				w.Layers = []*hclsyntax.Body{base, b.Body}
			}
			l.c.Providers = append(l.c.Providers, w)
		}
	case "webhook":
		if l.labelled(b) {
			l.c.Webhooks = append(l.c.Webhooks, Webhook{b.Labels[0], b.DefRange(), block.Overlay(offered(unverified(l.base(b)), b.Body), b.Body)})
		}
	default:
		l.unexpected(b.Type, b.TypeRange)
	}
}

// offers are the blocks of a webhook of the catalogue that count only where a policy
// names them: they make calls to the provider.
var offers = []string{"reconcile", "subscription"}

// offered is base without the offers that body does not take up.
func offered(base, body *hclsyntax.Body) *hclsyntax.Body {
	if base == nil {
		return nil
	}
	out := *base
	out.Blocks = slices.DeleteFunc(slices.Clone(base.Blocks), func(b *hclsyntax.Block) bool {
		return slices.Contains(offers, b.Type) && !slices.ContainsFunc(body.Blocks, func(o *hclsyntax.Block) bool { return o.Type == b.Type })
	})
	return &out
}

// single decodes a block that may be there once.
func (l *loader) single(b *hclsyntax.Block, into any) {
	if first, ok := l.seen[b.Type]; ok {
		l.fail("Duplicate "+b.Type, fmt.Sprintf("The first one is at %s.", first), b.DefRange())
		return
	}
	l.seen[b.Type] = b.DefRange()
	if len(b.Labels) > 0 {
		l.fail("Extraneous label", fmt.Sprintf("A %s block has no label.", b.Type), b.LabelRanges[0])
		return
	}
	l.diags = append(l.diags, block.Decode(b.Body, l.c.Context, into)...)
}

// keepFolders keeps the default folders of the proxy where its block does not
// name them.
func (l *loader) keepFolders(b *hclsyntax.Block, before *proxy.Config) {
	if b.Body.Attributes["trust"] == nil {
		l.c.Proxy.Trust = before.Trust
	}
	if b.Body.Attributes["ca"] == nil {
		l.c.Proxy.CA = before.CA
	}
}

func (l *loader) labelled(b *hclsyntax.Block) bool {
	if len(b.Labels) != 1 || !validName(b.Labels[0]) {
		l.fail("Invalid name", fmt.Sprintf("A %s has one name of letters, digits, - and _, such as %s \"stripe\".", b.Type, b.Type), b.DefRange())
		return false
	}
	return true
}

func validName(s string) bool {
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// base is the catalogue's body for a block that names one.
func (l *loader) base(b *hclsyntax.Block) *hclsyntax.Body {
	a := b.Body.Attributes["catalog"]
	if a == nil {
		return nil
	}
	name, diags := l.c.Context.Plain(a.Expr)
	if diags.HasErrors() {
		l.diags = append(l.diags, diags...)
		return nil
	}
	if entry := l.entry(b.Type + " " + name); entry != nil {
		return entry.Body
	}
	known := catalogNames(b.Type)
	detail := fmt.Sprintf("The catalogue has no %s %q. It has %v.", b.Type, name, known)
	if s := block.Suggest(name, known); s != "" {
		detail = fmt.Sprintf("The catalogue has no %s %q. Did you mean %q?", b.Type, name, s)
	}
	l.fail("Unknown catalog", detail, a.Expr.Range())
	return nil
}

// unexpected reports a name that means nothing at the top of a file.
func (l *loader) unexpected(name string, at hcl.Range) {
	known := []string{"environment", "proxy", "inbound", "admin", "connect", "store", "seal", "shared", "provider", "webhook"}
	for _, u := range unbuilt {
		if u == name {
			l.fail("Not built yet", fmt.Sprintf("%s is part of the policy language, but this version does not have it yet.", name), at)
			return
		}
	}
	detail := fmt.Sprintf("There is no %s at the top of a file. Known are: %s.", name, strings.Join(known, ", "))
	if name == "test" {
		detail = "Tests stand in files whose names end in _test.hcl."
	} else if s := block.Suggest(name, known); s != "" {
		detail = fmt.Sprintf("There is no %s at the top of a file. Did you mean %s?", name, s)
	}
	l.fail("Unsupported block type", detail, at)
}

func (l *loader) fail(summary, detail string, at hcl.Range) {
	l.diags = append(l.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: &at})
}
