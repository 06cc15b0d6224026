package block

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/hashicorp/hcl/v2"
)

// ErrUnset is the cause of a [SecretError] about an environment variable that
// is not set.
var ErrUnset = errors.New("the environment variable is not set")

// Resolve reads every secret that was decoded in this context, as a start or a
// reload does and checking does not. One that is not there yet is a warning:
// what needs it fails closed, and it may come later. One that is empty, or not
// what expect() asks for, is an error.
func (c *Context) Resolve() (diags hcl.Diagnostics) {
	for _, s := range c.secrets {
		_, err := Secret{s}.Reveal()
		if err == nil {
			continue
		}
		at := s.expr.Range()
		d := problem("Unusable secret", sentence(err.Error()), at)
		if errors.Is(err, ErrUnset) || errors.Is(err, fs.ErrNotExist) {
			d = problem("Missing secret", fmt.Sprintf("%s What needs it is refused until it is there.", sentence(err.Error())), at)
			d.Severity = hcl.DiagWarning
		}
		diags = append(diags, d)
	}
	return diags
}

// Variables lists the environment variables that the secrets decoded so far
// come from, in the order of decoding.
func (c *Context) Variables() (names []string) {
	for _, s := range c.secrets {
		val, _ := s.expr.Value(c.eval(s.expr.Range().Filename, false))
		_, marks := val.UnmarkDeep()
		for m := range marks {
			if r, ok := m.(reference); ok && r.kind == "env" {
				names = append(names, r.name)
			}
		}
	}
	return names
}
