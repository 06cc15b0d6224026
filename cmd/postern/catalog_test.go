package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/catalog"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/policy/credential"
)

// entry is the provider of one file of the catalogue.
type entry struct {
	name, file string
	lines      []string
	body       *hclsyntax.Body
}

func entries(t *testing.T) (list []entry) {
	t.Helper()
	names, err := fs.Glob(catalog.Files, "*.hcl")
	if err != nil || len(names) < 32 {
		t.Fatalf("the catalogue has %d files: %v", len(names), err)
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
			if b.Type == "provider" {
				list = append(list, entry{b.Labels[0], name, strings.Split(string(text), "\n"), b.Body})
			}
		}
	}
	return list
}

// offers are the credentials that an entry offers.
func (e *entry) offers() (list []*hclsyntax.Block) {
	for _, b := range e.body.Blocks {
		if b.Type == "credential" {
			list = append(list, b)
		}
	}
	return list
}

// above is the comment that stands directly above a line, which counts from 1.
func (e *entry) above(line int) string {
	from := line - 1
	for from > 0 && strings.HasPrefix(strings.TrimSpace(e.lines[from-1]), "#") {
		from--
	}
	return strings.Join(e.lines[from:line-1], " ")
}

// yours is what a policy adds to an offer of each kind.
var yours = map[string]string{
	"bearer":                    "token = env(\"TOKEN\")",
	"header":                    "value = env(\"KEY\")",
	"basic":                     "username = \"user\"\npassword = env(\"PASSWORD\")",
	"hmac":                      "secret = env(\"SECRET\")\nkey_id = env(\"KEY\")\nvalues = { realm = \"r\", access_token = env(\"TOKEN\") }",
	"oauth2":                    "client_id = \"CLIENT\"\nclient_secret = [env(\"SECRET\")]\nscopes = [\"ONE\", \"TWO\"]",
	"oauth2_client_credentials": "client_id = \"CLIENT\"\nclient_secret = [env(\"SECRET\")]",
	"jwt_bearer":                "key = [file(\"KEY\")]\nscopes = [\"ONE\", \"TWO\"]",
	"aws_sigv4":                 "access_key_id = env(\"KEY\")\nsecret_access_key = env(\"SECRET\")",
	"github_app":                "app_id = \"12345\"\ninstallation_id = account\nprivate_key = [file(\"KEY\")]",
}

// completed is a policy that takes one offer of an entry, and nothing else.
func completed(t *testing.T, e entry, kind string, live *credential.Live) *loaded {
	t.Helper()
	if yours[kind] == "" {
		t.Fatalf("%s offers %s: say in `yours` what a policy adds to that", e.file, kind)
	}
	path := filepath.Join(t.TempDir(), "policy.hcl")
	text := "provider \"it\" {\ncatalog = \"" + e.name + "\"\ncredential \"" + kind + "\" {\n" + yours[kind] + "\n}\n}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	features, err := stages(silent{}, means{live: live})
	if err != nil {
		t.Fatal(err)
	}
	l, diags := load(path, block.StandIns(), features, nil, offline())
	if diags.HasErrors() {
		var shown bytes.Buffer
		report(&shown, diags, l.Files)
		t.Fatalf("%s, completed by\n%s\n%s", e.file, yours[kind], shown.String())
	}
	return l
}

// TestCatalogOffers: each credential that the catalogue offers needs what is
// the user's, and no more. One whose accounts have hosts of their own says where
// an account's is, so that its token goes to no other account's.
func TestCatalogOffers(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range entries(t) {
		if len(e.offers()) == 0 {
			t.Errorf("%s offers no credential", e.file)
		}
		for _, b := range e.offers() {
			kind := b.Labels[0]
			seen[kind] = true
			t.Run(e.name+" "+kind, func(t *testing.T) {
				l := completed(t, e, kind, credential.NewLive())
				hosts := slices.Concat(mapped(sources(l.outbound), func(s *connection.Source) []string { return s.Hosts })...)
				shared := slices.ContainsFunc(hosts, func(h string) bool { return strings.HasPrefix(h, "*.") })
				if shared && b.Body.Attributes["base_url"] == nil {
					t.Errorf("%s: tokens of one account may go to the host of another: say which is whose by base_url", e.file)
				}
			})
		}
	}
	if len(seen) < len(yours) {
		t.Errorf("of the kinds %v only %v are offered", yours, seen)
	}
}

func mapped[A, B any](list []A, f func(A) B) (out []B) {
	for _, a := range list {
		out = append(out, f(a))
	}
	return out
}

var (
	checked20  = regexp.MustCompile(`checked\s(#\s)?on\s(#\s)?20\d\d-\d\d-\d\d`)
	source     = regexp.MustCompile(`[a-z0-9-]+\.[a-z]{2,}(\.[a-z]{2,})?/|[a-z-] \d+\.\d+|nango [0-9a-f]{7}`) // a page, a release, a commit
	secretURLs = []string{"authorize_url", "token_url", "refresh_url", "revoke_url", "base_url"}
)

// TestCatalogSources: each fact of the catalogue about credentials, versions and
// keys has its source above it, each file the date on which they were looked at,
// and secrets go to https.
func TestCatalogSources(t *testing.T) {
	for _, e := range entries(t) {
		head := e.above(slices.Index(e.lines, "") + 1) // its source may be that of all
		if !checked20.MatchString(head) {
			t.Errorf("%s does not begin with a comment that says when its facts were checked on", e.file)
		}
		for _, b := range e.body.Blocks {
			at := b.DefRange()
			if about := head + e.above(at.Start.Line); slices.Contains([]string{"credential", "version", "idempotency", "limit"}, b.Type) && !source.MatchString(about) {
				t.Errorf("%s: no source stands above it", at)
			}
			if b.Type != "credential" {
				continue
			}
			for _, name := range secretURLs {
				a := b.Body.Attributes[name]
				if a == nil {
					continue
				}
				r := a.Expr.Range()
				text := strings.TrimSpace(e.lines[r.Start.Line-1][r.Start.Column-1:])
				if !strings.HasPrefix(text, `"https://`) && text != "response.body.instance_url" {
					t.Errorf("%s: %s is no https URL", r, name)
				}
			}
		}
	}
}

// TestC58CatalogPKCE: an entry does without PKCE only where it says why.
func TestC58CatalogPKCE(t *testing.T) {
	without := 0
	for _, e := range entries(t) {
		for _, b := range e.offers() {
			if b.Body.Attributes["pkce"] == nil {
				continue
			}
			without++
			if !strings.Contains(e.above(b.DefRange().Start.Line), "PKCE ") {
				t.Errorf("%s: say above it why there is no PKCE", b.DefRange())
			}
		}
	}
	if without != 2 { // Slack's and Square's, with a secret
		t.Errorf("%d entries do without PKCE, want 2", without)
	}
}
