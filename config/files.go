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
	f, diags := parse(name, text)
	l.c.Files[name] = f
	l.diags = append(l.diags, diags...)
	body, _ := f.Body.(*hclsyntax.Body)
	return body
}

// parse returns the file, whose body is an empty one if it could not be parsed:
// its text is there for the diagnostics.
func parse(name string, text []byte) (*hcl.File, hcl.Diagnostics) {
	unread := &hcl.File{Bytes: text, Body: hcl.EmptyBody()}
	if diags := block.Scan(text, name); diags.HasErrors() {
		return unread, diags
	}
	f, diags := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
	if f == nil {
		return unread, diags
	}
	return f, diags
}

// A builtIn is a file of the catalogue.
type builtIn struct {
	name string
	file *hcl.File
}

// builtIns parses the catalogue, which no loading changes, once.
var builtIns = sync.OnceValues(func() (files []builtIn, diags hcl.Diagnostics) {
	names, _ := fs.Glob(catalog.Files, "*.hcl")
	for _, name := range names {
		text, err := fs.ReadFile(catalog.Files, name)
		if err != nil {
			continue
		}
		f, d := parse("catalog/"+name, text)
		files, diags = append(files, builtIn{"catalog/" + name, f}), append(diags, d...)
	}
	return files, diags
})

// readCatalog takes in the built-in definitions.
func (l *loader) readCatalog() {
	files, diags := builtIns()
	l.diags = append(l.diags, diags...)
	l.catalog = map[string]*hclsyntax.Block{}
	for _, b := range files {
		l.c.Files[b.name] = b.file
		body, ok := b.file.Body.(*hclsyntax.Body)
		if !ok {
			continue
		}
		for _, b := range body.Blocks {
			l.catalog[b.Type+" "+b.Labels[0]] = b
		}
	}
}

// catalogNames lists the entries of one type.
func (l *loader) catalogNames(kind string) (names []string) {
	for key := range l.catalog {
		if name, ok := strings.CutPrefix(key, kind+" "); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
