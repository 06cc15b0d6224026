package postern

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/postern-proxy/postern/"

// may lists what each folder may import of ours (docs/ARCHITECTURE.md, "Who
// imports whom"). policy/* is any stage, policy/credential/* any kind,
// inbound/scheme/* any scheme; none of them may import a sibling.
var may = map[string]string{
	"config/block":        "",
	"backoff":             "",
	"application":         "config/block",
	"queue":               "",
	"catalog":             "",
	"peers":               "",
	"drain":               "",
	"seal":                "config/block",
	"oauth":               "backoff",
	"connection":          "seal oauth",
	"connect":             "config/block connection oauth seal",
	"replica":             "",
	"shared":              "config/block replica policy/limit",
	"proxy/ca":            "",
	"proxy/clientenv":     "",
	"policy":              "config/block backoff",
	"policy/*":            "config/block backoff queue policy",
	"policy/idempotency":  "config/block policy seal",
	"policy/fallback":     "config/block policy seal",
	"policy/reconcile":    "config/block policy policy/look",
	"policy/upsert":       "config/block backoff policy policy/look",
	"policy/credential":   "config/block backoff connection oauth policy",
	"policy/credential/*": "config/block connection oauth policy policy/credential",
	"proxy":               "config/block drain policy proxy/ca",
	"proxy/upstream":      "config/block policy",
	"inbound/schema":      "config/block",
	"inbound":             "config/block application backoff queue signing inbound/schema",
	"inbound/claim":       "config/block inbound",
	"inbound/keys":        "",
	"inbound/jws":         "config/block inbound inbound/claim inbound/keys",
	"inbound/scheme":      "inbound inbound/keys inbound/scheme/*",
	"inbound/scheme/*":    "config/block inbound inbound/claim inbound/keys inbound/jws",
	"inbound/oversight":   "config/block inbound",
	"outbox":              "config/block application backoff queue policy seal signing",
	"signing":             "config/block",
	"store":               "config/block queue inbound inbound/oversight outbox replica connection policy/fallback policy/idempotency",
	"store/storetest":     "queue policy inbound inbound/oversight outbox replica connection policy/fallback policy/idempotency",
	"telemetry":           "policy inbound inbound/oversight outbox queue connection",
	"admin":               "config/block policy inbound inbound/oversight outbox queue connection",
	"deploy":              "proxy/clientenv",
	"config":              "config/block catalog policy proxy inbound store seal shared admin connect",
	"cmd/postern":         "config config/block catalog policy policy/* policy/credential/* proxy proxy/ca proxy/clientenv proxy/upstream inbound inbound/keys inbound/oversight inbound/scheme outbox store seal telemetry admin backoff queue replica drain shared deploy connection oauth connect",

	"policy/limit/limittest": "config/block policy policy/limit",
}

// TestImports reads the files itself: the result of a test that ran "go list"
// would be cached, because go test does not see what a child process reads.
func TestImports(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range goFiles(t) {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		from := filepath.ToSlash(filepath.Dir(name))
		seen[from] = true
		for _, imp := range f.Imports {
			to, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if ours, ok := strings.CutPrefix(to, module); ok && !allowed(from, ours) {
				t.Errorf("%s: %s may not import %s", name, from, ours)
			}
		}
	}
	for _, must := range []string{"config/block", "policy", "proxy", "inbound", "store", "cmd/postern"} {
		if !seen[must] {
			t.Errorf("%s was not read: the test looks in the wrong place", must)
		}
	}
}

// TestHabits keeps two promises of the house that a reader can count: no
// init() and no package whose name says nothing.
func TestHabits(t *testing.T) {
	empty := []string{"util", "utils", "common", "types", "models", "helpers", "helper", "manager", "misc", "base"}
	for _, name := range goFiles(t) {
		if slices.Contains(empty, filepath.Base(filepath.Dir(name))) {
			t.Errorf("%s: the folder's name says nothing", name)
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if isInit(d) {
				t.Errorf("%s has an init()", name)
			}
		}
	}
}

// goFiles lists the code of this module, without tests.
func goFiles(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == "e2e" || name == "bench" || d.Name() == "node_modules" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && name != "."):
			return filepath.SkipDir // other modules, and what is no code
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// allowed reports whether from may import to.
func allowed(from, to string) bool {
	list, ok := may[from]
	if !ok {
		list, ok = may[path.Dir(from)+"/*"]
	}
	if !ok {
		return false
	}
	for _, pattern := range strings.Fields(list) {
		if m, _ := path.Match(pattern, to); m {
			return true
		}
	}
	return false
}

func isInit(d ast.Decl) bool {
	f, ok := d.(*ast.FuncDecl)
	return ok && f.Recv == nil && f.Name.Name == "init"
}
