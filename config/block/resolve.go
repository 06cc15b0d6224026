package block

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// ErrUnset is the cause of a [SecretError] about an environment variable that
// is not set.
var ErrUnset = errors.New("the environment variable is not set")

// Resolve reads every secret that was decoded in this context, as a start or a
// reload does and checking does not. One that is not there yet is a warning:
// what needs it fails closed, and it may come later. An empty variable, or what
// expect() refuses, is an error. Commands that never ran are run, all at once, and
// waited for no longer than the longest of their timeouts, or until ctx ends.
func (c *Context) Resolve(ctx context.Context) (diags hcl.Diagnostics) {
	var from []reference
	for _, s := range c.secrets {
		from = append(from, s.from...)
	}
	c.Secrets.first(ctx, from)
	for _, s := range c.secrets {
		_, err := Secret{s}.Reveal()
		if err == nil {
			continue
		}
		at := s.expr.Range()
		d := problem("Unusable secret", Sentence(err.Error()), at)
		if comes(err) {
			do, why := Cure(err)
			d = problem("Missing secret", fmt.Sprintf("%s What needs it is refused. %s", Sentence(inFull(err).Error()), Sentence(do+": "+why)), at)
			d.Severity = hcl.DiagWarning
			d.Extra = Missing{do}
		}
		diags = append(diags, d)
	}
	return diags
}

// comes reports whether the error of a secret means that it is not there yet.
func comes(err error) bool {
	for _, absent := range []error{ErrUnset, ErrCommand, fs.ErrNotExist, errNothing, errWithdrawn} {
		if errors.Is(err, absent) {
			return true
		}
	}
	return false
}

// Missing marks the warning about a secret that is not there yet.
type Missing struct {
	Cure string // what to do
}

// Cure says what to do about the error of a secret, and why that helps.
func Cure(err error) (do, why string) {
	var at *SecretError
	if errors.As(err, &at) && strings.Count(at.Ref, "[") == 1 {
		ref := strings.TrimSuffix(at.Ref, "]")
		if name, ok := strings.CutPrefix(ref, "[secret env:"); ok {
			return "set " + name + " and start again", "the environment is read at start"
		}
		if name, ok := strings.CutPrefix(ref, "[secret file:"); ok {
			return "put the value into " + name, "a file is read anew when it changes"
		}
		if name, ok := strings.CutPrefix(ref, "[secret command:"); ok {
			return "run " + name + " by hand as the policy has it, as the same user, and mend what it says", "it is tried again in the background, and needs no restart"
		}
	}
	return "put the value where the policy says", "the environment is read at start, a file anew when it changes"
}

// Variables lists the environment variables that the secrets decoded so far
// come from, in the order of decoding.
func (c *Context) Variables() []string { return c.variables }
