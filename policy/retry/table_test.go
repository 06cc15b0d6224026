package retry

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/policy"
)

var update = flag.Bool("update", false, "write the tables of docs/retries.md")

const document = "../../docs/retries.md"

// What an attempt can have come to.
var (
	part    = policy.Attempt{Dialled: true, Connected: true, Written: 9}
	whole   = policy.Attempt{Dialled: true, Connected: true, Written: 9, Complete: true}
	refused = policy.Attempt{Dialled: true, Connected: true, Written: 9, Complete: true, Refused: true}
	begun   = policy.Attempt{Dialled: true, Connected: true, Written: 9, Complete: true, Begun: true}
)

func lost(a policy.Attempt, o policy.Outcome) evidence {
	a.Outcome = o
	return evidence{attempt: a}
}

// answered is an attempt with an answer, whose class is o or that of its status.
func answered(status int, o policy.Outcome) evidence {
	if o == "" {
		o = policy.OfStatus(status)
	}
	return evidence{attempt: policy.Attempt{Dialled: true, Connected: true, Written: 9, Complete: true, Begun: true, Answered: true, Status: status, Outcome: o}}
}

// with changes evidence.
func with(e evidence, change func(*evidence)) evidence {
	change(&e)
	return e
}

// A case is a row of a table. The evidence of several, all of which have to come
// to the same, is one row.
type row struct {
	what string
	of   []evidence
}

func decisions() []row {
	return []row{
		{"no connection: the name, the network, or nobody listens", []evidence{lost(policy.Attempt{}, policy.Unreachable)}},
		{"no connection in time", []evidence{lost(policy.Attempt{}, policy.Timeout)}},
		{"a connection on which TLS does not come about", []evidence{lost(policy.Attempt{Dialled: true}, policy.Unreachable)}},
		{"a certificate that is not trusted, or a TLS alert", []evidence{with(lost(policy.Attempt{Dialled: true}, policy.Unreachable), func(e *evidence) { e.fault = untrusted })}},
		{"the connection ends before a byte of the request is written", []evidence{lost(policy.Attempt{Dialled: true, Connected: true}, policy.Unreachable)}},
		{"HTTP/2: `REFUSED_STREAM`, or `GOAWAY` with a last stream below this one", []evidence{lost(refused, policy.Unreachable)}},
		{"HTTP/2: another `RST_STREAM`, or `GOAWAY` that includes this stream, and no answer", []evidence{lost(whole, policy.Unreachable)}},
		{"the connection ends while the request is being written", []evidence{lost(part, policy.Unreachable)}},
		{"the connection ends after the request, before an answer", []evidence{lost(whole, policy.Unreachable)}},
		{"a kept-alive connection turns out to be dead", []evidence{lost(whole, policy.Unreachable), lost(part, policy.Unreachable)}},
		{"the answer breaks off within its headers, or is no HTTP", []evidence{lost(begun, policy.Unreachable)}},
		{"no answer in time", []evidence{lost(whole, policy.Timeout), lost(part, policy.Timeout)}},
		{"2xx", []evidence{answered(200, ""), answered(204, "")}},
		{"3xx", []evidence{answered(301, ""), answered(303, ""), answered(307, "")}},
		{"400, 422", []evidence{answered(400, ""), answered(422, "")}},
		{"401", []evidence{answered(401, "")}},
		{"403", []evidence{answered(403, "")}},
		{"404, 410", []evidence{answered(404, ""), answered(410, "")}},
		{"408", []evidence{answered(408, "")}},
		{"409", []evidence{answered(409, "")}},
		{"421", []evidence{answered(421, "")}},
		{"425", []evidence{answered(425, "")}},
		{"429", []evidence{answered(429, "")}},
		{"another 4xx", []evidence{answered(402, ""), answered(418, "")}},
		{"500", []evidence{answered(500, "")}},
		{"502, 503, 504", []evidence{answered(502, ""), answered(503, ""), answered(504, "")}},
		{"whatever an `outcome` rule calls `rate_limited`", []evidence{answered(200, policy.RateLimited), answered(403, policy.RateLimited), answered(503, policy.RateLimited)}},
		{"whatever an `outcome` rule calls `quota_exhausted`", []evidence{answered(200, policy.QuotaExhausted), answered(429, policy.QuotaExhausted)}},
		{"2xx that an `outcome` rule calls `server_error`", []evidence{answered(200, policy.ServerError)}},
	}
}

func rules() []row {
	limited, failed := answered(429, ""), answered(503, "")
	return []row{
		{"`verdict` says no, of a 503", []evidence{with(failed, func(e *evidence) { e.word = no })}},
		{"`verdict` says no, of a 429", []evidence{with(limited, func(e *evidence) { e.word = no })}},
		{"`verdict` says yes, of a 409", []evidence{with(answered(409, ""), func(e *evidence) { e.word = yes })}},
		{"`verdict` says yes, of a 500", []evidence{with(answered(500, ""), func(e *evidence) { e.word = yes })}},
		{"`verdict` says yes, of `quota_exhausted`", []evidence{with(answered(429, policy.QuotaExhausted), func(e *evidence) { e.word = yes })}},
		{"`on` does not name `server_error`, of a 503", []evidence{failed}},
		{"`on` names `conflict`, of a 409", []evidence{with(answered(409, ""), func(e *evidence) { e.on = true })}},
		{"the status is one of `final`, of a 500", []evidence{with(answered(500, ""), func(e *evidence) { e.on, e.final = true, true })}},
		{"a credential has a fresh value, of a 401", []evidence{with(answered(401, ""), func(e *evidence) { e.fresh = true })}},
		{"a second 421, or a second 425", []evidence{with(answered(421, ""), func(e *evidence) { e.twice = true }), with(answered(425, ""), func(e *evidence) { e.twice = true })}},
		{"an attempt before may have had an effect, of a 429", []evidence{with(limited, func(e *evidence) { e.on, e.attempt.Earlier = true, true })}},
		{"there is no copy of the body, of a 429", []evidence{with(limited, func(e *evidence) { e.on, e.spooled = true, false })}},
		{"no attempts are left, of a 429", []evidence{with(limited, func(e *evidence) { e.on, e.left = true, 0 })}},
	}
}

// columns are the methods and keys by which all rows are told apart.
var columns = []struct {
	method string
	keyed  bool
}{{"GET", false}, {"HEAD", false}, {"PUT", false}, {"DELETE", false}, {"OPTIONS", false}, {"POST", false}, {"PATCH", false}, {"POST", true}, {"PATCH", true}}

// cells are the last three of a row.
func cells(t *testing.T, r row) []string {
	t.Helper()
	merged := make([]string, 3)
	for i, c := range columns {
		for _, e := range r.of {
			e.method, e.keyed = c.method, c.keyed
			e.final = e.final && c.keyed
			at := 0
			if i >= 5 {
				at = 1
			}
			if c.keyed {
				at = 2
			}
			text := cell(decide(e))
			if merged[at] == "" {
				merged[at] = text
			}
			if merged[at] != text {
				t.Errorf("%s: %s is %q and %q", r.what, c.method, merged[at], text)
			}
		}
	}
	return merged
}

func cell(v verdict) string {
	switch {
	case v.fresh:
		return "again, at once"
	case v.again:
		return "again"
	case v.why != "":
		return "no: `" + string(v.why) + "`"
	}
	return "no"
}

// first are the cells of a decision before those: class and executed.
func first(t *testing.T, r row) (class, executed string) {
	t.Helper()
	class, executed = string(r.of[0].attempt.Outcome), string(r.of[0].attempt.Executed())
	for _, e := range r.of {
		if string(e.attempt.Outcome) != class || string(e.attempt.Executed()) != executed {
			t.Errorf("%s: it is %s and %s", r.what, e.attempt.Outcome, e.attempt.Executed())
		}
	}
	return class, executed
}

const methods = "GET, HEAD, OPTIONS, PUT, DELETE | others, without a key | others, with a key |"

func tables(t *testing.T) map[string]string {
	var d, r strings.Builder
	d.WriteString("| what became of the attempt | class | `executed` | " + methods + "\n|---|---|---|---|---|---|\n")
	b := new(Block)
	b.Default()
	for _, row := range decisions() {
		for i := range row.of { // with the defaults of retry, and everything there for another attempt
			e := &row.of[i]
			e.spooled, e.left = true, 1
			for _, o := range b.On {
				e.on = e.on || o == e.attempt.Outcome
			}
		}
		class, executed := first(t, row)
		fmt.Fprintf(&d, "| %s | `%s` | `%s` | %s |\n", row.what, class, executed, strings.Join(cells(t, row), " | "))
	}
	r.WriteString("| what the policy or the provider says | " + methods + "\n|---|---|---|---|\n")
	for _, row := range rules() {
		for i := range row.of {
			e := &row.of[i]
			e.spooled = !strings.Contains(row.what, "no copy")
			if !strings.Contains(row.what, "are left") {
				e.left = 1
			}
		}
		fmt.Fprintf(&r, "| %s | %s |\n", row.what, strings.Join(cells(t, row), " | "))
	}
	return map[string]string{"decisions": d.String(), "rules": r.String()}
}

// TestP19Table compares the tables of the document with what decide says. With
// -update it writes them.
func TestP19Table(t *testing.T) {
	src, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	text := string(src)
	for name, want := range tables(t) {
		between := regexp.MustCompile(`(?s)(<!-- ` + name + `: made by policy/retry -->\n\n)(.*?)(\n<!-- end -->)`)
		m := between.FindStringSubmatch(text)
		switch {
		case m == nil:
			t.Errorf("%s has no place for the table %s", document, name)
		case m[2] != want && !*update:
			t.Errorf("the table %s of %s is not what decide says; go test ./policy/retry -run P19Table -update writes it:\n%s", name, document, want)
		case m[2] != want:
			text = strings.Replace(text, m[0], m[1]+want+m[3], 1)
		}
	}
	if *update && text != string(src) {
		if err := os.WriteFile(document, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnretriedTable: the document has every reason, and no other.
func TestUnretriedTable(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../evidence.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	program := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Unretried" {
				v, _ := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				program[v] = true
			}
		}
		return true
	})
	src, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(src), "\n## Why not\n")
	section, _, _ = strings.Cut(section, "\n## ")
	n := 0
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllStringSubmatch(section, -1) {
		if n++; !program[m[1]] {
			t.Errorf("the document has %q, the program has not", m[1])
		}
	}
	if n != len(program) || n == 0 {
		t.Errorf("the document has %d reasons of %d", n, len(program))
	}
}
