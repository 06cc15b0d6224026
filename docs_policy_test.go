package postern

import (
	"encoding"
	"fmt"
	"go/ast"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/admin"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connect"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/scheme/hmac"
	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/policy/allow"
	"github.com/postern-proxy/postern/policy/breaker"
	"github.com/postern-proxy/postern/policy/credential"
	"github.com/postern-proxy/postern/policy/credential/bearer"
	signing "github.com/postern-proxy/postern/policy/credential/hmac"
	"github.com/postern-proxy/postern/policy/credential/httpsignature"
	"github.com/postern-proxy/postern/policy/deadletter"
	"github.com/postern-proxy/postern/policy/idempotency"
	"github.com/postern-proxy/postern/policy/limit"
	"github.com/postern-proxy/postern/policy/reconcile"
	"github.com/postern-proxy/postern/policy/retry"
	"github.com/postern-proxy/postern/policy/timeout"
	"github.com/postern-proxy/postern/policy/upsert"
	"github.com/postern-proxy/postern/proxy"
	"github.com/postern-proxy/postern/shared"
	"github.com/postern-proxy/postern/store"
)

// documented says under which heading of docs/policy.md the struct of a block
// stands. A struct with hcl tags that is not here fails the test.
var documented = map[string]string{
	"proxy.Config":                          "proxy",
	"proxy.Client":                          "client",
	"config/block.TLS":                      "tls",
	"inbound.Config":                        "inbound",
	"admin.Config":                          "admin",
	"connect.Config":                        "connect",
	"store.Config":                          "store",
	"shared.Config":                         "shared",
	"policy.head":                           "provider",
	"policy/allow.Block":                    "allow",
	"policy/deadletter.Block":               "deadletter",
	"outbox.Policy":                         "async",
	"outbox.Backoff":                        "backoff of async",
	"policy/idempotency.Block":              "idempotency",
	"policy/timeout.Block":                  "timeout",
	"policy/retry.Block":                    "retry",
	"policy/retry.Backoff":                  "backoff",
	"policy/reconcile.Block":                "reconcile",
	"policy/upsert.Block":                   "upsert",
	"policy/upsert.Update":                  "update",
	"policy/breaker.Block":                  "breaker",
	"policy/limit.Block":                    "limit",
	"policy/version.Block":                  "version",
	"policy/credential.Rotation":            "rotation",
	"policy/credential/bearer.Block":        `credential "bearer"`,
	"policy/credential/basic.Block":         `credential "basic"`,
	"policy/credential/header.Block":        `credential "header"`,
	"policy/credential/query.Block":         `credential "query"`,
	"policy/credential/path.Block":          `credential "path"`,
	"policy/credential/mtls.Block":          `credential "mtls"`,
	"policy/credential/body.Block":          `credential "body"`,
	"policy/credential/hmac.Block":          `credential "hmac"`,
	"policy/credential/hmac.Part":           "part",
	"policy/credential/awssigv4.Block":      `credential "aws_sigv4"`,
	"policy/credential/awssigv4.Role":       "A role of AWS",
	"policy/credential/httpsignature.Block": `credential "http_signature"`,
	"policy/credential.Server":              "Tokens that a provider grants",
	"policy/credential.Signing":             "Signing clients",
	"policy/credential/oauth2.Block":        `credential "oauth2"`,
	"policy/credential/oauth2.Revoke":       "revoke",
	"policy/credential/jwtbearer.Block":     `credential "jwt_bearer"`,
	"policy/credential/githubapp.Block":     `credential "github_app"`,
	"policy/limit.Pause":                    "cooldown",
	"policy/fallback.Block":                 "fallback",
	"policy/outcome.Fields":                 "error",
	"policy/outcome.Block":                  "outcome",
	"inbound.Webhook":                       "webhook",
	"inbound.EventNames":                    "event",
	"inbound.Schema":                        "schema",
	"inbound.Rotation":                      "Secrets that are replaced",
	"inbound.Order":                         "order",
	"inbound.Latest":                        "latest",
	"seal.Config":                           "seal",
	"inbound.Deliver":                       "deliver",
	"application.TLS":                       "tls of the application",
	"inbound.Retry":                         "retry of a webhook",
	"inbound.Backoff":                       "backoff of a webhook",
	"inbound.Reconcile":                     "reconcile of a webhook",
	"inbound.ListedEvent":                   "event of reconcile",
	"inbound.Expect":                        "expect of a webhook",
	"inbound.Subscription":                  "subscription",
	"inbound.Renewal":                       "renew",
	"inbound/scheme/hmac.Grammar":           `verify "hmac"`,
	"inbound.Handshake":                     "handshake",
	"inbound.Reply":                         "reply",
	"inbound/scheme/token.Block":            `verify "token"`,
	"inbound/scheme/basic.Block":            `verify "basic"`,
	"inbound/claim.Grammar":                 `Signatures by a key pair`,
	"inbound/scheme/ecdsa.Block":            `verify "ecdsa"`,
	"inbound/scheme/rsa.Block":              `verify "rsa"`,
	"inbound/scheme/jwt.Block":              `verify "jwt"`,
	"inbound/scheme/jwt.Google":             `verify "google"`,
	"inbound/scheme/jwt.Microsoft":          `verify "microsoft"`,
	"inbound/scheme/plaid.Block":            `verify "plaid"`,
	"inbound/scheme/circle.Block":           `verify "circle"`,
	"inbound/scheme/sns.Block":              `verify "sns"`,
	"inbound/scheme/paypal.Block":           `verify "paypal"`,
	"inbound/scheme/jws.Block":              `verify "jws"`,
	"inbound/scheme/apple.Block":            `verify "apple"`,
	"inbound/scheme/form.Block":             `verify "form"`,
	"inbound/scheme/mailgun.Block":          `verify "mailgun"`,
	"inbound/scheme/adyen.Block":            `verify "adyen"`,
	"inbound/scheme/graph.Block":            `verify "client_state"`,
	"inbound/scheme/mtls.Block":             `verify "mtls"`,
	"cmd/postern.trial":                     "test",
	"cmd/postern.trialWebhook":              "webhook of a test",
	"cmd/postern.trialRequest":              "request",
	"cmd/postern.trialUpstream":             "upstream",
	"cmd/postern.trialConnection":           "connection",
	"cmd/postern.trialExpect":               "expect",
	"cmd/postern.trialAssert":               "assert",
}

// TestPolicyTables compares each table of docs/policy.md with its struct: the
// same names, the kind of value, and what is required.
func TestPolicyTables(t *testing.T) {
	list := sections(t, "docs/policy.md")
	structs := fieldsOf(t)
	for key := range structs {
		if documented[key] == "" {
			t.Errorf("no section of docs/policy.md is about %s", key)
		}
	}
	tables := map[string]bool{}
	for key, title := range documented {
		tables[title] = true
		fields := structs[key]
		if fields == nil {
			t.Errorf("there is no struct %s", key)
		}
		var names, program []string
		for _, f := range fields {
			program = append(program, f.name)
		}
		for _, row := range rows(find(t, list, title).text, "name") {
			name := strings.Trim(row[0], "`")
			names = append(names, name)
			i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
			if i >= 0 {
				matches(t, title, fields[i], row)
			}
		}
		equal(t, title, names, program)
	}
	for _, s := range list {
		if r := rows(s.text, "name"); len(r) > 0 && len(r[0]) == 4 && !tables[s.title] {
			t.Errorf("%s has a table of attributes, and no struct", s.title)
		}
	}
}

// kinds are the words for Go's types in the second column.
var kinds = map[string]string{
	"string": "string", "bool": "bool", "int": "number", "float64": "number", "*int": "number", "*block.Rate": "rate", "*string": "string",
	"block.Duration": "duration", "*block.Duration": "duration", "*bool": "bool", "block.Size": "size", "block.Rate": "rate", "block.Path": "path",
	"block.Secret": "secret", "[]block.Secret": "secrets", "map[string]block.Secret": "map of secrets",
	"*block.Expr": "expression", "*block.Template": "template", "[]*block.Expr": "list of expressions", "[]string": "list of strings", "[]int": "list of numbers",
	"map[string]string": "map of strings", "map[string]*block.Expr": "map of expressions", "block.Templates": "map of templates",
}

func matches(t *testing.T, title string, f field, row []string) {
	t.Helper()
	want := kinds[f.typ]
	if f.kind == "block" {
		want = "block"
	}
	if want != "" && row[1] != want {
		t.Errorf("%s: %s is a %s, not a %s", title, f.name, want, row[1])
	}
	if required := f.kind == ""; required != strings.HasPrefix(row[2], "required") && f.kind != "block" && f.name != "hosts" {
		t.Errorf("%s: that %s is required is %v; the document says %s", title, f.name, required, row[2])
	}
}

// TestPolicyDefaults compares the third column with what Default sets.
func TestPolicyDefaults(t *testing.T) {
	list := sections(t, "docs/policy.md")
	for title, b := range map[string]any{
		"proxy": new(proxy.Config), "inbound": new(inbound.Config), "admin": new(admin.Config), "connect": new(connect.Config), "store": new(store.Config), "shared": new(shared.Config),
		"allow": new(allow.Block), "deadletter": new(deadletter.Block), "async": new(outbox.Policy), "backoff of async": new(outbox.Backoff), "idempotency": new(idempotency.Block), "timeout": new(timeout.Block),
		"retry": new(retry.Block), "backoff": new(retry.Backoff), "breaker": new(breaker.Block), "reconcile": new(reconcile.Block), "upsert": new(upsert.Block), "update": new(upsert.Update), "limit": new(limit.Block),
		"rotation": new(credential.Rotation), `credential "bearer"`: new(bearer.Block), `credential "hmac"`: new(signing.Block), `credential "http_signature"`: new(httpsignature.Block), "webhook": new(inbound.Webhook), "event": new(inbound.EventNames),
		"deliver": new(inbound.Deliver), "order": new(inbound.Order), "latest": new(inbound.Latest), "retry of a webhook": new(inbound.Retry), "backoff of a webhook": new(inbound.Backoff),
		`verify "hmac"`: new(hmac.Grammar), "handshake": new(inbound.Handshake), "reply": new(inbound.Reply),
		"reconcile of a webhook": new(inbound.Reconcile), "event of reconcile": new(inbound.ListedEvent),
		"expect of a webhook": new(inbound.Expect), "subscription": new(inbound.Subscription), "renew": new(inbound.Renewal),
	} {
		b.(block.Defaulter).Default()
		cells := map[string]string{}
		for _, row := range rows(find(t, list, title).text, "name") {
			cells[strings.Trim(row[0], "`")] = row[2]
		}
		v := reflect.ValueOf(b).Elem()
		for i := range v.NumField() {
			name, kind, _ := strings.Cut(v.Type().Field(i).Tag.Get("hcl"), ",")
			if kind != "optional" || v.Field(i).IsZero() {
				continue
			}
			if !same(v.Field(i), cells[name]) {
				t.Errorf("%s: the default of %s is %v; the document says %s", title, name, v.Field(i), cells[name])
			}
		}
	}
}

// same reports whether the first code in a cell means the value.
func same(v reflect.Value, cell string) bool {
	words := code(cell)
	if len(words) == 0 {
		return false
	}
	want := words[0]
	plain, err := strconv.Unquote(want)
	if err != nil {
		plain = want
	}
	if v.Kind() == reflect.Slice {
		var items []string
		for i := range v.Len() {
			items = append(items, fmt.Sprintf("%q", fmt.Sprint(v.Index(i))))
		}
		return want == "["+strings.Join(items, ", ")+"]"
	}
	fresh := reflect.New(v.Type())
	if u, ok := fresh.Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(plain)) == nil && fmt.Sprint(fresh.Elem()) == fmt.Sprint(v)
	}
	return plain == fmt.Sprint(v) || want == fmt.Sprint(v)
}

// TestPolicyScopes asks the program which names it knows in each scope.
func TestPolicyScopes(t *testing.T) {
	used := map[string]bool{}
	for _, fields := range fieldsOf(t) {
		for _, f := range fields {
			if f.scope != "" {
				used[f.scope] = true
			}
		}
	}
	others := regexp.MustCompile("those of `\\w+`")
	var scopes []string
	got := map[string][]string{}
	for _, row := range rows(find(t, sections(t, "docs/policy.md"), "Expressions").text, "scope") {
		scope := code(row[0])[0]
		scopes = append(scopes, scope)
		own := others.ReplaceAllStringFunc(row[1], func(m string) string {
			got[scope] = append(got[scope], got[code(m)[0]]...)
			return ""
		})
		got[scope] = append(got[scope], code(own)...)
		_, err := block.ParseExpr("zzzzzzzzzz", scope)
		if err == nil {
			t.Fatalf("scope %s knows every name", scope)
		}
		_, known, _ := strings.Cut(err.Error(), "Known are: ")
		names := strings.Split(strings.TrimSuffix(known, "."), ", ")
		equal(t, "scope "+scope, append(got[scope], "environment"), names)
	}
	equal(t, "scopes", scopes, slices.Sorted(maps.Keys(used)))
}

// TestPolicyFunctions compares the table of functions with those that the
// code registers: keys of the map of functions(), and assignments to fns.
func TestPolicyFunctions(t *testing.T) {
	var program []string
	key := func(x ast.Expr) {
		if lit, ok := x.(*ast.BasicLit); ok {
			if name, err := strconv.Unquote(lit.Value); err == nil && !slices.Contains(program, name) {
				program = append(program, name)
			}
		}
	}
	for _, s := range sources(t) {
		if s.folder != "config/block" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				if m, ok := n.Type.(*ast.MapType); ok && typeOf(m.Value) == "function.Function" {
					for _, e := range n.Elts {
						key(e.(*ast.KeyValueExpr).Key)
					}
				}
			case *ast.IndexExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "fns" {
					key(n.Index)
				}
			}
			return true
		})
	}
	var document []string
	call := regexp.MustCompile(`^(\w+)\(`)
	for _, row := range rows(find(t, sections(t, "docs/policy.md"), "Functions").text, "function") {
		for _, c := range code(row[0]) {
			if m := call.FindStringSubmatch(c); m != nil && !slices.Contains(document, m[1]) {
				document = append(document, m[1])
			}
		}
	}
	equal(t, "functions", document, program)
}

// TestUnbuiltNames looks for every name that the code lists as not built yet
// in the section of that name, whose rows are fed to the program elsewhere.
func TestUnbuiltNames(t *testing.T) {
	table := code(find(t, sections(t, "docs/policy.md"), "Not built yet").text)
	found := 0
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range g.Specs {
				v, ok := spec.(*ast.ValueSpec)
				if !ok || !strings.HasPrefix(v.Names[0].Name, "unbuilt") {
					continue
				}
				ast.Inspect(v, func(n ast.Node) bool {
					if kv, ok := n.(*ast.KeyValueExpr); ok {
						if _, isList := kv.Value.(*ast.CompositeLit); isList {
							kv.Key = ast.NewIdent("_") // a block type that has such attributes
						}
					}
					lit, ok := n.(*ast.BasicLit)
					if !ok {
						return true
					}
					name, _ := strconv.Unquote(lit.Value)
					found++
					if !slices.ContainsFunc(table, func(row string) bool { return strings.HasPrefix(row, name+" ") || strings.Contains(row, `"`+name+`"`) }) {
						t.Errorf("%s is not built yet, and the document does not say so", name)
					}
					return true
				})
			}
		}
	}
	if found == 0 {
		t.Errorf("only %d names were found", found)
	}
}
