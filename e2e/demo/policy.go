package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const ledgerHost = "api.ledger.example"

// ledger is a provider as the catalogue does not have it, and without an
// idempotency block.
const ledger = `provider "ledger" {
  hosts    = ["` + ledgerHost + `"]
  upstream = "UPSTREAM"
  credential "bearer" { token = env("LEDGER_KEY") }
  retry { attempts = 4 }
}
`

// edit is one change of the quickstart's files.
type edit struct{ file, from, to string }

// write copies the policy folder and changes in it only what has to be: free
// ports, where the providers and the application are, and, because twenty calls
// are few and eight of their attempts are made to fail, how many retries they
// may have.
func (g *gate) write(policy, stripe, ledgerURL, app string) error {
	files, err := filepath.Glob(filepath.Join(policy, "*.hcl"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("there is no policy in %s", policy)
	}
	text := map[string]string{}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		text[filepath.Base(name)] = string(b)
	}
	for _, e := range []edit{
		{"postern.hcl", "127.0.0.1:8080", g.proxy},
		{"postern.hcl", "127.0.0.1:8081", g.inbound},
		{"postern.hcl", "127.0.0.1:8082", g.admin},
		{"stripe.hcl", `catalog = "stripe"`, fmt.Sprintf("catalog  = \"stripe\"\n  upstream = %q\n  retry { budget = 1 }", stripe)},
		{"stripe.hcl", "http://127.0.0.1:3000", app},
	} {
		if !strings.Contains(text[e.file], e.from) {
			return fmt.Errorf("%s in %s has no %s to change", e.file, policy, e.from)
		}
		text[e.file] = strings.Replace(text[e.file], e.from, e.to, 1)
	}
	text["ledger.hcl"] = strings.Replace(ledger, "UPSTREAM", ledgerURL, 1)
	for name, content := range text {
		if err := os.WriteFile(filepath.Join(g.dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}
