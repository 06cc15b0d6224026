package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/catalog"
	"github.com/postern-proxy/postern/config/block"
)

// read parses a file, or every *.hcl of a folder in the order of names.
func (l *loader) read(path string) {
	info, err := os.Stat(path)
	if err != nil {
		l.unreadable(path, err)
		return
	}
	if !info.IsDir() {
		l.c.Folder = filepath.Dir(path)
		l.file(path)
		return
	}
	l.c.Folder = path
	entries, err := os.ReadDir(path)
	if err != nil {
		l.unreadable(path, err)
		return
	}
	for _, e := range entries {
		if !e.IsDir() && strings.HasSuffix(e.Name(), ".hcl") && !strings.HasPrefix(e.Name(), ".") {
			l.file(filepath.Join(path, e.Name()))
		}
	}
}

func (l *loader) unreadable(path string, err error) {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	l.diags = append(l.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Cannot read configuration", Detail: fmt.Sprintf("%s: %v.", path, err)})
}

// file parses one file. Tests are kept apart.
func (l *loader) file(name string) {
	text, err := os.ReadFile(name)
	if err != nil {
		l.unreadable(name, err)
		return
	}
	l.c.Sources = append(l.c.Sources, name)
	body := l.parse(name, text)
	if body == nil {
		return
	}
	if !strings.HasSuffix(name, "_test.hcl") {
		l.bodies = append(l.bodies, body)
		l.blocks = append(l.blocks, body.Blocks...)
		return
	}
	for _, b := range body.Blocks {
		if b.Type != "test" {
			l.fail("Unsupported block type", "A file of tests has test blocks only.", b.TypeRange)
			continue
		}
		l.c.Tests = append(l.c.Tests, b)
	}
	for _, a := range body.Attributes {
		l.fail("Unsupported argument", "A file of tests has test blocks only.", a.NameRange)
	}
}

func (l *loader) parse(name string, text []byte) *hclsyntax.Body {
	l.c.Files[name] = &hcl.File{Bytes: text, Body: hcl.EmptyBody()}
	if diags := block.Scan(text, name); diags.HasErrors() {
		l.diags = append(l.diags, diags...)
		return nil
	}
	f, diags := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
	l.diags = append(l.diags, diags...)
	if f == nil {
		return nil
	}
	l.c.Files[name] = f
	return f.Body.(*hclsyntax.Body)
}

// entries says which file of the catalogue has which entry, such as "provider
// stripe", or "verify stripe" for a webhook that says how it is verified. It is read once: what is embedded does not change.
var entries = sync.OnceValue(func() map[string]string {
	found := map[string]string{}
	names, _ := fs.Glob(catalog.Files, "*.hcl")
	for _, name := range names {
		text, err := fs.ReadFile(catalog.Files, name)
		if err != nil {
			continue
		}
		f, _ := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
		if f == nil {
			continue
		}
		for _, b := range f.Body.(*hclsyntax.Body).Blocks {
			found[b.Type+" "+b.Labels[0]] = name
			if b.Type == "webhook" && verifyOf(b.Body) != nil {
				found["verify "+b.Labels[0]] = name
			}
		}
	}
	return found
})

// entry returns a built-in definition, nil if there is none of that name. Its file
// is parsed afresh for each loading, because compiling changes what was parsed.
func (l *loader) entry(key string) *hclsyntax.Block {
	name, ok := entries()[key]
	if !ok {
		return nil
	}
	if l.catalog[key] == nil {
		text, err := fs.ReadFile(catalog.Files, name)
		if err != nil {
			return nil
		}
		body := l.parse("catalog/"+name, text)
		if body == nil {
			return nil
		}
		l.c.Context.Sources["catalog/"+name] = text
		for _, b := range body.Blocks {
			l.catalog[b.Type+" "+b.Labels[0]] = b
		}
	}
	return l.catalog[key]
}

// catalogNames lists the entries of one type.
func catalogNames(kind string) (names []string) {
	for key := range entries() {
		if name, ok := strings.CutPrefix(key, kind+" "); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
