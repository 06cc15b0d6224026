package hmac

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/catalog"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
)

func grammar(t testing.TB, src string) *Grammar {
	t.Helper()
	return grammarWith(t, src, block.NewSecrets(nil))
}

func grammarWith(t testing.TB, src string, secrets *block.Secrets) *Grammar {
	t.Helper()
	file, diags := hclsyntax.ParseConfig([]byte(src), "x.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	g := &Grammar{}
	if diags := block.Decode(file.Body, block.NewContext("test", secrets), g); diags.HasErrors() {
		t.Fatal(diags)
	}
	return g
}

// catalogued are the grammars of the catalogue by the name of their webhook.
func catalogued(t testing.TB) map[string]*Grammar {
	t.Helper()
	all := map[string]*Grammar{}
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
			for _, v := range b.Body.Blocks {
				if b.Type == "webhook" && v.Type == "verify" && v.Labels[0] == "hmac" {
					all[b.Labels[0]] = overSecret(t, v.Body)
				}
			}
		}
	}
	return all
}

// overSecret is what a verify block of the catalogue says, with a secret.
func overSecret(t testing.TB, body *hclsyntax.Body) *Grammar {
	t.Helper()
	own, _ := hclsyntax.ParseConfig([]byte(`secrets = [env("S")]`), "x.hcl", hcl.InitialPos)
	laid := block.Overlay(body, own.Body.(*hclsyntax.Body))
	laid.Blocks = nil // handshakes
	g := &Grammar{}
	if diags := block.Decode(laid, block.NewContext("test", block.NewSecrets(nil)), g); diags.HasErrors() {
		t.Fatal(diags)
	}
	return g
}

// TestShortVectors are published vectors with short secrets: the decision alone.
func TestShortVectors(t *testing.T) {
	const event = `{"id":"evt_1","type":"thing.updated","created":1700000000,"account":"acct_1","data":{"n":1}}`
	for _, tt := range []struct{ name, grammar, secret, body, header string }{
		{"calendly", "header = \"Calendly-Webhook-Signature\"\nseparator = \",\"\nfield = \"v1\"\ntimestamp_field = \"t\"\nmessage = \"${timestamp}.${raw_body}\"", "cal_key", event, "t=1700000000,v1=471fb43a84f29382e56c1393b6bff2912b174f806195de71e69c9e7420603f63"},
		{"mollie", "header = \"X-Mollie-Signature\"\nprefix = \"sha256=\"", "mol", event, "sha256=324865d239a964d732e74294fe33dfa0770e74e6c9c5178b437dc885f7a84cc0"},
		{"shopify", "header = \"X-Shopify-Hmac-Sha256\"\nencoding = \"base64\"", "hush", `"my secret message"`, "hMTq0K2x7oyOjoBwGYeTj5oxfnaVYXzbanUG9aajpKI="},
		{"shopify, empty body", "header = \"X-Shopify-Hmac-Sha256\"\nencoding = \"base64\"", "hush", "", "Knm8rWjeSXNIt2H0AOMT7DQ8/YSy8sQi/pEjbuUmGMs="},
		{"razorpay", "header = \"X-Razorpay-Signature\"", "123456", `{"a":1,"b":2,"c":{"d":3}}`, "2fe04e22977002e6c7cb553adab8b460cb9e2a4970d5953cb27a8472752e3bbc"},
	} {
		g := grammar(t, tt.grammar+"\nsecrets = [env(\"X\")]")
		h := http.Header{}
		h.Set(g.Header, tt.header)
		r := &inbound.Request{Header: h, Body: []byte(tt.body), Received: time.Unix(1700000100, 0)}
		if v := g.decide(r, [][]byte{[]byte("wrong"), []byte(tt.secret)}); v.Result != inbound.Accepted {
			t.Errorf("%s: %v", tt.name, v.Result)
		}
		if v := g.decide(r, [][]byte{[]byte("wrong")}); v.Result != inbound.BadSignature {
			t.Errorf("%s with another key: %v", tt.name, v.Result)
		}
		if v := g.decide(r, nil); v.Result != inbound.BadSignature {
			t.Errorf("%s without a key: %v", tt.name, v.Result)
		}
	}
}

func TestRefusedGrammars(t *testing.T) {
	for src, want := range map[string]string{
		"header = \"X\"\nunescaped = \"/\"":                                    "the body alone is signed",
		"header = \"X\"\nunescaped = \"/\"\nmessage = \"${path}.${raw_body}\"": "does not hold the URL",
		"header = \"X\"\nunescaped = \"/{\"\nmessage = \"${url}${raw_body}\"":  "what stands in a URL as it is",
		`header = ""`:                                           "header must name the header of the signature",
		"header = \"X\"\nencoding = \"utf8\"":                   "written in hex, base64, base64url or",
		"header = \"X\"\nalgorithm = \"md5\"":                   `unknown algorithm "md5"`,
		"header = \"X\"\nfield = \"v1\"":                        "field needs a separator",
		"header = \"X\"\ntimestamp = \"T\"":                     "message is required with a timestamp",
		"header = \"X\"\ntimestamp = \"T\"\nmessage = raw_body": "does not hold the timestamp",
		"header = \"X\"\nmessage = \"${timestamp}${raw_body}\"": "say where it stands",
		"header = \"X\"\nmessage = url":                         "does not hold raw_body",
		"header = \"X\"\nmessage = raw_body\nid = \"Y\"":        "anybody could change it",
		"header = \"X\"\ntolerance = \"1s\"":                    "tolerance needs a timestamp",
		"header = \"X\"\ntimestamp = \"T\"\nmessage = \"${timestamp}${raw_body}\"\ntolerance = \"0s\"": "tolerance must be more than nothing",
		"headers = [\"X\"]\nheader = \"Y\"":                                                       "stands in header, in one of headers, or where",
		"headers = [\"\"]":                                                                        "headers must be names",
		"signature = query.s\nheader = \"Y\"":                                                     "stands in header, in one of headers, or where",
		"header = \"X\"\nsecret_in = \"message\"":                                                 "message is required where the secret is in it",
		"header = \"X\"\nsecret_in = \"message\"\nmessage = raw_body":                             "has to be in the message",
		"header = \"X\"\nsecret_in = \"url\"":                                                     "unknown place",
		"header = \"X\"\nmessage = \"${secret}${raw_body}\"":                                      "is for secret_in",
		"header = \"X\"\nmessage = \"${raw_body}${header[\"Y\"]}\"":                               "nothing stands between raw_body and header",
		"header = \"X\"\nmessage = \"${header[\"Z\"]}${header[\"Y\"]}.${raw_body}\"":              "nothing stands between header and header",
		"header = \"X\"\nmessage = \"${field.t}.${raw_body}\"":                                    "without a separator there is none",
		"header = \"X\"\nid = \"Y\"\nmessage = \"${header[\"Z\"]}.${raw_body}\"":                  "anybody could change it",
		"header = \"X\"\ntime = header[\"T\"]":                                                    "time is a field of the body",
		"header = \"X\"\ngroup = \" \"":                                                           "group needs timestamp_field",
		"header = \"X\"\ntimestamp = \"T\"\ntime = body.t\nmessage = \"${timestamp}${raw_body}\"": "either in a header, in a field, or in the body",
		"header = \"X\"\ntimestamp = \"T\"\nmessage = \"${lower(raw_body)}${timestamp}\"":         "not byte-exact",
	} {
		file, diags := hclsyntax.ParseConfig([]byte(src+"\nsecrets = [env(\"X\")]"), "x.hcl", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		_, diags = Scheme(file.Body, block.NewContext("test", block.NewSecrets(nil)))
		if text := diags.Error(); !strings.Contains(strings.ToLower(text), strings.ToLower(want)) {
			t.Errorf("%q: %s, want %q", src, text, want)
		}
	}
}

// FuzzSignatureHeader runs every grammar on any header: no panic, never accepted
// without a key, and the claims stay within their bounds.
func FuzzSignatureHeader(f *testing.F) {
	var grammars []*Grammar
	for _, g := range catalogued(f) {
		grammars = append(grammars, g)
	}
	for _, src := range []string{
		"separator = \";\"\nfield = \"h1\"\ntimestamp_field = \"ts\"\nmessage = \"${timestamp}:${raw_body}\"",
		"separator = \".\"\nencoding = \"base64url\"",
		"encoding = \"base64\"\nalgorithm = \"sha512\"\ntimestamp = \"Other\"\nunit = \"rfc3339\"\nmessage = \"${timestamp}${raw_body}\"",
	} {
		grammars = append(grammars, grammar(f, src+"\nheader = \"X-Signature\"\nsecrets = [env(\"X\")]"))
	}
	for _, seed := range []string{"t=1,v1=00,v0=", "sha256=" + strings.Repeat("0", 64), "v0=aa", "v1,AAAA= v1a,BBBB=", "ts=1;h1=", ",,,=,=", "v1=\x00", "A.B.C"} {
		f.Add(seed, "1700000000", "msg_1", "{}")
	}
	f.Fuzz(func(t *testing.T, signature, stamp, id, body string) {
		for _, g := range grammars {
			h := http.Header{}
			for _, name := range g.names()[:min(2, len(g.names()))] {
				h.Set(name, signature)
			}
			for _, name := range []string{g.Timestamp, "Other"} {
				if name != "" {
					h.Set(name, stamp)
				}
			}
			if g.ID != "" {
				h.Set(g.ID, id)
			}
			r := &inbound.Request{Header: h, Body: []byte(body), Received: time.Unix(1700000000, 0)}
			p, _ := g.read(r)
			if p.total > maxSignatures+1 {
				t.Fatalf("%d signatures", p.total)
			}
			if v := g.decide(r, nil); v.Result == inbound.Accepted || v.Result == inbound.Stale {
				t.Fatalf("%s: %v without a key", g.Header, v.Result)
			}
			if v := g.decide(r, [][]byte{[]byte("a key that nobody knows")}); v.Result == inbound.Accepted {
				t.Fatalf("%s: %q was accepted", g.Header, signature)
			}
		}
	})
}

// TestC32Secrets: one that is empty, short, spaced or unreadable is never used,
// and its absence never opens the door.
func TestC32Secrets(t *testing.T) {
	for name, environ := range map[string][]string{
		"missing": nil, "empty": {"S="}, "short": {"S=12"}, "spaced": {"S= a secret of some length"}, "newline": {"S=a secret of some length\n"},
	} {
		file, _ := hclsyntax.ParseConfig([]byte("header = \"X-Hub-Signature-256\"\nprefix = \"sha256=\"\nsecrets = [env(\"S\")]"), "x.hcl", hcl.InitialPos)
		v, diags := Scheme(file.Body, block.NewContext("test", block.NewSecrets(environ)))
		if diags.HasErrors() {
			t.Fatalf("%s: loading needed the secret: %v", name, diags)
		}
		if err := v.Ready(); err == nil || strings.Contains(err.Error(), "a secret of") {
			t.Errorf("%s: ready: %v", name, err)
		}
		h := http.Header{}
		h.Set("X-Hub-Signature-256", "sha256="+strings.Repeat("0", 64))
		if got := v.Verify(t.Context(), &inbound.Request{Header: h}); got.Result != inbound.Unavailable || got.Err == nil {
			t.Errorf("%s: %v", name, got)
		}
		if got := v.Verify(t.Context(), &inbound.Request{Header: http.Header{}}); got.Result != inbound.Unsigned {
			t.Errorf("%s, unsigned: %v", name, got)
		}
	}
	file, _ := hclsyntax.ParseConfig([]byte(`secrets = []`), "x.hcl", hcl.InitialPos)
	if _, diags := Scheme(file.Body, block.NewContext("test", block.NewSecrets(nil))); !diags.HasErrors() {
		t.Error("an empty list of secrets was taken")
	}
}

// TestC39SignedIDHasNoDot: with a dot in the id, one signed text could be read
// as two different events.
func TestC39SignedIDHasNoDot(t *testing.T) {
	g := catalogued(t)["standard"]
	key := []byte("a key of some length")
	for id, want := range map[string]inbound.Result{"msg_1": inbound.Accepted, "msg.1": inbound.BadSignature, strings.Repeat("x", 300): inbound.BadSignature} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + ".1700000000.{}"))
		h := http.Header{}
		h.Set("Webhook-Id", id)
		h.Set("Webhook-Timestamp", "1700000000")
		h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		v := g.decide(&inbound.Request{Header: h, Body: []byte("{}"), Received: time.Unix(1700000000, 0)}, [][]byte{key})
		if v.Result != want || want == inbound.Accepted && (v.EventID != id || v.Timestamp != "1700000000") {
			t.Errorf("%.10s: %+v, want %v", id, v, want)
		}
	}
}

func TestEncodings(t *testing.T) {
	for _, tt := range []struct {
		e    Encoding
		text string
		ok   bool
	}{
		{Hex, "0aFF", true},
		{Hex, "0a f", false},
		{Hex, "0a0", false},
		{Hex, "0x0a", false},
		{Base64, "AAA=", true},
		{Base64, "AAA", false},
		{Base64, "AAB=", false},
		{Base64, "A\nAA=", false},
		{Base64, "-_8=", false},
		{Base64, "+/8=", true},
		{Base64URL, "-_8=", true},
		{Base64URL, "-_8", true},
		{Base64URL, "+/8=", false},
		{Base64URL, "-_9", false},
		{Base64URL, "-_\r8", false},
		{UTF8, "any thing", true},
		{"rot13", "x", false},
	} {
		if _, err := tt.e.decode(tt.text); (err == nil) != tt.ok {
			t.Errorf("%s %q: %v", tt.e, tt.text, err)
		}
	}
}
