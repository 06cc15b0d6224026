package block

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// tokenOf decodes an expression as a new loading of the configuration does.
func tokenOf(t testing.TB, s *Secrets, expr string) (*Context, Secret) {
	t.Helper()
	var into sample
	ctx := NewContext("test", s)
	f, diags := hclsyntax.ParseConfig([]byte("token = "+expr), filepath.Join(os.TempDir(), "x.hcl"), hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if diags = Decode(f.Body, ctx, &into); diags.HasErrors() {
		t.Fatal(diags)
	}
	return ctx, into.Token[0]
}

func is(t *testing.T, s Secret, want string) {
	t.Helper()
	if v, err := s.Reveal(); v != want || err != nil {
		t.Errorf("%v is %q, %v; want %q", s, v, err, want)
	}
}

func fileWith(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	replace(t, name, text)
	return name
}

// replace puts a file in the place of another, by a rename.
func replace(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// TestP40LoadingKeepsItsFiles: what one loading of the configuration has read
// stays as it is for whoever has that configuration, until the next one.
func TestP40LoadingKeepsItsFiles(t *testing.T) {
	name := fileWith(t, "old-key-0123456789\n")
	s := NewSecrets(nil)
	expr := fmt.Sprintf(`expect(file(%q), "^(old|new)-")`, name)
	_, before := tokenOf(t, s, expr)
	is(t, before, "old-key-0123456789")
	replace(t, name, "new-key-0123456789\n")
	_, after := tokenOf(t, s, expr)
	is(t, after, "new-key-0123456789")
	is(t, before, "old-key-0123456789")
	replace(t, name, "wrong\n")
	wrong, _ := tokenOf(t, s, expr)
	if diags := wrong.Resolve(t.Context()); !diags.HasErrors() || strings.Contains(all(diags), "wrong") {
		t.Errorf("the wrong key: %s", all(diags))
	}
	is(t, after, "new-key-0123456789")
}

// TestP40FileIsGone: a file that is deleted or emptied keeps its last value for
// the grace and no longer, for old loadings and new ones; then it is missing, and
// may come back.
func TestP40FileIsGone(t *testing.T) {
	for what, lose := range map[string]func(string) error{
		"deleted": os.Remove,
		"emptied": func(name string) error { return os.Truncate(name, 0) },
		"only a newline is left": func(name string) error {
			return os.WriteFile(name, []byte("\n"), 0o600)
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				name := fileWith(t, "the-key-0123456789\n")
				s := NewSecrets(nil)
				var told []Change
				s.Observe(func(c Change) { told = append(told, c) })
				expr := fmt.Sprintf(`file(%q)`, name)
				_, first := tokenOf(t, s, expr)
				is(t, first, "the-key-0123456789")
				if at := s.Look(); !at.IsZero() {
					t.Errorf("something is to be given up at %v", at)
				}
				if err := lose(name); err != nil {
					t.Fatal(err)
				}
				lost := time.Now()
				_, second := tokenOf(t, s, expr)
				is(t, second, "the-key-0123456789")
				if at := s.Look(); !at.Equal(lost.Add(grace)) {
					t.Errorf("to be given up at %v, lost at %v", at, lost)
				}
				time.Sleep(grace - time.Millisecond)
				_, third := tokenOf(t, s, expr)
				is(t, third, "the-key-0123456789")
				time.Sleep(2 * time.Millisecond)
				ctx, fourth := tokenOf(t, s, expr)
				diags := ctx.Resolve(t.Context())
				if diags.HasErrors() || len(diags) != 1 || diags[0].Severity != hcl.DiagWarning {
					t.Errorf("a lost file: %v", diags)
				}
				for n, sec := range []Secret{first, second, third, fourth} {
					if v, err := sec.Reveal(); err == nil || v != "" {
						t.Errorf("%d: %q after the grace", n, v)
					}
				}
				if at := s.Look(); !at.IsZero() {
					t.Errorf("still something to be given up at %v", at)
				}
				replace(t, name, "new-key-0123456789\n")
				_, fifth := tokenOf(t, s, expr)
				is(t, fifth, "new-key-0123456789")
				if v, err := first.Reveal(); err == nil {
					t.Errorf("the value that was given up is back: %q", v)
				}
				if len(told) != 2 || !told[0].Kept || told[0].Err == nil || !told[0].Till.Equal(lost.Add(grace)) || told[1].Kept || told[1].Err == nil {
					t.Errorf("told %+v", told)
				}
			})
		})
	}
}

// TestP40FileComesBack: one that was away for a moment is never missing.
func TestP40FileComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := fileWith(t, "the-key-0123456789\n")
		s := NewSecrets(nil)
		var told []Change
		s.Observe(func(c Change) { told = append(told, c) })
		expr := fmt.Sprintf(`file(%q)`, name)
		_, first := tokenOf(t, s, expr)
		is(t, first, "the-key-0123456789")
		for range 3 {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			_, sec := tokenOf(t, s, expr)
			is(t, sec, "the-key-0123456789")
			time.Sleep(grace / 2)
			replace(t, name, "the-key-0123456789\n")
			_, sec = tokenOf(t, s, expr)
			is(t, sec, "the-key-0123456789")
		}
		is(t, first, "the-key-0123456789")
		if len(told) != 6 || told[5].Err != nil {
			t.Errorf("told %+v", told)
		}
	})
}

// TestP40WrittenInPlace: of a file that is written in two steps, with a pause
// between them, nobody sees the first half.
func TestP40WrittenInPlace(t *testing.T) {
	name := fileWith(t, "the-key-0123456789\n")
	s := NewSecrets(nil)
	expr := fmt.Sprintf(`file(%q)`, name)
	_, first := tokenOf(t, s, expr)
	is(t, first, "the-key-0123456789")
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("new-key-"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		time.Sleep(quiet / 2)
		if _, err := f.WriteString("9876543210\n"); err != nil {
			t.Error(err)
		}
	})
	_, second := tokenOf(t, s, expr)
	is(t, second, "new-key-9876543210")
	wg.Wait()
	began := time.Now()
	_, third := tokenOf(t, s, expr)
	is(t, third, "new-key-9876543210")
	if took := time.Since(began); took > quiet/2 {
		t.Errorf("a file that rests is waited for: %v", took)
	}
}

// TestReread: a value that somebody refused is looked for again at once; where it
// did not change, or what it became is no good, the refusal stands.
func TestReread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := fileWith(t, "old-key-0123456789")
		s := NewSecrets([]string{"A=alpha-secret"})
		_, sec := tokenOf(t, s, fmt.Sprintf(`expect(file(%q), "-key-")`, name))
		is(t, sec, "old-key-0123456789")
		renew := func(refused string, want bool) {
			t.Helper()
			time.Sleep(2 * lookAgain)
			if got := sec.Reread(refused); got != want {
				t.Errorf("Reread(%q) = %v", refused, got)
			}
		}
		renew("old-key-0123456789", false)
		replace(t, name, "wrong")
		renew("old-key-0123456789", false)
		is(t, sec, "old-key-0123456789")
		replace(t, name, "new-key-0123456789")
		renew("old-key-0123456789", true)
		is(t, sec, "new-key-0123456789")
		renew("new-key-0123456789", false)
		renew("old-key-0123456789", true) // somebody else has seen to it
		replace(t, name, "third-key-55555555")
		if sec.Reread("new-key-0123456789") {
			t.Error("the file is read for every refusal")
		}
		if _, env := tokenOf(t, s, `env("A")`); env.Reread("alpha-secret") {
			t.Error("the environment changed")
		}
		if Plaintext("x").Reread("x") || (Secret{}).Reread("") {
			t.Error("a literal changed")
		}
	})
}

// TestByEnvironment: a condition on `environment` chooses a secret, and the one
// that is not chosen need not be there; a path is made of it. A literal on either
// side is refused.
func TestByEnvironment(t *testing.T) {
	dir := t.TempDir()
	for _, env := range []string{"prod", "test"} {
		if err := os.Mkdir(filepath.Join(dir, env), 0o700); err != nil {
			t.Fatal(err)
		}
		replace(t, filepath.Join(dir, env, "stripe"), "sk_"+env+"_file")
	}
	for _, c := range []struct{ expr, prod, test, ref string }{
		{`environment == "prod" ? env("LIVE") : env("TEST")`, "sk_live", "sk_test", "[secret env:LIVE]"},
		{`(environment != "prod") ? (env("TEST")) : (env("LIVE"))`, "sk_live", "sk_test", "[secret env:LIVE]"},
		{`environment == "prod" ? env("LIVE") : environment == "test" ? env("TEST") : env("NONE")`, "sk_live", "sk_test", "[secret env:LIVE]"},
		{`environment == "prod" ? env("LIVE") : file("/none")`, "sk_live", "", "[secret env:LIVE]"},
		{`[environment == "prod" ? env("LIVE") : env("TEST"), env("NONE")]`, "sk_live", "sk_test", "[secret env:LIVE]"},
		{`environment == "prod" ? [env("LIVE")] : [env("TEST"), env("NONE")]`, "sk_live", "sk_test", "[secret env:LIVE]"},
		{fmt.Sprintf(`file("%s/${environment}/stripe")`, dir), "sk_prod_file", "sk_test_file", "[secret file:" + dir + "/prod/stripe]"},
		{`expect(environment == "prod" ? env("LIVE") : env("TEST"), "^sk_")`, "sk_live", "sk_test", ""},
	} {
		for environment, want := range map[string]string{"prod": c.prod, "test": c.test} {
			s := NewSecrets([]string{"LIVE=sk_live", "TEST=sk_test"})
			var into sample
			if diags := Decode(parse(t, "token = "+c.expr), NewContext(environment, s), &into); diags.HasErrors() {
				t.Errorf("%s: %v", c.expr, diags)
				continue
			}
			v, err := into.Token[0].Reveal()
			if v != want || (err == nil) != (want != "") {
				t.Errorf("%s in %s is %q, %v", c.expr, environment, v, err)
			}
			if environment == "prod" && c.ref != "" && into.Token[0].String() != c.ref {
				t.Errorf("%s prints as %v", c.expr, into.Token[0])
			}
		}
	}
	ctx, _ := tokenOf(t, NewSecrets(nil), `environment == "prod" ? env("LIVE") : env("TEST")`)
	if names := ctx.Variables(); len(names) != 2 || len(ctx.Resolve(t.Context())) != 1 {
		t.Errorf("variables %q: an application must get neither; missing %v", names, ctx.Resolve(t.Context()))
	}
}

// TestSecretWrittenOut: a literal is refused wherever a secret belongs, with the
// advice what to write, and is not shown.
func TestSecretWrittenOut(t *testing.T) {
	for _, src := range []string{
		`token = "sk_live_canary"`,
		`token = ["sk_live_canary"]`,
		`token = [env("A"), "sk_live_canary"]`,
		`token = "Bearer sk_live_canary"`,
		`token = upper("sk_live_canary")`,
		`token = plain("sk_live_canary")`,
		`token = expect("sk_live_canary", "^sk_")`,
		`token = environment == "prod" ? env("A") : "sk_live_canary"`,
		`token = environment == "prod" ? "sk_live_canary" : env("A")`,
		`token = environment == "prod" ? [env("A")] : ["sk_live_canary"]`,
		`token = "${environment}-sk_live_canary"`,
		`fields = { id = env("A"), secret = "sk_live_canary" }`,
		`fields = { secret = "Bearer sk_live_canary" }`,
	} {
		var into sample
		diags := Decode(parse(t, src), NewContext("prod", NewSecrets([]string{"A=alpha-secret"})), &into)
		text := all(diags)
		concealed := false
		for _, d := range diags {
			_, hidden := d.Extra.(Concealed)
			concealed = concealed || hidden
		}
		if !strings.Contains(text, "Secret written out") || !strings.Contains(text, `env("NAME")`) || strings.Contains(text, "canary") || !concealed {
			t.Errorf("%s: %s (concealed: %v)", src, text, concealed)
		}
	}
	for _, src := range []string{`token = "Bearer ${env("A")}"`, `token = join(":", ["user", env("A")])`, `fields = { secret = "v1 ${env("A")}" }`} {
		var into sample
		if diags := Decode(parse(t, src), NewContext("prod", NewSecrets([]string{"A=alpha-secret"})), &into); diags.HasErrors() {
			t.Errorf("%s: %v", src, diags)
		}
	}
}

// TestSecretBytes: a secret that stands alone is given out byte for byte; one
// that an expression would change is refused.
func TestSecretBytes(t *testing.T) {
	for _, value := range []string{"pa\u0301ss-word", "\xff\xfe-binary", "p\u00e1ss-word"} {
		name := fileWith(t, value)
		s := NewSecrets([]string{"A=" + value})
		for _, expr := range []string{`env("A")`, fmt.Sprintf("file(%q)", name)} {
			_, sec := tokenOf(t, s, expr)
			is(t, sec, value)
		}
		_, sec := tokenOf(t, s, `"x${env("A")}"`)
		v, err := sec.Reveal()
		if err == nil && v != "x"+value {
			t.Errorf("%q became %q", value, v)
		}
		if strings.Contains(value, "\u0301") && !errors.Is(err, errNotText) {
			t.Errorf("%q: %v", value, err)
		}
	}
}

// TestRereadWaits: of many callers whose value was refused at the same moment,
// each has the new one when Reread returns, not only the one that looked.
func TestRereadWaits(t *testing.T) {
	for range 50 {
		name := fileWith(t, "old-key-0123456789")
		_, key := tokenOf(t, NewSecrets(nil), fmt.Sprintf("file(%q)", name))
		is(t, key, "old-key-0123456789")
		if err := os.WriteFile(name, []byte("new-key-0123456789"), 0o600); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if !key.Reread("old-key-0123456789") {
					t.Error("the new value was not there")
				}
			})
		}
		wg.Wait()
	}
}
