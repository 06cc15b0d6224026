package hmac

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy/credential"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// decode reads a block. Unless src has them, it has a secret, a message and a place
// for the signature.
func decode(t testing.TB, src string, environ ...string) (*Block, hcl.Diagnostics) {
	t.Helper()
	for name, line := range map[string]string{"secret": `env("S")`, "message": "request.path", "header": `{ X-Sig = "${signature}" }`} {
		if !strings.Contains("\n"+src, "\n"+name+" =") {
			src += "\n" + name + " = " + line
		}
	}
	f, diags := hclsyntax.ParseConfig([]byte(src+"\n"), "x.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("%s: %v", src, diags)
	}
	b := &Block{live: credential.NewLive()}
	return b, block.Decode(f.Body, block.NewContext("test", block.NewSecrets(environ)), b)
}

// TestRefused: what cannot be signed is refused when the policy is loaded.
func TestRefused(t *testing.T) {
	for src, want := range map[string]string{
		`encoding = "raw"`:                             "a signature is written in hex, HEX, base64 or base64url",
		`encoding = "rot13"`:                           `unknown encoding "rot13"`,
		`secret_encoding = "raw"`:                      "unknown encoding of a key \"raw\"",
		`algorithm = "md5"`:                            "md5 is no hash to sign with",
		`algorithm = "crc32"`:                          `unknown algorithm "crc32"`,
		`key_id = ["a", "b"]`:                          "2 ids do not go with 1 secrets",
		`nonce = "rising"` + "\nunit = \"rfc3339\"":    "a rising nonce is a number",
		`nonce = "often"`:                              `unknown nonce "often"`,
		`unit = "fortnight"`:                           `unknown unit "fortnight"`,
		`message = "fixed"`:                            "It names nothing of what is signed",
		`message = request.body`:                       "There is no request.body here",
		`message = "${lower(request.path)}"`:           "not byte-exact",
		`message = "${request.header}"`:                `request.header needs a name`,
		`message = "${request.query}"`:                 `request.query needs a name`,
		`message = key_id`:                             "There is no key_id",
		`message = values.x`:                           `there is no "x" in values`,
		`message = part.x`:                             `there is no part "x" above`,
		`message = expires`:                            "to say how long a signature holds",
		`message = secret`:                             "the secret itself is for keys",
		`message = signature`:                          "the signature cannot sign itself",
		`key = signature`:                              "before there is a signature",
		`header = { X-Sig = "${secret}" }`:             "the secret itself is for keys",
		`header = { X-Fixed = "v" }`:                   "the signature goes nowhere",
		`header = { Host = "${signature}" }`:           "frames the message",
		`header = { X-S = "${signature}", x-s = "a" }`: "is there twice",
		`header = { X-S = "é${signature}" }`:           "must be ASCII",
		"message = request.raw_body\nfields = { s = \"${signature}\" }":                                                                         "cannot stand in the body that it signs",
		"message = part.a\npart \"a\" { message = part.b }\npart \"b\" { message = request.path }":                                              `there is no part "b" above`,
		"message = part.a\npart \"a\" { message = signature }":                                                                                  "the signature cannot sign itself",
		"part \"a\" { message = request.path }\npart \"a\" { message = request.path }":                                                          "a name of its own",
		"part \"a\" { message = secret }":                                                                                                       "the secret itself is for keys",
		"message = part.a\npart \"a\" {\nmessage = request.path\nkey = secret\n}":                                                               "a key needs an algorithm",
		"message = part.a\npart \"a\" {\nmessage = request.path\nmost = \"1KiB\"\n}":                                                            "most is for what an algorithm reads",
		"message = part.a\npart \"a\" {\nmessage = request.path\nencoding = \"utf8\"\n}":                                                        "unknown encoding \"utf8\"",
		"message = part.a\npart \"a\" {\nmessage = request.path\nalgorithm = \"sha1\"\nkey = signature\n}":                                      "before there is a signature",
		"part \"a\" { message = request.raw_query }\nquery = { a = \"${part.a}\" }":                                                             "reads what is put at the same time",
		"part \"a\" { message = request.header[\"X\"] }\npart \"b\" { message = part.a }\nheader = { B = \"${part.b}\", S = \"${signature}\" }": "reads what is put at the same time",
		"part \"a\" { message = request.raw_body }\nfields = { a = \"${part.a}\" }":                                                             "reads what is put at the same time",
		`requests = ["POST private"]`: "private",
	} {
		_, diags := decode(t, src)
		if text := diags.Error(); !diags.HasErrors() || !strings.Contains(strings.ToLower(text), strings.ToLower(want)) {
			t.Errorf("%q: %s, want %q", src, text, want)
		}
	}
	if _, diags := decode(t, "part \"a\" { message = request.raw_query }\nmessage = part.a\nheader = { A = \"${part.a}\", S = \"${signature}\" }"); diags.HasErrors() {
		t.Errorf("a part that reads what was put before: %v", diags)
	}
}

func TestUnits(t *testing.T) {
	at := time.Date(2026, 1, 2, 15, 4, 5, 678901234, time.FixedZone("", 3600))
	for unit, want := range map[string]string{
		"s": "1767362645", "ms": "1767362645678", "us": "1767362645678901", "ns": "1767362645678901234",
		"rfc3339": "2026-01-02T14:04:05Z", "rfc3339_ms": "2026-01-02T14:04:05.678Z", "http_date": "Fri, 02 Jan 2026 14:04:05 GMT",
		"YYYY-MM-DD'T'hh:mm:ss": "2026-01-02T14:04:05", "YYYYMMDD'T'hhmmss'Z'": "20260102T140405Z", "YYYYMMDD'T'hh:mm:ssZZZZ": "20260102T14:04:05+0000",
		"EEE, DD MMM YYYY hh:mm:ss '-0000'": "Fri, 02 Jan 2026 14:04:05 -0000", "EEEE D MMMM YY Z ZZZZZ": "Friday 2 January 26 Z +00:00", "'at 2006' YYYY": "at 2006 2026",
	} {
		var u Unit
		if err := u.UnmarshalText([]byte(unit)); err != nil {
			t.Errorf("%s: %v", unit, err)
			continue
		}
		if got := string(u.append(nil, at)); got != want || u.String() != unit {
			t.Errorf("%s: %q, want %q", unit, got, want)
		}
	}
	for _, unit := range []string{"", "seconds", "YYYY 2006", "YYYY'T", "YYYY\n", "YYY", "'only'", "hh:mm:ss é", "m"} {
		if err := new(Unit).UnmarshalText([]byte(unit)); err == nil {
			t.Errorf("%q was accepted", unit)
		}
	}
}

func TestEncodings(t *testing.T) {
	p := []byte{0xfb, 0xff, 0x0a}
	for e, want := range map[Encoding]string{Hex: "fbff0a", UpperHex: "FBFF0A", Base64: "+/8K", Base64URL: "-_8K", Raw: "\xfb\xff\n"} {
		if got := string(e.append([]byte("aa"), p)); got != "aa"+want {
			t.Errorf("%s: %q, want %q", e, got, want)
		}
	}
}

func TestQueries(t *testing.T) {
	for _, c := range []struct{ raw, decoded, sorted, plain string }{
		{"", "", "", ""},
		{"b=2&a=1", "b=2&a=1", "a=1&b=2", "a=1&b=2"},
		{"a=2&a=1&A=0", "a=2&a=1&A=0", "A=0&a=1&a=2", "A=0&a=1&a=2"},
		{"a&b=", "a&b=", "a=&b=", "a=&b="},
		{"x=a+b%20c%2Fd~e*", "x=a b c/d~e*", "x=a%20b%20c%2Fd~e%2A", "x=a b c/d~e*"},
		{"x=%c3%A9", "x=é", "x=%C3%A9", "x=é"},
		{"x=%zz&&y=1", "x=%zz&&y=1", "x=%25zz&y=1", "x=%zz&y=1"},
		{"a=1=2&a-b=3&a.b=4", "a=1=2&a-b=3&a.b=4", "a=1%3D2&a-b=3&a.b=4", "a=1=2&a-b=3&a.b=4"},
	} {
		if got := decodedQuery(c.raw); got != c.decoded {
			t.Errorf("%q: decoded %q, want %q", c.raw, got, c.decoded)
		}
		if got := sortedQuery(c.raw, true); got != c.sorted {
			t.Errorf("%q: sorted %q, want %q", c.raw, got, c.sorted)
		}
		if got := sortedQuery(c.raw, false); got != c.plain {
			t.Errorf("%q: sorted and decoded %q, want %q", c.raw, got, c.plain)
		}
	}
}
