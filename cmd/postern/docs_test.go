package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/config/block"
)

// The documents are held to what this program does. The first word after the
// language of a code block says what is in it:
//
//	hcl NAME.hcl      a whole configuration; NAME_test.hcl tests the NAME.hcl before it
//	hcl in provider   what stands in a provider block; likewise webhook
//	hcl               anything else: it has to parse
//	sh                commands: each of postern's has to exist, with its flags

// A snippet is one code block of a document.
type snippet struct{ doc, info, text string }

func (s snippet) name() string { return filepath.Base(s.doc) + " " + s.info }

func documents(t *testing.T) []string {
	t.Helper()
	docs, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(docs) < 4 {
		t.Fatalf("the documents are not where they were: %v, %v", docs, err)
	}
	return append(docs, "../../README.md", "../../CONTRIBUTING.md", "../../SECURITY.md")
}

var fence = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")

func snippets(t *testing.T, language string) (list []snippet) {
	t.Helper()
	for _, doc := range documents(t) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
			if l, info, _ := strings.Cut(m[1], " "); l == language {
				list = append(list, snippet{doc, info, m[2]})
			}
		}
	}
	if len(list) == 0 {
		t.Fatalf("no document has a block of %s", language)
	}
	return list
}

// around is what a fragment stands in.
var around = map[string]string{
	"in provider": "provider \"example\" {\nhosts = [\"api.example.com\"]\n%s\n}\n",
	"in webhook":  "webhook \"example\" {\npath = \"/example\"\ndeliver { to = \"http://127.0.0.1:3000/\" }\n%s\n}\n",
}

func TestDocumentedPolicies(t *testing.T) {
	whole := map[string]string{} // the last one of each name
	for _, s := range snippets(t, "hcl") {
		t.Run(s.name(), func(t *testing.T) {
			dir := t.TempDir()
			switch {
			case strings.HasSuffix(s.info, "_test.hcl"):
				tested := strings.TrimSuffix(s.info, "_test.hcl") + ".hcl"
				write(t, dir, tested, whole[tested])
				write(t, dir, s.info, s.text)
				runTests(t, dir)
			case strings.HasSuffix(s.info, ".hcl"):
				whole[s.info] = s.text
				write(t, dir, s.info, s.text)
				valid(t, dir)
			case around[s.info] != "":
				write(t, dir, "example.hcl", fmt.Sprintf(around[s.info], s.text))
				valid(t, dir)
			case s.info == "":
				if _, diags := hclsyntax.ParseConfig([]byte(s.text), "x.hcl", hcl.InitialPos); diags.HasErrors() {
					t.Error(diags)
				}
			default:
				t.Errorf("%q says nothing about what is in the block", s.info)
			}
		})
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func valid(t *testing.T, dir string) *loaded {
	t.Helper()
	l, diags, err := check(dir)
	if err != nil || diags.HasErrors() {
		t.Fatalf("%v %v", err, diags)
	}
	return l
}

func runTests(t *testing.T, dir string) {
	l := valid(t, dir)
	if len(l.Tests) == 0 {
		t.Fatal("there is no test in it")
	}
	for _, b := range l.Tests {
		one := &trial{Name: b.Labels[0], At: b.DefRange()}
		if diags := block.Decode(b.Body, block.NewContext(l.Environment, block.StandIns()), one); diags.HasErrors() {
			t.Fatal(diags)
		}
		var r testResult
		synctest.Test(t, func(*testing.T) { one.run(dir, &r) })
		for _, f := range r.Failures {
			t.Errorf("%s: %s", one.Name, f)
		}
	}
}

// TestNotBuiltYet feeds everything that docs/policy.md lists as not built to
// the program, which has to refuse it and name it.
func TestNotBuiltYet(t *testing.T) {
	frames := map[string]string{
		"top of a file": "%s",
		"provider":      "provider \"example\" {\nhosts = [\"api.example.com\"]\n%s\n}\n",
		"webhook":       "webhook \"example\" {\npath = \"/example\"\ndeliver { to = \"http://127.0.0.1:3000/\" }\n%s\n}\n",
		"idempotency":   "provider \"example\" {\nhosts = [\"api.example.com\"]\nidempotency {\nheader = \"Idempotency-Key\"\n%s\n}\n}\n",
		"limit":         "provider \"example\" {\nhosts = [\"api.example.com\"]\nlimit \"x\" {\nrate = \"1/s\"\n%s\n}\n}\n",
		"event":         "webhook \"example\" {\npath = \"/example\"\nverify \"none\" {}\ndeliver { to = \"http://127.0.0.1:3000/\" }\nevent {\n%s\n}\n}\n",
		"test":          "test \"x\" {\nrequest { url = \"https://api.example.com/\" }\nexpect { status = 200 }\n%s\n}\n",
	}
	text, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## Not built yet\n")
	row := regexp.MustCompile("(?m)^\\|[^|]*\\| ([^|]+) \\| `(.+)` \\|$")
	found := row.FindAllStringSubmatch(table, -1)
	if len(found) == 0 {
		t.Fatalf("the table has %d rows", len(found))
	}
	for _, m := range found {
		where, what := m[1], m[2]
		frame := frames[where]
		if frame == "" {
			t.Errorf("%s: %q is no place", what, where)
			continue
		}
		if where == "webhook" && !strings.HasPrefix(what, "verify") {
			frame = strings.Replace(frame, "%s", "verify \"none\" {}\n%s", 1)
		}
		dir := t.TempDir()
		name := "x.hcl"
		if where == "test" {
			name = "x_test.hcl"
			write(t, dir, "p.hcl", "provider \"p\" { hosts = [\"api.example.com\"] }\n")
		}
		write(t, dir, name, fmt.Sprintf(frame, what))
		_, diags, err := check(dir)
		if err != nil {
			t.Fatal(err)
		}
		if where == "test" {
			l := valid(t, dir)
			diags = block.Decode(l.Tests[0].Body, block.NewContext("", block.StandIns()), &trial{Name: "x"})
		}
		if !diags.HasErrors() {
			t.Errorf("%s is accepted", what)
		}
		refused := slices.ContainsFunc(diags, func(d *hcl.Diagnostic) bool {
			return regexp.MustCompile(`not built yet|not have it yet|no response store yet|not have them yet`).MatchString(d.Detail)
		})
		if !refused {
			t.Errorf("%s: %v", what, diags)
		}
	}
}

// TestDocumentedStages compares the list of stages with the order in which
// they see a request.
func TestDocumentedStages(t *testing.T) {
	features, err := stages(silent{}, means{})
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, f := range features {
		if !slices.Contains(order, f.Name) {
			order = append(order, f.Name)
		}
	}
	text, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\d+\\. \\[?`(\\w+)`").FindAllStringSubmatch(string(text), -1) {
		listed = append(listed, m[1])
	}
	if !slices.Equal(order, listed) {
		t.Errorf("the stages are %v; the document says %v", order, listed)
	}
}

// TestDocumentedCommands looks up each command and flag that a document tells
// people to type.
func TestDocumentedCommands(t *testing.T) {
	seen := 0
	for _, s := range snippets(t, "sh") {
		for line := range strings.Lines(s.text) {
			line, _, _ = strings.Cut(line, " #")
			for _, part := range regexp.MustCompile(`&&|\||\$\(|;`).Split(line, -1) {
				words := strings.Fields(strings.Trim(strings.TrimSpace(part), `"()`))
				for len(words) > 0 && strings.Contains(words[0], "=") {
					words = words[1:] // a variable for the command
				}
				if len(words) > 0 && words[0] == "postern" {
					seen++
					typed(t, filepath.Base(s.doc), words[1:])
				}
			}
		}
	}
	if seen < 5 {
		t.Errorf("only %d commands were found", seen)
	}
}

func typed(t *testing.T, doc string, words []string) {
	t.Helper()
	if i := slices.Index(words, "--"); i >= 0 {
		words = words[:i]
	}
	root := rootCommand()
	root.InitDefaultCompletionCmd()
	for len(words) > 1 && words[0] == "-c" {
		words = words[2:]
	}
	cmd, rest, err := root.Find(words)
	if err != nil || cmd == root && len(words) > 0 {
		t.Errorf("%s: postern %s: %v", doc, strings.Join(words, " "), err)
		return
	}
	for _, w := range rest {
		name, isLong := strings.CutPrefix(w, "--")
		name, _, _ = strings.Cut(name, "=")
		known := true
		switch {
		case isLong:
			known = cmd.Flag(name) != nil
		case strings.HasPrefix(w, "-") && len(w) == 2:
			known = cmd.Flags().ShorthandLookup(w[1:]) != nil || cmd.InheritedFlags().ShorthandLookup(w[1:]) != nil
		}
		if !known {
			t.Errorf("%s: postern %s has no %s", doc, cmd.Name(), w)
		}
	}
}
