package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
	"github.com/postern-proxy/postern/proxy"
)

// saying is a line of catalog/testdata/answers.txt.
type saying struct {
	line   int
	entry  string
	status int
	class  policy.Outcome
	header http.Header
	body   string
	path   string // of the call, by a field "Path"
}

// answers reads the file.
func answers(t *testing.T) (list []saying) {
	t.Helper()
	text, err := os.ReadFile("../../catalog/testdata/answers.txt")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.SplitN(line, " ", 4)
		if len(f) < 3 {
			t.Fatalf("line %d: %q", i+1, line)
		}
		status, err := strconv.Atoi(f[1])
		a := saying{line: i + 1, entry: f[0], status: status, class: policy.Outcome(f[2]), header: http.Header{"Content-Type": {"application/json"}}, path: "/admin/api/2026-07/x"}
		if err != nil || !a.class.Valid() {
			t.Fatalf("line %d: %q", i+1, line)
		}
		rest := strings.Join(f[3:], "")
		for rest != "" && rest[0] != '{' && rest[0] != '[' {
			var field string
			field, rest, _ = strings.Cut(rest, " | ")
			name, value, ok := strings.Cut(strings.TrimSuffix(field, " |"), ": ")
			if !ok {
				t.Fatalf("line %d: %q is no header", i+1, field)
			}
			if name == "Path" {
				a.path = value
				continue
			}
			a.header.Set(name, value)
		}
		a.body = rest
		list = append(list, a)
	}
	return list
}

// hints are those of an entry, by where they stand.
func (e *entry) hints(t *testing.T) map[string]string {
	t.Helper()
	list := map[string]string{}
	for _, b := range e.body.Blocks {
		a := b.Body.Attributes["hint"]
		if b.Type != "outcome" || a == nil {
			continue
		}
		v, diags := a.Expr.Value(nil)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		if at, twice := list[v.AsString()]; twice {
			t.Errorf("%s: the hint of %s again", b.DefRange(), at)
		}
		list[v.AsString()] = b.DefRange().String()
	}
	return list
}

// only is the policy of an entry alone, without credentials, that makes one
// attempt.
func only(t *testing.T, e entry, base http.RoundTripper) *loaded {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.hcl")
	if err := os.WriteFile(path, []byte("provider \"it\" {\ncatalog = \""+e.name+"\"\nretry { attempts = 1 }\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	features, err := stages(silent{}, means{live: credential.NewLive()})
	if err != nil {
		t.Fatal(err)
	}
	l, diags := load(path, block.StandIns(), features, base, offline())
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return l
}

// TestCatalogAnswers sends answers of providers, as their documents have them,
// through the catalogue: each has its class, and every hint is reached by one. There
// are sixty at least, and each says what to do.
func TestCatalogAnswers(t *testing.T) {
	byName, open := map[string]entry{}, map[string]map[string]string{}
	count := 0
	for _, e := range entries(t) {
		byName[e.name], open[e.name] = e, e.hints(t)
		count += len(open[e.name])
		for hint, at := range open[e.name] {
			if len(hint) < 40 || !strings.HasSuffix(hint, ".") && !strings.HasSuffix(hint, "?") {
				t.Errorf("%s: %q is no sentence that says what to do", at, hint)
			}
		}
	}
	if count < 60 {
		t.Errorf("the catalogue has %d hints", count)
	}
	t.Logf("the catalogue has %d hints", count)
	for _, a := range answers(t) {
		e, ok := byName[a.entry]
		if !ok {
			t.Errorf("line %d: there is no entry %s", a.line, a.entry)
			continue
		}
		l := only(t, e, policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
			x := policy.From(r.Context())
			x.Now.Connected, x.Now.Written, x.Now.Complete, x.Now.Answered = true, 1, true, true
			return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(strings.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: r}, nil
		}))
		var x *policy.Exchange
		h := proxy.NewHandler(func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF })
		h.Done = func(done *policy.Exchange, _ proxy.Result) { x = done }
		h.Swap(l.outbound, true)
		host := strings.Replace(string(l.outbound.Provider("it").Hosts[0]), "*", "acme", 1)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "https://"+host+a.path, nil))
		if w.Code != a.status || w.Body.String() != a.body || x == nil || x.Attempts != 1 {
			t.Errorf("line %d: answered %d %s", a.line, w.Code, w.Body)
			continue
		}
		if x.Outcome != a.class {
			t.Errorf("line %d: %s %d is %s, want %s; the hint is %q", a.line, a.entry, a.status, x.Outcome, a.class, x.Hint)
		}
		delete(open[a.entry], x.Hint)
	}
	for _, hints := range open {
		for hint, at := range hints {
			t.Errorf("%s: no line of answers.txt reaches %q", at, hint)
		}
	}
}
