package block

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Secrets is where secrets come from: the environment as it was when the process
// started, files, and commands. It outlives the configuration, so that the last
// good value of each is at hand (file.go, refresh.go), and knows every value that
// was given out, so that telemetry can redact them. What one loading of the
// configuration read is kept by its [Context].
type Secrets struct {
	env      map[string]string
	stand    bool            // values stand in for the real ones
	unasked  map[string]bool // of those that a test gave
	observer atomic.Pointer[func(Change)]
	commands *commands

	mu    sync.Mutex
	files map[string]*file
	plain map[string]bool // files of the policy that are no secrets, by name
	gen   atomic.Uint64   // grows when a value changes under those who have it
	known *known
}

// NewSecrets takes the environment as os.Environ gives it.
func NewSecrets(environ []string) *Secrets {
	s := &Secrets{env: map[string]string{}, files: map[string]*file{}, plain: map[string]bool{}, commands: newCommands(), known: newKnown(maxGuarded, maxGuardedSize)}
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok {
			s.env[name] = value
		}
	}
	s.gen.Store(1)
	return s
}

// madeUp begins what stands in for a secret, unless a test says what does.
const madeUp = "stand-in-for-"

// StandIns answers every reference with a value made of its name, for tests of
// a policy: nothing is read.
func StandIns() *Secrets {
	s := NewSecrets(nil)
	s.stand, s.unasked = true, map[string]bool{}
	return s
}

// StandIn makes value stand in for what is called name: a variable, or a file
// without its folder.
func (s *Secrets) StandIn(name, value string) {
	s.env[name] = value
	s.unasked[name] = true
}

// Unasked lists what stands in for nothing, because no policy that was loaded
// refers to it.
func (s *Secrets) Unasked() []string { return slices.Sorted(maps.Keys(s.unasked)) }

// standIn is what stands in for r.
func (s *Secrets) standIn(r reference) string {
	name := filepath.Base(r.name)
	if v, ok := s.env[name]; ok {
		return v
	}
	return madeUp + r.kind + "-" + name
}

// A Change is word of a secret that changed its state in the background.
type Change struct {
	Ref  string    // "[secret file:/run/secrets/stripe]"
	Err  error     // what is wrong; nil if it is well again
	Kept bool      // the last good value stays in use
	Till time.Time // until then; zero is for as long as it takes
}

// Observe sets who is told of changes. It must return soon.
func (s *Secrets) Observe(f func(Change)) { s.observer.Store(&f) }

func (s *Secrets) tell(c Change) {
	if f := s.observer.Load(); f != nil {
		(*f)(c)
	}
}

// variable is one of the environment.
func (s *Secrets) variable(r reference) (string, error) {
	if v, ok := s.env[r.name]; ok {
		return v, nil
	}
	if r.hasDefault {
		return r.fallback, nil
	}
	return "", ErrUnset
}

// SecretError says which reference could not be resolved. It never holds a value.
type SecretError struct {
	Ref string // "[secret env:X]"
	Err error
}

func (e *SecretError) Error() string { return e.Ref + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *SecretError) Unwrap() error { return e.Err }

// A Secret is an expression whose value comes from references. It prints as
// "[secret env:X]" under every verb and in every encoding; [Secret.Reveal] is
// the only way to its value.
type Secret struct{ s *secret }

type secret struct {
	refs    string // printed
	from    []reference
	direct  bool // the value is that of the one reference
	expr    hcl.Expression
	ctx     *Context
	literal string // of Plaintext
	cached  atomic.Pointer[revealed]

	looking sync.Mutex // held while its files are looked at for Reread
	looked  time.Time  // when that was last
}

type revealed struct {
	gen   uint64
	value string
	err   error
	bad   string // why a newer value is not used, "" if there is none
}

// Plaintext makes a secret of a value. It is for tests and for values made by
// this program, never for configuration.
func Plaintext(v string) Secret { return Secret{&secret{refs: "[secret]", literal: v}} }

// Written makes a secret of a default that is none: it prints as it is.
func Written(v string) Secret { return Secret{&secret{refs: strconv.Quote(v), literal: v}} }

// Literal returns the value of a secret that was written out where that is
// allowed, or made by [Plaintext]: it needs nothing from outside.
func (s Secret) Literal() (value string, ok bool) {
	if s.s == nil || s.s.expr != nil {
		return "", false
	}
	return s.s.literal, true
}

// StandsIn reports whether the value was made up to stand in for the real one, in a
// test of a policy: it does not have the form of a key.
func (s Secret) StandsIn() bool {
	if s.s == nil || s.s.ctx == nil || !s.s.ctx.Secrets.stand {
		return false
	}
	v, err := s.Reveal()
	return err == nil && strings.HasPrefix(v, madeUp)
}

// IsZero reports whether s is no secret at all.
func (s Secret) IsZero() bool { return s.s == nil }

// Reveal returns the value: of the environment as it was at start, of a file as
// it was when this configuration was loaded, of a command as it was last. A newer
// value that cannot be used, because expect() refuses it, leaves the one before
// in use. An empty value is an error. An error is a [SecretError].
func (s Secret) Reveal() (string, error) {
	if s.s == nil {
		return "", &SecretError{"[secret]", errors.New("it is not configured")}
	}
	if s.s.expr == nil {
		return s.s.literal, nil
	}
	secrets := s.s.ctx.Secrets
	gen := secrets.gen.Load()
	last := s.s.cached.Load()
	if last != nil && last.gen == gen {
		return last.value, last.err
	}
	now := revealed{gen: gen}
	secrets.first(context.Background(), s.s.from)
	now.value, now.err = s.s.reveal()
	if now.err != nil && last != nil && last.err == nil && !errors.Is(now.err, errWithdrawn) {
		if now.bad = now.err.Error(); now.bad != last.bad {
			secrets.tell(Change{Ref: s.s.refs, Err: now.err, Kept: true})
		}
		now.value, now.err = last.value, nil
	}
	if last != nil && last.err == nil && last.value != now.value {
		secrets.known.pass(last.value)
	}
	s.s.cached.Store(&now)
	return now.value, now.err
}

// lookAgain is how long after a look at its files a secret is not looked at
// again because its value was refused.
const lookAgain = 20 * time.Millisecond

// Reread looks at once into the files that the secret comes from, because somebody
// refused the value, and reports whether there is another one now. Until then a
// changed file takes effect by a new loading of the configuration only.
func (s Secret) Reread(refused string) bool {
	if s.s == nil || s.s.expr == nil {
		return false
	}
	s.s.look()
	v, err := s.Reveal()
	return err == nil && v != refused
}

// look reads the files anew, unless somebody has just done so. Whoever comes while
// somebody looks waits: it needs what is found as much.
func (s *secret) look() {
	s.looking.Lock()
	defer s.looking.Unlock()
	if time.Since(s.looked) <= lookAgain {
		return
	}
	changed := false
	for _, r := range s.from {
		changed = r.kind == "file" && s.ctx.reread(r.name) || changed
	}
	if changed {
		s.ctx.Secrets.gen.Add(1)
	}
	s.looked = time.Now()
}

// Renew is [Secret.Reread], and if that finds nothing it runs the commands that
// the secret comes from. It waits for them, but not longer than ctx, and does not
// run one that has just been.
func (s Secret) Renew(ctx context.Context, refused string) bool {
	switch {
	case s.s == nil || s.s.expr == nil:
		return false
	case s.Reread(refused):
		return true
	}
	for _, r := range s.s.from {
		if r.kind == "command" {
			s.s.ctx.Secrets.again(ctx, r.command)
		}
	}
	v, err := s.Reveal()
	return err == nil && v != refused
}

func (s *secret) reveal() (string, error) {
	v, err := s.evaluate()
	switch {
	case err != nil:
		return "", err
	case v == "":
		return "", &SecretError{s.refs, errors.New("it is empty")}
	case strings.ContainsAny(v, "\x00"):
		return "", &SecretError{s.refs, errors.New("it holds a NUL byte")}
	}
	s.ctx.Secrets.known.remember(v)
	return v, nil
}

func (s *secret) evaluate() (string, error) {
	if s.direct {
		v, err := s.ctx.lookup(s.from[0])
		if err != nil {
			err = &SecretError{s.refs, err}
		}
		return v, err
	}
	val, diags := s.expr.Value(s.ctx.eval(s.expr.Range().Filename, true))
	if diags.HasErrors() {
		cause := firstCause(diags)
		if inner := (*SecretError)(nil); errors.As(cause, &inner) {
			return "", inner
		}
		return "", &SecretError{s.refs, cause}
	}
	val, _ = val.Unmark()
	if val.IsNull() || !val.IsKnown() || val.Type() != cty.String {
		return "", &SecretError{s.refs, errors.New("it is not a string")}
	}
	return val.AsString(), nil
}

// firstCause is what a function said, without the snippet that HCL would print.
func firstCause(diags hcl.Diagnostics) error {
	if call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](diags[0]); ok {
		if err := call.FunctionCallError(); err != nil {
			return err
		}
	}
	return errors.New(strings.TrimSuffix(diags[0].Detail, "."))
}

// String returns the references.
func (s Secret) String() string {
	if s.s == nil {
		return "[secret]"
	}
	return s.s.refs
}

// Format prints the references under every verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// MarshalText prints the references.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue prints the references.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
