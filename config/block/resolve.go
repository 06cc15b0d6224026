package block

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

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

// A Finding says how one secret of the policy stands. It never has the value.
type Finding struct {
	Ref         string // "[secret env:X]"
	At          hcl.Range
	Err         error         // why it cannot be used; nil if it can
	Absent      bool          // it is not there yet, which is no mistake of the policy's
	Fingerprint string        // see [Fingerprint]
	Changed     time.Time     // of the file that it comes from, the newest one; zero if it comes from none
	Took        time.Duration // of the commands that it comes from, the slowest; 0 if it comes from none
}

// Inspect is [Context.Resolve] for somebody who wants to see every secret, in the
// order in which they are written.
func (c *Context) Inspect(ctx context.Context) (list []Finding) {
	c.Resolve(ctx)
	seen := map[string]bool{}
	for _, s := range c.secrets {
		at := s.expr.Range()
		key := at.String() + s.refs
		if seen[key] { // decoded again under a route
			continue
		}
		seen[key] = true
		f := Finding{Ref: s.refs, At: at}
		v, err := Secret{s}.Reveal()
		if f.Fingerprint = Fingerprint(v); err != nil {
			f.Err, f.Absent = inFull(err), comes(err)
		}
		for _, r := range s.from {
			switch r.kind {
			case "file":
				if changed := c.Secrets.changed(r.name); changed.After(f.Changed) {
					f.Changed = changed
				}
			case "command":
				f.Took = max(f.Took, c.Secrets.took(r.command))
			}
		}
		list = append(list, f)
	}
	return list
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
