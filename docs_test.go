package postern

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A section is one heading of a document with the text up to the next one.
type section struct{ title, anchor, text string }

var heading = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)

// sections splits a document at its headings. What stands in code blocks is
// no heading.
func sections(t *testing.T, name string) (list []section) {
	t.Helper()
	text := read(t, name)
	blank := regexp.MustCompile("(?ms)^```.*?^```").ReplaceAllStringFunc(text, func(s string) string { return strings.Repeat("\n", len(s)) })
	at := heading.FindAllStringSubmatchIndex(blank, -1)
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		title := text[m[2]:m[3]]
		list = append(list, section{title, anchor(title), text[m[1]:end]})
	}
	return list
}

// anchor is what GitHub makes of a heading.
func anchor(title string) string {
	title = strings.ToLower(title)
	title = regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(title, "")
	return strings.ReplaceAll(title, " ", "-")
}

func find(t *testing.T, list []section, title string) section {
	t.Helper()
	for _, s := range list {
		if s.title == title {
			return s
		}
	}
	t.Fatalf("there is no section %q", title)
	return section{}
}

// rows reads the table whose first column has that head.
func rows(text, head string) (out [][]string) {
	found := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			if found {
				break
			}
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case found && strings.Trim(cells[0], "-") != "":
			out = append(out, cells)
		case cells[0] == head:
			found = true
		}
	}
	return out
}

var quoted = regexp.MustCompile("`([^`]+)`")

// code lists what stands in backquotes.
func code(text string) (out []string) {
	for _, m := range quoted.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// parsed is one file of the product's code.
type parsed struct {
	folder string
	file   *ast.File
}

func sources(t *testing.T) (list []parsed) {
	t.Helper()
	for _, name := range goFiles(t) {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, parsed{filepath.ToSlash(filepath.Dir(name)), f})
	}
	return list
}

// equal reports what is only in the document and what only in the program.
func equal(t *testing.T, what string, document, program []string) {
	t.Helper()
	for _, d := range document {
		if !slices.Contains(program, d) {
			t.Errorf("%s: the document has %s, the program has not", what, d)
		}
	}
	for _, p := range program {
		if !slices.Contains(document, p) {
			t.Errorf("%s: the program has %s, the document has not", what, p)
		}
	}
	for i, d := range document {
		if slices.Contains(document[:i], d) {
			t.Errorf("%s: the document has %s twice", what, d)
		}
	}
}

// field is one attribute or block of a block's struct.
type field struct{ name, kind, typ, scope string }

// TestLinks follows every link of the documents to a file or a heading here.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	names, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	names = append(names, "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
	for _, name := range names {
		for _, m := range link.FindAllStringSubmatch(read(t, name), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			path, at, _ := strings.Cut(m[1], "#")
			target := name
			if path != "" {
				target = filepath.Join(filepath.Dir(name), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s leads nowhere", name, m[1])
				continue
			}
			if at == "" {
				continue
			}
			if !slices.ContainsFunc(sections(t, target), func(s section) bool { return s.anchor == at }) {
				t.Errorf("%s: %s has no heading %s", name, target, at)
			}
		}
	}
}

// TestDockerfile holds the image to its rules: nothing in it but the program,
// nobody's root, a health check without a shell, and one place to write to.
func TestDockerfile(t *testing.T) {
	var lines []string
	text := strings.ReplaceAll(read(t, "Dockerfile"), "\\\n", " ")
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	last := 0
	for i, line := range lines {
		if strings.HasPrefix(line, "FROM ") {
			last = i
		}
	}
	build, final := strings.Join(lines[:last], "\n"), lines[last:]
	for _, must := range []string{"CGO_ENABLED=0", "-trimpath", "main.release="} {
		if !strings.Contains(build, must) {
			t.Errorf("the build stage lacks %s", must)
		}
	}
	for _, must := range []string{`^FROM scratch$`, `^USER 65532:65532$`, `^HEALTHCHECK .*CMD \["/postern", "health"\]$`, `^ENTRYPOINT \["/postern"\]$`, `^VOLUME \["/var/lib/postern"\]$`, `^LABEL .*org.opencontainers.image.licenses="Apache-2.0"`} {
		if !slices.ContainsFunc(final, regexp.MustCompile(must).MatchString) {
			t.Errorf("the image has no line %s", must)
		}
	}
	for _, line := range final {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "RUN", "ADD":
			t.Errorf("%s: there is nothing in the image that could do it", line)
		case "CMD", "ENTRYPOINT":
			if !strings.HasPrefix(rest, "[") {
				t.Errorf("%s needs a shell", line)
			}
		}
	}
}

// TestDependencies compares the tables of ARCHITECTURE.md with what the code
// imports.
func TestDependencies(t *testing.T) {
	list := sections(t, "docs/ARCHITECTURE.md")
	used := map[string]bool{}
	for _, s := range sources(t) {
		if s.folder == "store/storetest" {
			continue // for tests: not in the binary
		}
		for _, imp := range s.file.Imports {
			path, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if m := moduleOf(t, path); m != "" {
				used[m] = true
			}
		}
	}
	var documented []string
	for _, row := range rows(find(t, list, "Dependencies").text, "module") {
		documented = append(documented, code(row[0])...)
		if len(row) < 2 || row[1] == "" {
			t.Errorf("%s is not justified", row[0])
		}
	}
	equal(t, "dependencies", documented, slices.Sorted(maps.Keys(used)))
}

// moduleOf is the module of go.mod that a package is in, "" if none.
func moduleOf(t *testing.T, path string) (module string) {
	t.Helper()
	for line := range strings.Lines(read(t, "go.mod")) {
		words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(words) >= 2 && strings.HasPrefix(words[1], "v") && (path == words[0] || strings.HasPrefix(path, words[0]+"/")) && len(words[0]) > len(module) {
			module = words[0]
		}
	}
	return module
}

// TestImportTable compares the table of ARCHITECTURE.md with the one that
// TestImports enforces.
func TestImportTable(t *testing.T) {
	document := map[string]string{}
	for _, row := range rows(find(t, sections(t, "docs/ARCHITECTURE.md"), "Who imports whom").text, "package") {
		imports := code(row[1])
		slices.Sort(imports)
		for _, from := range code(row[0]) {
			document[from] = strings.Join(imports, " ")
		}
	}
	for from, list := range may {
		words := strings.Fields(list)
		slices.Sort(words)
		have, ok := document[from]
		if want := strings.Join(words, " "); !ok || have != want {
			t.Errorf("%s may import %q; the document says %q", from, want, have)
		}
		delete(document, from)
	}
	for from := range document {
		t.Errorf("the document has %s, arch_test.go has not", from)
	}
}

// fieldsOf reads the struct tags of every block in the code, by
// "folder.Struct".
func fieldsOf(t *testing.T) map[string][]field {
	t.Helper()
	out := map[string][]field{}
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			st, ok := spec.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, f := range st.Fields.List {
				if f.Tag == nil {
					continue
				}
				text, err := strconv.Unquote(f.Tag.Value)
				if err != nil {
					t.Fatal(err)
				}
				tag := reflect.StructTag(text)
				name, kind, _ := strings.Cut(tag.Get("hcl"), ",")
				if name == "" || kind == "label" {
					continue
				}
				key := s.folder + "." + spec.Name.Name
				out[key] = append(out[key], field{name, kind, typeOf(f.Type), tag.Get("scope")})
			}
			return true
		})
	}
	return out
}

// typeOf writes a type as source has it.
func typeOf(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return typeOf(x.X) + "." + x.Sel.Name
	case *ast.StarExpr:
		return "*" + typeOf(x.X)
	case *ast.ArrayType:
		return "[]" + typeOf(x.Elt)
	case *ast.MapType:
		return fmt.Sprintf("map[%s]%s", typeOf(x.Key), typeOf(x.Value))
	}
	return ""
}
