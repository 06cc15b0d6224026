package inbound_test

import (
	"strings"
	"testing"
)

// TestRefusedPolicies: each mistake is reported under its line, which the marker
// names.
func TestRefusedPolicies(t *testing.T) {
	whole := func(lines string) string { return "webhook \"hook\" {\n" + lines + "\n}\n" }
	ok := "path = \"/hook\"\nverify \"none\" {}\ndeliver {\nto = \"http://127.0.0.1:1/\"\n}\n"
	for _, tt := range []struct{ name, src, at, want string }{
		{"no path", whole("verify \"none\" {}\ndeliver {\nto = \"http://x/\"\n}"), `webhook "hook"`, `"path" is required`},
		{"a relative path", whole(strings.Replace(ok, `"/hook"`, `"hook"`, 1)), `"hook"` + "\n", "must begin with a slash"},
		{"no verify", whole(strings.Replace(ok, `verify "none" {}`, "", 1)), `webhook "hook"`, `write verify "none" {}`},
		{"two verify", whole(ok + `verify "none" {}`), `verify`, "only one verify block"},
		{"no deliver", whole("path = \"/hook\"\nverify \"none\" {}"), `webhook "hook"`, "a deliver block is required"},
		{"an unknown scheme", whole(strings.Replace(ok, `"none"`, `"strpe"`, 1)), `verify "strpe"`, `Did you mean "stripe"?`},
		{"expect of nothing", whole(ok + "expect {}"), "expect {}", "say how long it may be silent"},
		{"expect at once", whole(ok + `expect { every = "1ms" }`), `"1ms"`, "a second at least"},
		{"expect with a small factor", whole(ok + "expect {\nlearn = true\nfactor = 0.5\n}"), "0.5", "between 1 and 1000"},
		{"reconcile without a provider", whole(ok + "event { id = body.id }\nreconcile {\nlist = \"/e\"\nevents = response.body\n}"), "reconcile", "say whose webhook this is"},
		{"reconcile without an id", whole(ok + "provider = \"p\"\nreconcile {\nlist = \"/e\"\nevents = response.body\n}"), "reconcile", "by their id"},
		{"reconcile with a parameter that nobody gave", whole(ok + "provider = \"p\"\nevent { id = body.id }\nreconcile {\nlist = \"/hooks/${params.hook}\"\nevents = response.body\n}"), "params.hook", "write params = { hook"},
		{"reconcile with other parameters", whole(ok + "provider = \"p\"\nevent { id = body.id }\nreconcile {\nparams = { x = \"1\" }\nlist = \"/hooks/${params.hook}\"\nevents = response.body\n}"), "params = { x", "list uses params.hook"},
		{"reconcile that data could send elsewhere", whole(ok + "provider = \"p\"\nevent { id = body.id }\nreconcile {\nlist = response.body.x\nevents = response.body\n}"), "response.body.x", "Data could change the path"},
		{"reconcile with a body of a GET", whole(ok + "provider = \"p\"\nevent { id = body.id }\nreconcile {\nlist = \"/e\"\njson = { a = 1 }\nevents = response.body\n}"), "{ a = 1 }", "json is the body of a POST"},
		{"reconcile whose window sees nothing new", whole(ok + "provider = \"p\"\nevent { id = body.id }\nreconcile {\nlist = \"/e\"\nwindow = \"1h\"\nevents = response.body\n}"), `"1h"`, "longer than overlap and settle"},
		{"get without body", whole(ok + "provider = \"p\"\nevent { id = body.id }\nreconcile {\nlist = \"/e\"\nget = \"/e/${item.id}\"\nevents = response.body\n}"), "/e/${item.id}", "say where the body is"},
		{"an item where there is none", whole(ok + "provider = \"p\"\nevent { id = body.id }\nreconcile {\nlist = \"/e/${item.id}\"\nevents = response.body\n}"), "item.id", "There is no item.id here"},
		{"subscription without a provider", whole(ok + "subscription {\ncheck = \"/s\"\nactive = response.status == 200\n}"), "subscription", "say whose webhook this is"},
		{"renewal at nobody knows when", whole(ok + "provider = \"p\"\nsubscription {\ncheck = \"/s\"\nactive = response.status == 200\nrenew { path = \"/s\" }\n}"), "renew", "by expires"},
		{"renewal for nobody knows how long", whole(ok + "provider = \"p\"\nsubscription {\ncheck = \"/s\"\nactive = response.status == 200\nexpires = response.body.x\nrenew {\npath = \"/s\"\njson = { e = until }\n}\n}"), "{ e = until }", "for = "},
		{"reconcile without a list", whole(ok + `reconcile { every = "15m" }`), "reconcile", `"list" is required`},
		{"a secret written out", whole(strings.Replace(ok, `verify "none" {}`, "verify \"github\" {\nsecrets = [\"hunter2\"]\n}", 1)), `"hunter2"`, "A secret does not belong into a policy"},
		{"no secrets", whole(strings.Replace(ok, `verify "none" {}`, "verify \"github\" {\n}", 1)), `verify "github"`, `"secrets" is required`},
		{"tolerance where there is no timestamp", whole(strings.Replace(ok, `verify "none" {}`, "verify \"github\" {\nsecrets = [env(\"X\")]\ntolerance = \"5m\"\n}", 1)), "tolerance", "tolerance needs a timestamp"},
		{"a scheme's own grammar", whole(strings.Replace(ok, `verify "none" {}`, "verify \"stripe\" {\nsecrets = [env(\"X\")]\nheader = \"X\"\n}", 1)), "header", "the catalogue says what it is for stripe"},
		{"none takes nothing", whole(strings.Replace(ok, `verify "none" {}`, "verify \"none\" {\nsecrets = [env(\"X\")]\n}", 1)), "secrets", "not expected here"},
		{"account from an unsigned header", whole(strings.Replace(ok, `verify "none" {}`, "verify \"github\" {\nsecrets = [env(\"X\")]\n}\nevent { account = header[\"X-Account\"] }", 1)), `header["X-Account"]`, "could choose another account"},
		{"keeping the signature", whole(strings.Replace(ok, `verify "none" {}`, "verify \"github\" {\nsecrets = [env(\"X\")]\n}\nheaders = [\"x-hub-signature-256\"]", 1)), `verify "github"`, "never kept"},
		{"keeping a credential", whole(ok + `headers = ["authorization"]`), `["authorization"]`, "cannot be kept"},
		{"keeping an odd name", whole(ok + `headers = ["x_kind"]`), `["x_kind"]`, "cannot be kept"},
		{"a target that is no URL", whole(strings.Replace(ok, "http://127.0.0.1:1/", "127.0.0.1:3000", 1)), `"127.0.0.1:3000"`, "must be an http or https URL"},
		{"a password in a target", whole(strings.Replace(ok, "http://127", "http://u:p@127", 1)), `"http://u:p@127`, "must not hold a user"},
		{"a socket that is no path", whole(strings.Replace(ok, "http://127.0.0.1:1/", "unix:app.sock", 1)), `"unix:app.sock"`, "a socket is an absolute path"},
		{"neither to nor pull", whole(strings.Replace(ok, "to = \"http://127.0.0.1:1/\"", "", 1)), "deliver {", "to is required"},
		{"both to and pull", whole(strings.Replace(ok, "to =", "pull = true\nto =", 1)), "http://127", "is not called"},
		{"a rate of what is pulled", whole(strings.Replace(ok, "to = \"http://127.0.0.1:1/\"", "pull = true\nrate = \"5/s\"", 1)), `"5/s"`, "is not called"},
		{"a timeout of what is pulled", whole(strings.Replace(ok, "to = \"http://127.0.0.1:1/\"", "pull = true\ntimeout = \"5s\"", 1)), `"5s"`, "is not called"},
		{"a negative poison", whole(strings.Replace(ok, "to =", "poison = -1\nto =", 1)), "-1", "between 0 and 1000"},
		{"tls without TLS", whole(strings.Replace(ok, "to =", "tls {\nserver_name = \"x\"\n}\nto =", 1)), "tls {", "is not called by TLS"},
		{"an empty tls block", whole(strings.Replace(ok, "http://127.0.0.1:1/\"", "https://x/\"\ntls {}", 1)), "tls {}", "an empty tls block says nothing"},
		{"a header about the body", whole(strings.Replace(ok, "to =", "header = { Content-Type = \"text/plain\" }\nto =", 1)), "header =", "cannot be set"},
		{"a header of Postern's", whole(strings.Replace(ok, "to =", "header = { Postern-Id = \"1\" }\nto =", 1)), "header =", "cannot be set"},
		{"a type of no body", whole(strings.Replace(ok, "to =", "content_type = \"text/plain\"\nto =", 1)), `"text/plain"`, "which is not given"},
		{"when that is no condition", whole(strings.Replace(ok, "to =", "when = \"yes\"\nto =", 1)), `"yes"`, "must be true or false"},
		{"when on a header that is not kept", whole(strings.Replace(ok, "to =", "when = header[\"X-A\"] == \"\"\nto =", 1)), `header["X-A"]`, "name it in headers"},
		{"body of what is not stored", whole(strings.Replace(ok, "to =", "body = query.x\nto =", 1)), "query.x", "There is no query.x here"},
		{"both applied and failed", whole(strings.Replace(ok, "to =", "applied = [409]\nfailed = [409]\nto =", 1)), "[409]", "cannot mean both"},
		{"no status", whole(strings.Replace(ok, "to =", "failed = [42]\nto =", 1)), "[42]", "no status that ends a request"},
		{"no concurrency", whole(strings.Replace(ok, "to =", "concurrency = 0\nto =", 1)), "0\nto", "between 1 and 1000"},
		{"no timeout", whole(strings.Replace(ok, "to =", "timeout = \"0s\"\nto =", 1)), `"0s"`, "more than nothing"},
		{"two targets of one name", whole(ok + "deliver {\nto = \"http://x/\"\n}"), "deliver", "two deliver blocks have no label"},
		{"two targets of one label", whole(strings.Replace(ok, "deliver {", "deliver \"a\" {", 1) + "deliver \"a\" {\nto = \"http://x/\"\n}"), "deliver", `two deliver blocks have the label "a"`},
		{"no attempts", whole(ok + "retry { attempts = 0 }"), "0 }", "between 1 and 1000"},
		{"first beyond max", whole(ok + "retry {\nbackoff {\nfirst = \"2h\"\n}\n}"), `"2h"`, "not be longer than max"},
		{"an unknown jitter", whole(ok + "retry {\nbackoff {\njitter = \"some\"\n}\n}"), `"some"`, "none, full, equal or decorrelated"},
		{"an unknown unit", whole(ok + "event { unit = \"us\" }"), `"us"`, "use s, ms or rfc3339"},
		{"an unknown name", whole(ok + "event { id = bdy.id }"), "bdy.id", "There is no bdy.id here"},
		{"a misspelt attribute", whole(ok + "provder = \"x\""), "provder", `Did you mean "provider"?`},
		{"one path twice", whole(ok) + strings.Replace(whole(ok), `"hook"`, `"other"`, 1), `webhook "other"`, `The path /hook belongs to webhook "hook"`},
		{"one name twice", whole(ok) + "\n# again\n" + whole(strings.Replace(ok, `"/hook"`, `"/other"`, 1)), "", `another webhook "hook"`},
		{"a signed URL without a public one", whole(strings.Replace(ok, `verify "none" {}`, "verify \"hmac\" {\nsecrets = [env(\"X\")]\nheader = \"X\"\nmessage = \"${url}${raw_body}\"\n}", 1)), `webhook "hook"`, "set public_url"},
		{"a listen without a port", "inbound {\nlisten = \"127.0.0.1\"\n}\n", `"127.0.0.1"`, "an address with a port"},
		{"a public URL with a query", "inbound {\npublic_url = \"https://x/?a\"\n}\n", `"https://x/?a"`, "without query"},
	} {
		_, diags := load(tt.src)
		if !diags.HasErrors() {
			t.Errorf("%s: accepted", tt.name)
			continue
		}
		found := false
		for _, d := range diags {
			text := d.Summary + ": " + d.Detail
			line := strings.Split(tt.src, "\n")[d.Subject.Start.Line-1]
			found = found || strings.Contains(strings.ToLower(text), strings.ToLower(tt.want)) && strings.Contains(line, strings.Split(tt.at, "\n")[0])
		}
		if !found {
			t.Errorf("%s: %v, want %q under %q", tt.name, diags, tt.want, tt.at)
		}
	}
	if _, diags := load(whole(ok)); diags.HasErrors() {
		t.Errorf("the policy that they spoil: %v", diags)
	}
}

// TestValidateNeedsNoSecret: loading is pure.
func TestValidateNeedsNoSecret(t *testing.T) {
	for _, s := range signers {
		if _, diags := load(s.source("")); diags.HasErrors() {
			t.Errorf("%s: %v", s.kind, diags)
		}
	}
}

func TestTargets(t *testing.T) {
	set := mustLoad(t, "webhook \"hook\" {\npath = \"/hook\"\nverify \"none\" {}\ndeliver {\nto = \"http://x/\"\n}\ndeliver \"audit\" {\nto = \"http://y/\"\n}\n}\n")
	b := serve(t, set)
	if got := strings.Join(b.Webhooks()[0].Targets(), " "); got != "hook hook/audit" {
		t.Errorf("targets %q", got)
	}
}
