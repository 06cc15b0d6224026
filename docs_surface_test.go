package postern

import (
	"context"
	"fmt"
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/oversight"
	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/proxy/clientenv"
	"github.com/postern-proxy/postern/telemetry"
)

// TestErrorSections compares the facts of each code with the program's. The
// anchors are promises: problems link to them.
func TestErrorSections(t *testing.T) {
	fact := regexp.MustCompile("(?m)^(\\d{3}) · `(\\w+)` · (not )?retryable · \\*(.+)\\*$")
	_, codes, _ := strings.Cut(read(t, "docs/errors.md"), "\n## Codes\n")
	var document, program []string
	for _, s := range sections(t, "docs/errors.md") {
		if !strings.Contains(codes, "### "+s.title+"\n") {
			continue
		}
		document = append(document, s.anchor)
		c := policy.Code(s.anchor)
		m := fact.FindStringSubmatch(s.text)
		if m == nil {
			t.Errorf("%s: the line of facts is missing", c)
			continue
		}
		want := []string{strconv.Itoa(c.Status()), string(c.Outcome()), map[bool]string{true: "", false: "not "}[c.Retryable()], c.Title()}
		if !slices.Equal(m[1:], want) {
			t.Errorf("%s: the document says %q, the program %q", c, m[1:], want)
		}
		if !strings.Contains(s.text, "**Cause.**") || !strings.Contains(s.text, "**Cure.**") {
			t.Errorf("%s: cause or cure is missing", c)
		}
	}
	for c := range policy.Codes() {
		program = append(program, string(c))
	}
	equal(t, "codes", document, program)
}

// TestReservedCodes compares the codes that the document calls reserved with
// those that no code names.
func TestReservedCodes(t *testing.T) {
	constants, used := map[string]string{}, map[string]bool{}
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				if typeOf(n.Type) == "Code" && s.folder == "policy" {
					constants[n.Names[0].Name], _ = strconv.Unquote(n.Values[0].(*ast.BasicLit).Value)
				}
			case *ast.KeyValueExpr: // Denial{Code: policy.X}
				if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Code" && s.folder != "cmd/postern" {
					used[strings.TrimPrefix(typeOf(n.Value), "policy.")] = true
				}
			case *ast.AssignStmt: // d.Code = policy.X
				if f, ok := n.Lhs[0].(*ast.SelectorExpr); ok && f.Sel.Name == "Code" {
					used[strings.TrimPrefix(typeOf(n.Rhs[0]), "policy.")] = true
				}
			}
			return true
		})
	}
	var reserved, unused []string
	for _, s := range sections(t, "docs/errors.md") {
		if strings.Contains(s.text, "**Cause.** Reserved") {
			reserved = append(reserved, s.title)
		}
	}
	for name, c := range constants {
		if !used[name] {
			unused = append(unused, c)
		}
	}
	if len(constants) != len(policy.Codes()) {
		t.Errorf("%d constants were found for %d codes", len(constants), len(policy.Codes()))
	}
	equal(t, "reserved codes", reserved, unused)
}

func TestOutcomeTable(t *testing.T) {
	var document, program []string
	for _, row := range rows(find(t, sections(t, "docs/errors.md"), "Outcome classes").text, "class") {
		document = append(document, code(row[0])...)
		for _, word := range regexp.MustCompile(`\b[2-5]\d\d\b`).FindAllString(row[1], -1) {
			status, _ := strconv.Atoi(word)
			if got := policy.OfStatus(status); "`"+string(got)+"`" != row[0] {
				t.Errorf("status %d is %s, not %s", status, got, row[0])
			}
		}
	}
	for _, o := range policy.Outcomes() {
		program = append(program, string(o))
	}
	equal(t, "outcomes", document, program)
}

// TestHeaderTables looks for every Postern- header that package proxy names.
func TestHeaderTables(t *testing.T) {
	program := map[string]bool{}
	for _, s := range sources(t) {
		if s.folder != "proxy" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok {
				if v, err := strconv.Unquote(lit.Value); err == nil && regexp.MustCompile(`^Postern-[A-Z][a-z]+$`).MatchString(v) {
					program[v] = true
				}
			}
			return true
		})
	}
	list := sections(t, "docs/errors.md")
	var document []string
	for _, title := range []string{"Headers of an answer", "Headers of a request"} {
		for _, row := range rows(find(t, list, title).text, "header") {
			if h := code(row[0])[0]; strings.HasPrefix(h, "Postern-") {
				document = append(document, h)
			}
		}
	}
	equal(t, "headers", document, slices.Sorted(maps.Keys(program)))
}

// TestHintTable compares the hints of the classes. Every failure has one, and so
// has every code.
func TestHintTable(t *testing.T) {
	var document, program []string
	for _, row := range rows(find(t, sections(t, "docs/errors.md"), "Hints").text, "class") {
		document = append(document, code(row[0])[0]+": "+row[1])
	}
	for _, o := range policy.Outcomes() {
		if o.Hint() != "" {
			program = append(program, string(o)+": "+o.Hint())
		}
		if (o.Hint() == "") != (o == policy.OK || o == policy.Redirect) {
			t.Errorf("the hint of %s is %q", o, o.Hint())
		}
	}
	equal(t, "hints", document, program)
	for c := range policy.Codes() {
		if c.Hint() == "" {
			t.Errorf("%s has no hint", c)
		}
	}
}

// TestProblemTable compares the fields of a problem.
func TestProblemTable(t *testing.T) {
	var document, program []string
	for _, row := range rows(find(t, sections(t, "docs/errors.md"), "Fields of a problem").text, "field") {
		document = append(document, code(row[0])...)
	}
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || s.folder != "proxy" || spec.Name.Name != "problem" {
				return true
			}
			for _, f := range spec.Type.(*ast.StructType).Fields.List {
				name, _, _ := strings.Cut(regexp.MustCompile(`json:"([^"]+)"`).FindStringSubmatch(f.Tag.Value)[1], ",")
				program = append(program, name)
			}
			return true
		})
	}
	equal(t, "fields of a problem", document, program)
}

// TestMetricTable compares names and labels with what is registered.
func TestMetricTable(t *testing.T) {
	tel := telemetry.New(telemetry.Options{Secrets: block.NewSecrets(nil), Replica: "gate-7f3a"})
	tel.AuthorityExpires(time.Now())
	tel.Replicas(func() int { return 1 })
	tel.InboxStats(func(context.Context) ([]inbound.Stat, error) { return nil, nil })
	tel.OversightStats(oversight.New(oversight.Options{}))
	tel.OutboxStats(func(context.Context) ([]outbox.Stat, error) { return nil, nil })
	ch := make(chan *prometheus.Desc, 1024)
	tel.Registry.Describe(ch)
	close(ch)
	var program []string
	desc := regexp.MustCompile(`fqName: "(postern_\w+)".*variableLabels: \{([^}]*)\}`)
	for d := range ch {
		if m := desc.FindStringSubmatch(d.String()); m != nil {
			program = append(program, m[1]+" "+m[2])
		}
	}
	var document []string
	for _, row := range rows(find(t, sections(t, "docs/operations.md"), "Metrics").text, "metric") {
		document = append(document, fmt.Sprintf("%s %s", code(row[0])[0], strings.Join(code(row[1]), ",")))
	}
	equal(t, "metrics", document, program)
}

// TestHealthTable compares the words for the health of a connection.
func TestHealthTable(t *testing.T) {
	var document, program []string
	for _, row := range rows(find(t, sections(t, "docs/connections.md"), "The API").text, "health") {
		document = append(document, code(row[0])...)
	}
	for _, h := range connection.Healths() {
		program = append(program, string(h))
	}
	equal(t, "health of a connection", document, program)
}

// TestRuntimeTable compares the list of runtimes with what exec knows.
func TestRuntimeTable(t *testing.T) {
	gaps := map[string]string{}
	for _, row := range rows(find(t, sections(t, "docs/operations.md"), "What exec covers").text, "runtime") {
		gaps[code(row[0])[0]] = row[1]
	}
	for _, r := range clientenv.Runtimes() {
		text, ok := gaps[r.Name]
		if !ok {
			t.Errorf("runtime %s is not in the document", r.Name)
		}
		if (r.Gap != "" || r.Planned) && text == "" {
			t.Errorf("runtime %s has a gap: %s", r.Name, r.Gap)
		}
		if r.Planned != strings.HasPrefix(text, "not covered yet") {
			t.Errorf("runtime %s is planned: %v; the document says %q", r.Name, r.Planned, text)
		}
		delete(gaps, r.Name)
	}
	for name := range gaps {
		t.Errorf("the document has runtime %s, the program has not", name)
	}
}
