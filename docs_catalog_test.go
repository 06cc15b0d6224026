package postern

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/catalog"
)

// TestCatalogTable compares the table of docs/policy.md with the catalogue: every
// entry, its first host, the credentials that it offers, in their order, and
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
		offered[row[0]] = row
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
