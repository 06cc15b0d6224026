package main

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/catalog"
)

// TestCatalogWebhooksLoad loads each webhook of the catalogue whose kind takes a
// secret as a policy takes it: by catalog and by verify "NAME".
func TestCatalogWebhooksLoad(t *testing.T) {
	src, n := "inbound {\npublic_url = \"https://hooks.example.com\"\n}\n", 0
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
		for _, w := range f.Body.(*hclsyntax.Body).Blocks {
			for _, v := range w.Body.Blocks {
				if w.Type != "webhook" || v.Type != "verify" || v.Labels[0] != "hmac" && v.Labels[0] != "token" {
					continue
				}
				tokens := ""
				for _, h := range v.Body.Blocks {
					if h.Type == "handshake" && h.Body.Attributes["presented"] != nil && h.Body.Attributes["learn"] == nil {
						tokens += fmt.Sprintf("handshake %q {\ntoken = [env(\"TOKEN\")]\n}\n", h.Labels[0])
					}
				}
				src += fmt.Sprintf("webhook %q {\ncatalog = %q\npath = \"/%s\"\nverify %q {\nsecrets = [env(\"SECRET\")]\n%s}\ndeliver {\nto = \"http://127.0.0.1:1/\"\n}\n}\n", w.Labels[0], w.Labels[0], w.Labels[0], w.Labels[0], tokens)
				n++
			}
		}
	}
	dir := t.TempDir()
	write(t, dir, "hooks.hcl", src)
	if l := valid(t, dir); len(l.hooks) != n || n < 95 {
		t.Errorf("%d webhooks of %d", len(l.hooks), n)
	}
	write(t, dir, "hooks.hcl", strings.Replace(src, "verify \"zoom\" {\n", "verify \"zoom\" {\nheader = \"X\"\n", 1))
	if _, diags, _ := check(dir); !strings.Contains(diags.Error(), "The catalogue says what it is for zoom") {
		t.Errorf("what the catalogue says is said again: %v", diags)
	}
}
