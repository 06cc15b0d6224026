package credential

import (
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// TestUnavailable: the answer says what to do, and the log line, which holds
// the whole denial, gives the reason once.
func TestUnavailable(t *testing.T) {
	for _, c := range []struct{ token, reason, hint string }{
		{`env("NONE")`, "the environment variable is not set", "Where Postern runs, set NONE and start again: the environment is read at start."},
		{`env("BROKEN")`, "it holds a line break", "Where Postern runs, set BROKEN and start again: the environment is read at start."},
		{`file("/none")`, "it cannot be read", "Where Postern runs, put the value into /none: a file is read anew when it changes."},
	} {
		f, diags := hclsyntax.ParseConfig([]byte("token = "+c.token), "x.hcl", hcl.InitialPos)
		var b struct {
			Token block.Secret `hcl:"token"`
		}
		diags = append(diags, block.Decode(f.Body, block.NewContext("", block.NewSecrets([]string{"BROKEN=a\nX-Evil: 1"})), &b)...)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		value, err := need(b.Token)
		var d *policy.Denial
		if !errors.As(err, &d) || value != "" || d.Code != policy.CredentialUnavailable || d.Hint != c.hint {
			t.Errorf("%s: %q %+v", c.token, value, err)
			continue
		}
		if strings.Count(d.Error(), c.reason) != 1 || !strings.Contains(d.Detail, c.reason) || strings.Contains(d.Error(), "Evil") {
			t.Errorf("%s: %v", c.token, d)
		}
	}
}
