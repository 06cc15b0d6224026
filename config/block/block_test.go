package block

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

type sample struct {
	Name     string            `hcl:"name,label"`
	Wait     Duration          `hcl:"wait,optional"`
	Size     Size              `hcl:"size,optional"`
	Rate     Rate              `hcl:"rate,optional"`
	Attempts int               `hcl:"attempts,optional"`
	On       []string          `hcl:"on,optional"`
	Token    []Secret          `hcl:"token,optional"`
	Fields   map[string]Secret `hcl:"fields,optional"`
	When     *Expr             `hcl:"when,optional" scope:"response" type:"bool"`
	Key      *Expr             `hcl:"key,optional" scope:"request"`
	Cert     Path              `hcl:"cert,optional"`
	Inner    *inner            `hcl:"inner,block"`
}

type inner struct {
	First Duration `hcl:"first"`
}

func (s *sample) Default() { s.Attempts = 3 }

func (s *sample) Check() error {
	var errs []error
	if s.Attempts > 10 {
		errs = append(errs, At("attempts", "%d is more than 10", s.Attempts))
	}
	if s.Wait.Duration > time.Hour {
		errs = append(errs, At("wait", "%v is more than an hour", s.Wait))
	}
	return errors.Join(errs...)
}

func parse(t testing.TB, src string) *hclsyntax.Body {
	t.Helper()
	f, diags := hclsyntax.ParseConfig([]byte(src), "dir/x.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return f.Body.(*hclsyntax.Body)
}

func TestDecode(t *testing.T) {
	var s sample
	ctx := NewContext("prod", NewSecrets([]string{"A=alpha-secret"}))
	diags := Decode(parse(t, `
		wait = "0.5h"
		size = "64KiB"
		rate = "60/m"
		on = ["a", "b"]
		token = env("A")
		fields = { id = env("A") }
		when = response.status == 409
		cert = "tls/c.pem"
		inner { first = "5s" }`), ctx, &s)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if s.Wait.Duration != 30*time.Minute || s.Size != 65536 || s.Rate.PerSecond() != 1 || s.Attempts != 3 || len(s.On) != 2 ||
		s.Cert != "dir/tls/c.pem" || s.Inner.First.Duration != 5*time.Second || len(s.Token) != 1 {
		t.Errorf("decoded %+v", s)
	}
	if v, err := s.Token[0].Reveal(); v != "alpha-secret" || err != nil {
		t.Errorf("Reveal = %q, %v", v, err)
	}
}

func TestDiagnostics(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{`wait = "1 second"`, "Invalid wait"},
		{`wait = "-1s"`, "Invalid wait"},
		{`size = "1MB"`, "Invalid size"},
		{`rate = "0/s"`, "Invalid rate"},
		{`attempts = 11`, "Invalid attempts"},
		{`attempts = "many"`, "Unsuitable value type"},
		{`atempts = 1`, `Did you mean "attempts"?`},
		{`token = "sk_live_x"`, "Secret written out"},
		{`token = ["sk_live_x"]`, "Secret written out"},
		{`token = []`, "At least one secret"},
		{`wait = env("A")`, "Secret in a plain place"},
		{`key = env("A")`, "Secret in a plain place"},
		{`key = response.status`, "Unknown name"},
		{`key = request.headr["X"]`, "Did you mean request.header?"},
		{`key = request.header["X"].y`, "nothing below"},
		{`key = nosuch(request.path)`, "Call to unknown function"},
		{`when = "yes"`, "Invalid when"},
		{`token = command("vault | jq")`, "no shell"},
		{`token = expect(env("A"), "(")`, "regular expression"},
		{`token = expect(env("A"), env("B"))`, "must be no secret"},
		{`token = expect(env("A"), "^${env("B")}")`, "must be no secret"},
		{"inner {}", "Missing required argument"},
		{"inner { first = \"1s\" }\ninner { first = \"1s\" }", "Duplicate inner"},
	} {
		var s sample
		diags := Decode(parse(t, c.src), NewContext("prod", NewSecrets([]string{"A=alpha-secret"})), &s)
		if !strings.Contains(diags.Error()+all(diags), c.want) {
			t.Errorf("%s\n got %v\nwant %s", c.src, diags, c.want)
		}
		if strings.Contains(all(diags), "alpha-secret") {
			t.Errorf("%s: the diagnostic shows the secret: %s", c.src, all(diags))
		}
	}
}

func all(diags hcl.Diagnostics) (s string) {
	for _, d := range diags {
		s += d.Summary + "; " + d.Detail + "\n"
	}
	return s
}

// TestC51Unprintable: a secret never shows under any verb or encoding.
func TestC51Unprintable(t *testing.T) {
	var s sample
	ctx := NewContext("prod", NewSecrets([]string{"A=canary-value"}))
	if diags := Decode(parse(t, `token = "x-${env("A")}"`), ctx, &s); diags.HasErrors() {
		t.Fatal(diags)
	}
	sec := s.Token[0]
	if v, err := sec.Reveal(); v != "x-canary-value" || err != nil {
		t.Fatalf("Reveal = %q, %v", v, err)
	}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		fmt.Fprintf(&out, verb+" "+verb+"\n", sec, s)
	}
	text, _ := json.Marshal(s)
	out.Write(text)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", sec, "all", s)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", sec, "all", s)
	fmt.Fprint(&out, errors.Join(&SecretError{sec.String(), errors.New("x")}), &url.Error{Op: "Get", URL: "https://x/?k=" + sec.String(), Err: errors.New("y")})
	if strings.Contains(out.String(), "canary") || strings.Contains(out.String(), fmt.Sprintf("%x", "canary")) {
		t.Errorf("the secret shows in\n%s", out.String())
	}
	if !strings.Contains(out.String(), "[secret env:A]") {
		t.Error("positive control: the reference does not show")
	}
	if vs := watched(ctx.Secrets); len(vs) != 1 || vs["x-canary-value"] != 1 {
		t.Errorf("known are %v", vs)
	}
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	name := write("s", "one\n")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	secrets := NewSecrets(nil)
	ctx := NewContext("", secrets)
	get := func(path string) (string, error) {
		var s sample
		if diags := Decode(parse(t, fmt.Sprintf("token = file(%q)", path)), ctx, &s); diags.HasErrors() {
			t.Fatal(diags)
		}
		return s.Token[0].Reveal()
	}
	if v, err := get(link); v != "one" || err != nil {
		t.Errorf("through a link: %q, %v", v, err)
	}
	write("next", "two")
	if err := os.Rename(filepath.Join(dir, "next"), name); err != nil {
		t.Fatal(err)
	}
	if v, _ := get(link); v != "one" {
		t.Errorf("in the same loading: %q", v)
	}
	ctx = NewContext("", secrets)
	if v, _ := get(link); v != "two" {
		t.Errorf("in the next one: %q", v)
	}
	if f := secrets.Files(); len(f) != 1 || f[0] != link {
		t.Errorf("Files = %q", f)
	}
	for _, bad := range []string{filepath.Join(dir, "none"), dir, "/proc/self/environ", write("empty", "\n"), write("big", strings.Repeat("x", maxSecret+1))} {
		if v, err := get(bad); err == nil || v != "" {
			t.Errorf("%s: %q, %v", bad, v, err)
		}
	}
}

// TestResolve: what is not there yet is a warning, what is wrong is an error.
func TestResolve(t *testing.T) {
	for _, c := range []struct {
		src  string
		want hcl.DiagnosticSeverity
		says string
	}{
		{`token = env("A")`, hcl.DiagInvalid, ""},
		{`token = env("NONE")`, hcl.DiagWarning, "Set NONE and start again: the environment is read at start."},
		{`token = file("/none")`, hcl.DiagWarning, "Put the value into /none: a file is read anew when it changes."},
		{`token = env("EMPTY")`, hcl.DiagError, "[secret env:EMPTY]"},
		{`token = expect(env("A"), "^sk_live_")`, hcl.DiagError, "[secret env:A]"},
		{`token = expect(env("A"), "^alpha")`, hcl.DiagInvalid, ""},
		{`token = expect(env("SPACE"), "^alpha-\\w+$")`, hcl.DiagError, "but would without the white space at its beginning or end"},
		{`token = expect(env("A"), "^alpha-\\d+$")`, hcl.DiagError, `does not match "^alpha-\\d+$".`},
		{`token = [env("A"), expect(env("A"), "^sk_live_")]`, hcl.DiagError, "[secret env:A]"},
		{`fields = { a = expect(env("A"), "^sk_live_") }`, hcl.DiagError, "[secret env:A]"},
		{`token = expect(env("EMPTY"), "^sk_live_")`, hcl.DiagError, "is empty"},
		{`token = expect(env("NONE"), "^sk_live_")`, hcl.DiagWarning, "Set NONE and start again"},
		{`token = "${env("A")}${env("NONE")}"`, hcl.DiagWarning, "Set NONE and start again"},
	} {
		var s sample
		ctx := NewContext("", NewSecrets([]string{"A=alpha-secret", "SPACE=alpha-secret\n", "EMPTY="}))
		if diags := Decode(parse(t, c.src), ctx, &s); diags.HasErrors() {
			t.Fatal(diags)
		}
		got := hcl.DiagInvalid
		for _, d := range ctx.Resolve(t.Context()) {
			got = d.Severity
			if !strings.Contains(d.Detail, c.says) {
				t.Errorf("%s: %s", c.src, d.Detail)
			}
			if strings.Contains(all(hcl.Diagnostics{d}), "alpha-secret") {
				t.Errorf("%s: the diagnostic shows the secret", c.src)
			}
		}
		if got != c.want {
			t.Errorf("%s: severity %v, want %v", c.src, got, c.want)
		}
	}
}

// source answers from maps.
type source struct {
	header map[string]string
	body   string
}

func (s source) Lookup(r *Ref) Value {
	switch r.Name {
	case "request.header", "response.header":
		if v, ok := s.header[r.Key]; ok {
			return Value{Kind: String, Str: v}
		}
	case "response.status":
		return Value{Kind: Number, Str: "409"}
	case "response.body", "request.body":
		return JSONValue([]byte(s.body), r.Path)
	}
	return Value{}
}

func TestExpressions(t *testing.T) {
	src := source{header: map[string]string{"X-Order-Id": "7"}, body: `{"error":{"code":"lock","n":9007199254740993,"a.b":1},"items":[{"id":"a"},{"id":"b"}],"ok":false}`}
	for _, c := range []struct{ expr, want string }{
		{`request.header["X-Order-Id"]`, "7"},
		{`request.header.None`, "null"},
		{`"order-${request.header["X-Order-Id"]}"`, "order-7"},
		{`"order-${request.header["None"]}"`, "error"},
		{`response.status == 409 && response.body.error.code == "lock"`, "true"},
		{`response.status == 409.0`, "true"},
		{`response.status == "409"`, "false"},
		{`response.body.nothing.at.all == null`, "true"},
		{`response.body.error.n`, "9007199254740993"},
		{`"${response.body.error.n}"`, "9007199254740993"},
		{`response.body.error.n + 0`, "9007199254740993"},
		{`response.body.error["a.b"]`, "1"},
		{`response.body.items[1].id`, "b"},
		{`response.body.items[9].id`, "null"},
		{`join(",", [for i in response.body.items : i.id])`, "a,b"},
		{`join(",", response.body.items[*].id)`, "a,b"},
		{`response.body.ok == false`, "true"},
		{`!response.body.ok`, "true"},
		{`response.status > 400 ? "big" : "small"`, "big"},
		{`environment`, "test"},
		{`environment == "test"`, "true"},
		{`upper("x")`, "X"},
		{`try(response.body.error.code + 1, "other")`, "other"},
		{`coalesce(response.header["None"], request.header["X-Order-Id"])`, "7"},
		{`sha256("")`, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{`hmac_sha256("key", "The quick brown fox jumps over the lazy dog")`, "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"},
		{`response.body.error.code && true`, "error"},
		{`startswith(response.body.error.code, "lo")`, "true"},
	} {
		e, err := ParseExpr(c.expr, "response")
		if err != nil {
			t.Errorf("%s: %v", c.expr, err)
			continue
		}
		v, err := e.Eval(src)
		got, ok := v.Text()
		if err != nil {
			got = "error"
		} else if !ok {
			got = "null"
		}
		if got != c.want {
			t.Errorf("%s = %s (%v), want %s", c.expr, got, err, c.want)
		}
	}
	e, _ := ParseExpr(`upper("x")`, "response")
	if _, ok := e.Constant(); !ok {
		t.Error("a constant is not folded")
	}
}

// TestShortCircuit: what a condition does not need is not read.
func TestShortCircuit(t *testing.T) {
	e, err := ParseExpr(`response.status == 500 && response.body.code == "x"`, "response")
	if err != nil {
		t.Fatal(err)
	}
	read := &counting{}
	if e.True(read) || read.n != 1 {
		t.Errorf("read %d names", read.n)
	}
}

type counting struct{ n int }

func (c *counting) Lookup(*Ref) Value { c.n++; return Value{Kind: Number, Str: "409"} }

// TestTwice: a block that is compiled for the provider and again for a route
// means the same both times.
func TestTwice(t *testing.T) {
	body := parse(t, `when = lower(response.body.a) == "x" && response.status == 409`)
	ctx := NewContext("", NewSecrets(nil))
	for range 2 {
		var s sample
		if diags := Decode(body, ctx, &s); diags.HasErrors() {
			t.Fatal(diags)
		}
		if !s.When.True(source{body: `{"a":"X"}`}) || s.When.True(source{body: `{}`}) {
			t.Error("wrong result")
		}
	}
}

func TestPercentEncoding(t *testing.T) {
	x, _ := hclsyntax.ParseExpression([]byte(`"/v1/${request.header["X"]}?q=${request.header["X"]}"`), "x.hcl", hcl.InitialPos)
	e, diags := NewContext("", NewSecrets(nil)).expr(x, "request", inURL)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	got, _ := e.String(source{header: map[string]string{"X": "../a?b&c=d#e%2f é@h"}})
	if want := "/v1/..%2Fa%3Fb%26c%3Dd%23e%252f%20%C3%A9%40h?q=..%2Fa%3Fb%26c%3Dd%23e%252f%20%C3%A9%40h"; got != want {
		t.Errorf("got %s", got)
	}
}

type raw map[string]string

func (r raw) Bytes(ref *Ref) ([]byte, bool) { v, ok := r[ref.Name+ref.Key]; return []byte(v), ok }

func TestTemplate(t *testing.T) {
	tmpl, err := ParseTemplate("${timestamp}.${header[\"X\"]}.${raw_body}", "webhook")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	body := "e\u0301 \xff\x00" // NFC would change the first, and the second is not UTF-8
	if err := tmpl.WriteTo(&out, raw{"timestamp": "01", "headerX": "h", "raw_body": body}); err != nil || out.String() != "01.h."+body {
		t.Errorf("%q, %v", out.String(), err)
	}
	if err := tmpl.WriteTo(&out, raw{"timestamp": "1"}); err == nil {
		t.Error("a missing name is no error")
	}
	for _, bad := range []string{"", "${lower(raw_body)}", "${nosuch}", "é${raw_body}"} {
		if _, err := ParseTemplate(bad, "webhook"); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestOverlay(t *testing.T) {
	laid := Overlay(
		parse(t, "attempts = 2\nwait = \"1s\"\ninner { first = \"1s\" }"),
		parse(t, "attempts = 5"),
		parse(t, "inner { first = \"9s\" }"))
	var s sample
	if diags := Decode(laid, NewContext("", NewSecrets(nil)), &s); diags.HasErrors() {
		t.Fatal(diags)
	}
	if s.Attempts != 5 || s.Wait.Duration != time.Second || s.Inner.First.Duration != 9*time.Second {
		t.Errorf("%+v", s)
	}
	names := ""
	for _, a := range Attributes(laid) {
		names += a.Name + " "
	}
	if !strings.Contains(names, "inner.first") {
		t.Errorf("Attributes: %s", names)
	}
}

// TestC72Scan: what would end the process in the parser is refused before it.
func TestC72Scan(t *testing.T) {
	for name, src := range map[string]string{
		"parentheses": "a = " + strings.Repeat("(", 80_000),
		"brackets":    "a = " + strings.Repeat("[", 60_000),
		"in a string": `a = "` + strings.Repeat(`${"`, 40_000),
		"not":         "a = " + strings.Repeat("!", 200_000) + "true",
		"conditions":  "a = " + strings.Repeat("true?1:", 50_000) + "1",
		"operators":   "a = " + strings.Repeat("1+", 400_000) + "1",
		"blocks":      strings.Repeat("b {}\n", 10_001),
		"size":        strings.Repeat("#", 1<<20+1),
	} {
		if diags := Scan([]byte(src), "x.hcl"); !diags.HasErrors() {
			t.Errorf("%s: accepted", name)
		}
	}
	if diags := Scan([]byte("a = [for x in [1]: \"${x}-{{{{\"]\nb = \"((((((((\"\n"), "x.hcl"); diags.HasErrors() {
		t.Error(diags)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`wait = "1s"`, `token = env("A")`, `when = response.body.a[0] == null`, `inner { first = "1s" }`, "key = <<X\n${request.path}\nX\n", `size = "9223372036854775807GiB"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		if Scan([]byte(src), "x.hcl").HasErrors() {
			return
		}
		file, diags := hclsyntax.ParseConfig([]byte(src), "x.hcl", hcl.InitialPos)
		if diags.HasErrors() {
			return
		}
		var s sample
		if diags := Decode(file.Body, NewContext("", NewSecrets([]string{"A=canary-value"})), &s); strings.Contains(all(diags), "canary-value") {
			t.Error("a diagnostic shows a secret")
		}
		for _, e := range []*Expr{s.When, s.Key} {
			if e != nil {
				e.Eval(source{body: src})
			}
		}
	})
}

func BenchmarkExpr(b *testing.B) {
	src := source{header: map[string]string{"X": "7"}, body: `{"error":{"code":"lock"}}`}
	for _, x := range []string{`request.header["X"]`, `response.status == 409 && response.body.error.code == "lock"`, `lower(response.body.error.code) == "lock"`} {
		e, err := ParseExpr(x, "response")
		if err != nil {
			b.Fatal(err)
		}
		b.Run(x, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.Eval(src)
			}
		})
	}
}

// listed has a list that is not empty by itself.
type listed struct {
	Waits []Duration `hcl:"waits,optional"`
}

func (l *listed) Default() { l.Waits = []Duration{{Duration: time.Second}} }

// TestDefaultList: what is written replaces a default list, and is not added to it.
func TestDefaultList(t *testing.T) {
	for src, want := range map[string]int{"": 1, `waits = ["2s"]`: 1, `waits = ["2s", "3s"]`: 2, `waits = []`: 0} {
		var l listed
		if diags := Decode(parse(t, src), NewContext("test", NewSecrets(nil)), &l); diags.HasErrors() {
			t.Fatal(diags)
		}
		if len(l.Waits) != want || src != "" && want > 0 && l.Waits[0].Duration != 2*time.Second {
			t.Errorf("%q: %v", src, l.Waits)
		}
	}
}
