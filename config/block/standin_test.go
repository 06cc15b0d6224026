package block

import (
	"slices"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// TestStandIns: in a test of a policy a secret is what the test gives, or a value
// made of its name; what stands in for nothing is told.
func TestStandIns(t *testing.T) {
	secrets := StandIns()
	for _, name := range []string{"GIVEN", "key.pem", "NOBODY", "ANYBODY"} {
		secrets.StandIn(name, "given for "+name)
	}
	ctx := NewContext("test", secrets)
	for src, want := range map[string]struct {
		value  string
		madeUp bool
	}{
		`env("GIVEN")`:              {"given for GIVEN", false},
		`file("/run/keys/key.pem")`: {"given for key.pem", false},
		`env("OTHER")`:              {"stand-in-for-env-OTHER", true},
		`file("/run/keys/other")`:   {"stand-in-for-file-other", true},
		`"written"`:                 {"written", false},
	} {
		e, diags := hclsyntax.ParseExpression([]byte(src), "x.hcl", hcl.InitialPos)
		s, more := ctx.secret(e, true)
		if diags.HasErrors() || more.HasErrors() {
			t.Fatal(src, diags, more)
		}
		if got, err := s.Reveal(); err != nil || got != want.value || s.StandsIn() != want.madeUp {
			t.Errorf("%s: %q, made up: %v, %v", src, got, s.StandsIn(), err)
		}
	}
	if got := secrets.Unasked(); !slices.Equal(got, []string{"ANYBODY", "NOBODY"}) {
		t.Errorf("%v", got)
	}
	real := NewSecrets([]string{"A=stand-in-for-env-A"})
	e, _ := hclsyntax.ParseExpression([]byte(`env("A")`), "x.hcl", hcl.InitialPos)
	if s, _ := NewContext("test", real).secret(e, false); s.StandsIn() || len(real.Unasked()) > 0 {
		t.Error("a real value stands in")
	}
}
