package postern

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/catalog"
)

// TestCatalogTable compares the table of docs/policy.md with the catalogue: every
// provider, its first host, the credentials that it offers, in their order, and
// whether it has a webhook.
func TestCatalogTable(t *testing.T) {
	names, err := fs.Glob(catalog.Files, "*.hcl")
	if err != nil {
		t.Fatal(err)
	}
	offered := map[string][4]string{}
	for _, name := range names {
		text, err := fs.ReadFile(catalog.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		f, diags := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		row := [4]string{0: "`" + strings.TrimSuffix(name, ".hcl") + "`"}
		for _, b := range f.Body.(*hclsyntax.Body).Blocks {
			if "`"+b.Labels[0]+"`" != row[0] {
				t.Errorf("%s has a %s %q: a file has the name of its entry", name, b.Type, b.Labels[0])
			}
			if b.Type == "webhook" {
				row[3] = "yes"
				continue
			}
			hosts, diags := b.Body.Attributes["hosts"].Expr.Value(nil)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			row[1] = "`" + hosts.AsValueSlice()[0].AsString() + "`"
			for _, c := range b.Body.Blocks {
				if c.Type == "credential" {
					row[2] = strings.TrimPrefix(row[2]+", `"+c.Labels[0]+"`", ", ")
				}
			}
		}
		if row[1] != "" {
			offered[row[0]] = row
		}
	}
	for _, cells := range rows(find(t, sections(t, "docs/policy.md"), "The catalogue").text, "entry") {
		row, ok := offered[cells[0]]
		if !ok {
			t.Errorf("the catalogue has no %s", cells[0])
			continue
		}
		delete(offered, cells[0])
		if cells[1] != row[1] || cells[2] != row[2] || (cells[3] != "") != (row[3] != "") {
			t.Errorf("the table says %v, the catalogue %v", cells, row)
		}
	}
	for name := range offered {
		t.Errorf("the table lacks %s", name)
	}
}

// TestCatalogWebhooks compares the table of webhooks in docs/policy.md and that of
// handshakes in docs/inbox.md with the catalogue: how each webhook is verified, how
// old it may be, and which handshakes it answers, how.
func TestCatalogWebhooks(t *testing.T) {
	kinds, handshakes := map[string]string{}, map[string]string{}
	webhooks := catalogWebhooks(t)
	for name, body := range webhooks {
		for _, v := range body.Blocks {
			if v.Type != "verify" {
				continue
			}
			kinds["`"+name+"`"] = fmt.Sprintf("`%s` | %s", v.Labels[0], dated(t, webhooks, v))
			for _, h := range v.Body.Blocks {
				if h.Type != "handshake" {
					continue
				}
				who := "POST, signed"
				if a := h.Body.Attributes["signed"]; a != nil {
					who = "POST"
				}
				if a := h.Body.Attributes["method"]; a != nil {
					who = constant(t, a)
				}
				if h.Body.Attributes["presented"] != nil {
					who += ", with a token"
				}
				handshakes[fmt.Sprintf("`%s` | `%s`", name, h.Labels[0])] = who
			}
		}
	}
	compare := func(table string, got [][]string, keys int, want map[string]string) {
		for _, cells := range got {
			key := strings.Join(cells[:keys], " | ")
			if w, ok := want[key]; !ok || w != strings.Join(cells[keys:], " | ") && !strings.HasPrefix(strings.Join(cells[keys:], " | "), w+" | ") {
				t.Errorf("%s: the table says %v, the catalogue %q", table, cells, w)
			}
			delete(want, key)
		}
		for key, w := range want {
			t.Errorf("%s lacks the row: | %s | %s |", table, key, w)
		}
	}
	compare("docs/policy.md", rows(find(t, sections(t, "docs/policy.md"), "Webhooks of the catalogue").text, "verify"), 1, kinds)
	compare("docs/inbox.md", rows(find(t, sections(t, "docs/inbox.md"), "Handshakes").text, "webhook"), 2, handshakes)
}

// dated is to within what time a signature is dated, "" if it is not. One may be that of
// another webhook of the catalogue.
func dated(t *testing.T, webhooks map[string]*hclsyntax.Body, v *hclsyntax.Block) (within string) {
	if other := webhooks[v.Labels[0]]; other != nil {
		for _, b := range other.Blocks {
			if b.Type == "verify" {
				return dated(t, webhooks, b)
			}
		}
	}
	for _, a := range []string{"timestamp", "timestamp_field", "time"} {
		if v.Body.Attributes[a] != nil {
			within = "`5m`"
		}
	}
	if a := v.Body.Attributes["tolerance"]; a != nil {
		within = "`" + constant(t, a) + "`"
	}
	return within
}

// catalogWebhooks are the webhooks of the catalogue by name.
func catalogWebhooks(t *testing.T) map[string]*hclsyntax.Body {
	all := map[string]*hclsyntax.Body{}
	names, err := fs.Glob(catalog.Files, "*.hcl")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(catalog.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		f, diags := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		for _, b := range f.Body.(*hclsyntax.Body).Blocks {
			if b.Type == "webhook" {
				all[b.Labels[0]] = b.Body
			}
		}
	}
	return all
}

func constant(t *testing.T, a *hclsyntax.Attribute) string {
	v, diags := a.Expr.Value(nil)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return v.AsString()
}
