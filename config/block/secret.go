package block

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// maxSecret is how long a secret's file may be, in bytes.
const maxSecret = 64 << 10

// Secrets resolves references to secrets: the environment as it was when the
// process started, and files. It keeps what it read until [Secrets.Forget], and
// every value it ever gave out, so that telemetry can redact them.
type Secrets struct {
	env   map[string]string
	stand bool // values stand in for the real ones

	mu    sync.Mutex
	files map[string]string
	given map[string]bool
	gen   atomic.Uint64 // of the files: a new one makes every Secret read anew
	told  atomic.Uint64 // grows with given
}

// NewSecrets takes the environment as os.Environ gives it.
func NewSecrets(environ []string) *Secrets {
	s := &Secrets{env: map[string]string{}, files: map[string]string{}, given: map[string]bool{}}
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok {
			s.env[name] = value
		}
	}
	s.gen.Store(1)
	return s
}

// StandIns answers every reference with a value made of its name, for tests of
// a policy: nothing is read.
func StandIns() *Secrets {
	s := NewSecrets(nil)
	s.stand = true
	return s
}

// Forget makes every secret be read again when it is next needed.
func (s *Secrets) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.files)
	s.gen.Add(1)
}

// Files lists the files that were read, to be watched.
func (s *Secrets) Files() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Values lists every secret value that was ever given out, for redaction, with
// a number that grows whenever the list does.
func (s *Secrets) Values() ([]string, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var values []string
	for v := range s.given {
		values = append(values, v)
	}
	return values, s.told.Load()
}

// Version is the number that [Secrets.Values] gives, without the list.
func (s *Secrets) Version() uint64 { return s.told.Load() }

// remember records a value that was given out.
func (s *Secrets) remember(v string) {
	if len(v) < 4 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.given[v] {
		s.given[v] = true
		s.told.Add(1)
	}
}

// lookup resolves one reference.
func (s *Secrets) lookup(r reference) (string, error) {
	if s.stand {
		return "stand-in-for-" + r.kind + "-" + filepath.Base(r.name), nil
	}
	if r.kind == "env" {
		if v, ok := s.env[r.name]; ok {
			return v, nil
		}
		if r.hasDefault {
			return r.fallback, nil
		}
		return "", &SecretError{r.String(), ErrUnset}
	}
	s.mu.Lock()
	v, ok := s.files[r.name]
	s.mu.Unlock()
	if ok {
		return v, nil
	}
	v, err := readSecret(r.name)
	if err != nil {
		return "", &SecretError{r.String(), err}
	}
	s.mu.Lock()
	s.files[r.name] = v
	s.mu.Unlock()
	return v, nil
}

// readSecret reads a regular file of up to 64 KiB, following symbolic links as
// Kubernetes makes them, and trims one trailing newline.
func readSecret(name string) (string, error) {
	for _, special := range []string{"/proc/", "/sys/", "/dev/"} {
		if strings.HasPrefix(filepath.Clean(name)+"/", special) {
			return "", errors.New("it is not a place for secrets")
		}
	}
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		return "", errors.New("it is not a regular file")
	}
	var f *os.File
	if err == nil {
		f, err = os.Open(name)
	}
	if err != nil {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return "", fmt.Errorf("it cannot be read: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("it cannot be read: %w", err)
	}
	if len(text) > maxSecret {
		return "", errors.New("it is larger than 64 KiB")
	}
	v := strings.TrimSuffix(string(text), "\n")
	return strings.TrimSuffix(v, "\r"), nil
}

// SecretError says which reference could not be resolved. It never holds a value.
type SecretError struct {
	Ref string // "[secret env:X]"
	Err error
}

func (e *SecretError) Error() string { return e.Ref + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *SecretError) Unwrap() error { return e.Err }

// reference names a secret. It is also the mark that values derived from it carry.
type reference struct {
	kind, name string
	hasDefault bool
	fallback   string
}

func (r reference) String() string { return "[secret " + r.kind + ":" + r.name + "]" }

// A Secret is an expression whose value comes from references. It prints as
// "[secret env:X]" under every verb and in every encoding; [Secret.Reveal] is
// the only way to its value.
type Secret struct{ s *secret }

type secret struct {
	refs    string // printed
	expr    hcl.Expression
	ctx     *Context
	literal string // of Plaintext
	cached  atomic.Pointer[revealed]
}

type revealed struct {
	gen   uint64
	value string
	err   error
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

// IsZero reports whether s is no secret at all.
func (s Secret) IsZero() bool { return s.s == nil }

// Reveal returns the value now: as it was at start for the environment, as the
// file has it after the last [Secrets.Forget] for a file. An empty value is an
// error. An error is a [SecretError].
func (s Secret) Reveal() (string, error) {
	if s.s == nil {
		return "", &SecretError{"[secret]", errors.New("it is not configured")}
	}
	if s.s.expr == nil {
		return s.s.literal, nil
	}
	gen := s.s.ctx.Secrets.gen.Load()
	if c := s.s.cached.Load(); c != nil && c.gen == gen {
		return c.value, c.err
	}
	v, err := s.s.reveal()
	s.s.cached.Store(&revealed{gen, v, err})
	return v, err
}

func (s *secret) reveal() (string, error) {
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
	v := val.AsString()
	switch {
	case v == "":
		return "", &SecretError{s.refs, errors.New("it is empty")}
	case strings.ContainsAny(v, "\x00"):
		return "", &SecretError{s.refs, errors.New("it holds a NUL byte")}
	}
	s.ctx.Secrets.remember(v)
	return v, nil
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
