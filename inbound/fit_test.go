package inbound_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/postern-proxy/postern/inbound"
)

// schemaFile writes a schema and returns its name.
func schemaFile(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "schema.json")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// hook is an unsigned webhook with more in its block, that delivers to an
// application.
func hook(to, more string) string {
	return fmt.Sprintf(`webhook "hook" {
  path = "/hook"
  verify "none" {}
  event {
    id   = body.id
    type = body.type
    key  = body.key
  }
  deliver { to = %q }
  %s
}`, to, more)
}

const wantsEmail = `{"required":["email"],"properties":{"email":{"type":"string"},"id":true,"type":true}}`

type misfits struct {
	mu  sync.Mutex
	all []inbound.Misfit
}

func (m *misfits) observe(o *inbound.Options) {
	o.Observer.Misfit = func(f *inbound.Misfit) { m.mu.Lock(); m.all = append(m.all, *f); m.mu.Unlock() }
}

func TestMisfitIsQuarantined(t *testing.T) {
	a, told := newApp(t, nil), &misfits{}
	b := serve(t, mustLoad(t, hook(a.URL, fmt.Sprintf(`schema "customer.*" { file = %q }`, schemaFile(t, wantsEmail)))), told.observe)
	b.run()
	for _, body := range []string{
		`{"id":"1","type":"customer.created","email":17}`,
		`{"id":"1","type":"customer.created","email":17}`, // a duplicate is told of once
		`{"id":"2","type":"customer.created","email":"a@b.c","more":true}`,
		`{"id":"3","type":"other","email":17}`,
	} {
		if got := b.post("/hook", body, nil); got.status != 200 {
			t.Fatalf("%s: %d %s", body, got.status, got.body)
		}
	}
	a.nth(t, 2)
	for _, e := range b.stored() {
		held := e.EventID == "1"
		if held != (e.Status == inbound.Quarantined) || held != (e.Misfit != "") {
			t.Errorf("%s: %s %q", e.EventID, e.Status, e.Misfit)
		}
		if reason := e.Deliveries[0].Reason; held && reason != "does not fit schema.json: /email: type" {
			t.Errorf("reason %q", reason)
		}
	}
	if len(told.all) != 1 || !told.all[0].Held || told.all[0].Reason != "does not fit schema.json: /email: type" || told.all[0].Type != "customer.created" {
		t.Errorf("%+v", told.all)
	}
}

func TestMisfitIsObserved(t *testing.T) {
	a, told := newApp(t, nil), &misfits{}
	b := serve(t, mustLoad(t, hook(a.URL, fmt.Sprintf(`schema "**" {
file = %q
mode = "observe"
}`, schemaFile(t, wantsEmail)))), told.observe)
	b.run()
	b.post("/hook", `{"id":"1"}`, nil)
	a.nth(t, 1)
	if e := b.stored()[0]; e.Misfit == "" || len(told.all) != 1 || told.all[0].Held {
		t.Errorf("%q %+v", e.Misfit, told.all)
	}
}

func TestUnreadableBodyUnderSchema(t *testing.T) {
	b := serve(t, mustLoad(t, hook("http://127.0.0.1:1", fmt.Sprintf(`schema "**" { file = %q }`, schemaFile(t, wantsEmail)))))
	for i, c := range []struct {
		body   string
		header http.Header
		want   string
	}{
		{"email=x", nil, "not JSON"},
		{`{"email":"x"}`, http.Header{"Content-Encoding": {"gzip"}}, "encoded, so that it cannot be read"},
		{strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), nil, "too complex"},
	} {
		if got := b.post("/hook", c.body, c.header); got.status != 200 {
			t.Fatal(got)
		}
		if e := b.stored()[0]; e.Status != inbound.Quarantined || e.Deliveries[0].Reason != "does not fit schema.json: "+c.want {
			t.Errorf("%d: %s %q", i, e.Status, e.Deliveries[0].Reason)
		}
	}
}

// TestMostSpecificSchema: of the patterns that match, the one of which most is
// written out counts, wherever it stands.
func TestMostSpecificSchema(t *testing.T) {
	var blocks strings.Builder
	dir := t.TempDir()
	for i, pattern := range []string{"**", "*", "customer.**", "customer.*", "customer.source.*", "customer.created", "*.created", "cust*.s*e.*", "inv*.paid"} {
		name := filepath.Join(dir, fmt.Sprintf("%d.json", i))
		if err := os.WriteFile(name, []byte("false"), 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&blocks, "schema %q { file = %q }\n", pattern, name)
	}
	b := serve(t, mustLoad(t, hook("http://127.0.0.1:1", blocks.String())))
	for kind, want := range map[string]int{
		"": 1, "ping": 1, "customer": 1, "customer.created": 5, "customer.deleted": 3, "customer.source.added": 4, "customer.a.b.c": 2,
		"order.created": 6, "custom.suite.x": 7, "invoice.paid": 8, "invoice.paid.x": 0, "x.y": 0, "customer.": 3,
	} {
		b.post("/hook", fmt.Sprintf(`{"type":%q}`, kind), nil)
		if got := b.stored()[0].Deliveries[0].Reason; got != fmt.Sprintf("does not fit %d.json: /: not in the schema", want) {
			t.Errorf("%q: %s instead of %d.json", kind, got, want)
		}
	}
}

func TestSchemaDiagnostics(t *testing.T) {
	bad := schemaFile(t, `{"type":"strnig"}`)
	remote := schemaFile(t, `{"$ref":"https://example.com/x.json"}`)
	for _, c := range []struct{ block, at, want string }{
		{`schema "x" { file = "none.json" }`, `"none.json"`, "Schema none.json: no such file"},
		{fmt.Sprintf(`schema "x" { file = %q }`, bad), fmt.Sprintf("%q", bad), "no valid schema"},
		{fmt.Sprintf(`schema "x" { file = %q }`, remote), fmt.Sprintf("%q", remote), "never fetched"},
		{`schema "x..y" { file = "x.json" }`, "{", "names with dots"},
		{`schema "**.x" { file = "x.json" }`, "{", "names with dots"},
		{`schema "x" { file = "" }`, `""`, "must name a file"},
		{"schema \"x\" {\nfile = \"x.json\"\nmode = \"drop\"\n}", `"drop"`, "use quarantine or observe"},
		{fmt.Sprintf("schema \"x\" { file = %[1]q }\nschema \"x\" { file = %[1]q }", schemaFile(t, "true")), "", "another schema for"},
	} {
		src := hook("http://127.0.0.1:1", c.block)
		_, diags := load(src)
		if len(diags) == 0 || !strings.Contains(diags[0].Detail, c.want) {
			t.Errorf("%s: %v", c.block, diags)
			continue
		}
		at := diags[0].Subject
		if got := src[at.Start.Byte:at.End.Byte]; c.at != "" && got != c.at && c.at != "{" {
			t.Errorf("%s: at %q", c.block, got)
		}
	}
}
