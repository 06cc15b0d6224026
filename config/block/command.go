package block

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// Defaults and bounds of the options of command().
const (
	defaultLifetime = 15 * time.Minute
	defaultTimeout  = 10 * time.Second
	leastLifetime   = 10 * time.Second
	mostTimeout     = time.Minute
)

// command is a program to run for a secret, as a policy says it. Equal ones are
// run once for all who use them.
type command struct {
	words             string // each with a NUL behind it
	dir               string // to run in: that of the policy file
	env               string // names of variables that it gets, each with a NUL behind it; "" is the usual ones
	lifetime, timeout time.Duration
}

func (c command) argv() []string { return parts(c.words) }

// program is the name of the program, without its folder.
func (c command) program() string { return filepath.Base(c.argv()[0]) }

func parts(s string) []string { return strings.Split(strings.TrimSuffix(s, "\x00"), "\x00") }

func joined(words []string) string { return strings.Join(words, "\x00") + "\x00" }

// commandFunc is command() for policy files of a folder. resolve is asked for
// the value once the arguments are known to be good.
func commandFunc(dir string, resolve func(reference) (cty.Value, error)) function.Function {
	return function.New(&function.Spec{
		VarParam: &function.Parameter{
			Name: "command", Type: cty.DynamicPseudoType,
			AllowMarked: true, AllowUnknown: true, AllowNull: true, AllowDynamicType: true,
		},
		Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			c, err := newCommand(args, dir)
			if err != nil {
				return cty.NilVal, err
			}
			return resolve(reference{kind: "command", name: c.program(), command: c})
		},
	})
}

// newCommand reads the arguments of command(): one command line or several
// words, and then perhaps options.
func newCommand(args []cty.Value, dir string) (command, error) {
	c := command{dir: dir, lifetime: defaultLifetime, timeout: defaultTimeout}
	for _, a := range args {
		if refs := references(a); len(refs) > 0 {
			return c, fmt.Errorf("%s would stand in the arguments of a process, which every program of this machine can read: hand it over by an environment variable or a file that the program reads", strings.Join(refs, ", "))
		}
		if !a.IsWhollyKnown() {
			return c, errors.New("it must be known when the policy is loaded")
		}
	}
	if n := len(args); n > 0 && !args[n-1].IsNull() && (args[n-1].Type().IsObjectType() || args[n-1].Type().IsMapType()) {
		if err := c.options(args[n-1]); err != nil {
			return c, err
		}
		args = args[:n-1]
	}
	var words []string
	for _, a := range args {
		if a.IsNull() || a.Type() != cty.String {
			return c, errors.New("a command is a text, or several that are its words, and then perhaps { options }")
		}
		words = append(words, a.AsString())
	}
	if len(words) == 1 {
		var err error
		if words, err = split(words[0]); err != nil {
			return c, err
		}
	}
	switch {
	case len(words) == 0 || words[0] == "":
		return c, errors.New("it names no program")
	case slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, "\x00") }):
		return c, errors.New("a word holds a NUL byte")
	}
	c.words = joined(words)
	return c, nil
}

// options reads { lifetime, timeout, env }.
func (c *command) options(v cty.Value) error {
	for name, value := range v.AsValueMap() {
		var err error
		switch name {
		case "lifetime":
			c.lifetime, err = option(value)
		case "timeout":
			c.timeout, err = option(value)
		case "env":
			c.env, err = variables(value)
		default:
			if s := Suggest(name, []string{"lifetime", "timeout", "env"}); s != "" {
				return fmt.Errorf("there is no option %s; did you mean %s?", name, s)
			}
			return fmt.Errorf("there is no option %s; there are lifetime, timeout and env", name)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	switch {
	case c.lifetime < leastLifetime:
		return fmt.Errorf("lifetime: %v is less than %v", c.lifetime, leastLifetime)
	case c.timeout < time.Millisecond || c.timeout > mostTimeout:
		return fmt.Errorf("timeout: %v is not between 1ms and %v", c.timeout, mostTimeout)
	case c.timeout > c.lifetime/2:
		return fmt.Errorf("timeout: %v is more than half of lifetime, %v", c.timeout, c.lifetime)
	}
	return nil
}

func option(v cty.Value) (time.Duration, error) {
	if v.IsNull() || v.Type() != cty.String {
		return 0, errors.New(`a duration such as "15m" is needed`)
	}
	return parseDuration(v.AsString())
}

func variables(v cty.Value) (string, error) {
	var names []string
	if v.IsNull() || !v.CanIterateElements() {
		return "", errNames
	}
	for _, e := range v.AsValueSlice() {
		if e.IsNull() || e.Type() != cty.String || e.AsString() == "" || strings.ContainsAny(e.AsString(), "=\x00") {
			return "", errNames
		}
		names = append(names, e.AsString())
	}
	slices.Sort(names)
	return joined(names), nil
}

var errNames = errors.New(`a list of names of variables, such as ["VAULT_ADDR", "VAULT_TOKEN"], is needed`)
