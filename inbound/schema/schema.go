// Package schema judges whether a JSON text fits a JSON Schema (draft 2020-12),
// at a bounded cost whatever the text is (claim C43), and says what does not fit
// without a word of what is in it.
//
// Read schema.go for how a schema is made, survey.go for what is looked at
// before anything is built of a text, decode.go for how it is built, judge.go
// for the verdict, and misfit.go for how it is worded.
package schema

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Options are what a schema is made of, beside its file.
type Options struct {
	// Read reads a file. Whoever gives it takes note of what has to be watched.
	Read func(name string) ([]byte, error)
	// Formats says that a format that does not hold is a misfit. Without it a format
	// is a remark, as the draft has it.
	Formats bool
}

// Schema is one schema, ready to judge. Several goroutines may use it at once.
type Schema struct {
	names map[string]bool // of properties that the schema names
	make  func() (*judge, error)
	idle  chan *judge // as many as there are processors; nil is one to be made
}

// Compile reads the schema in the file name, and the files that it refers to:
// they have to be in its folder or below.
func Compile(name string, o Options) (*Schema, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", name, err)
	}
	f := &folder{root: filepath.Dir(abs), given: filepath.Dir(name), read: o.Read, docs: map[string]any{}}
	s := &Schema{names: map[string]bool{}, idle: make(chan *judge, runtime.GOMAXPROCS(0))}
	s.make = func() (*judge, error) { return newJudge(fileURL(abs), f, o.Formats) }
	first, err := s.make()
	if err != nil {
		return nil, plain(err, f.root)
	}
	for _, doc := range f.docs {
		collect(doc, s.names)
	}
	f.read = nil // all that is needed has been read
	s.idle <- first
	for range cap(s.idle) - 1 {
		s.idle <- nil
	}
	return s, nil
}

// folder loads schemas by URL: files in one folder and below, each once.
type folder struct {
	root  string // absolute
	given string // as it was named: whoever watches files goes by their names
	read  func(string) ([]byte, error)
	docs  map[string]any // by URL
}

// Load implements [jsonschema.URLLoader].
func (f *folder) Load(raw string) (any, error) {
	if doc, ok := f.docs[raw]; ok {
		return doc, nil
	}
	if f.read == nil {
		return nil, fmt.Errorf("%s was not there when the schema was read", raw)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("it is no URL")
	}
	if u.Scheme != "file" || u.Host != "" {
		return nil, errors.New("a schema is never fetched: put a copy into a file beside this one and refer to that")
	}
	name := filepath.FromSlash(u.Path)
	rel, err := filepath.Rel(f.root, name)
	if err != nil || !filepath.IsLocal(rel) {
		return nil, errors.New("it is outside of the folder of the schema")
	}
	text, err := f.read(filepath.Join(f.given, rel))
	if err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("it is no JSON: %w", err)
	}
	f.docs[raw] = doc
	return doc, nil
}

func fileURL(name string) string {
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(name)}
	return u.String()
}

// plain words what is wrong with a schema in one line, its files named as they
// are seen from its folder.
func plain(err error, root string) error {
	if load := (*jsonschema.LoadURLError)(nil); errors.As(err, &load) {
		return fmt.Errorf("%s: %w", short(load.URL, root), load.Err)
	}
	text := err.Error()
	if bad := (*jsonschema.SchemaValidationError)(nil); errors.As(err, &bad) {
		text = "it is no valid schema: " + strings.TrimPrefix(bad.Err.Error(), "jsonschema validation failed with ")
	}
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
	for i := range lines {
		lines[i] = strings.TrimPrefix(strings.TrimSpace(lines[i]), "- ")
	}
	return errors.New(short(strings.Join(lines, "; "), root))
}

func short(text, root string) string {
	return strings.ReplaceAll(text, fileURL(root)+"/", "")
}

// collect adds the names of properties that a schema knows.
func collect(doc any, names map[string]bool) {
	switch doc := doc.(type) {
	case []any:
		for _, v := range doc {
			collect(v, names)
		}
	case map[string]any:
		for keyword, v := range doc {
			switch v := v.(type) {
			case map[string]any:
				if keyword == "properties" || keyword == "dependentSchemas" || keyword == "dependentRequired" {
					for name := range v {
						names[name] = true
					}
				}
			case []any:
				if keyword == "required" {
					for _, name := range v {
						if s, ok := name.(string); ok {
							names[s] = true
						}
					}
				}
			}
			collect(v, names)
		}
	}
}
