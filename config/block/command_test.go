package block

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSplit: words as a shell makes them, and what needs a shell refused.
func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		"":      nil,
		"  \t ": nil,
		"vault kv get -field=token secret/stripe": {"vault", "kv", "get", "-field=token", "secret/stripe"},
		`op read "op://vault/my item/password"`:   {"op", "read", "op://vault/my item/password"},
		`op read 'op://vault/my item/password'`:   {"op", "read", "op://vault/my item/password"},
		`a"b c"'d e'f`:                            {"ab cd ef"},
		`a "" ''`:                                 {"a", "", ""},
		`a "say \"hi\" \\ \n"`:                    {"a", `say "hi" \ \n`},
		`a 'it\' b`:                               {"a", `it\`, "b"},
		`a\ b c\"d \\`:                            {"a b", `c"d`, `\`},
		"a\nb":                                    {"a", "b"},
		`aws --query 'Secrets[?Name==$x] | [0]' *.json`: {"aws", "--query", "Secrets[?Name==$x] | [0]", "*.json"},
		"a~b a#b cost$ $1x":                             {"a~b", "a#b", "cost$", "$1x"},
		"é ü":                                           {"é", "ü"},
	} {
		if got, err := split(line); !slices.Equal(got, want) || err != nil {
			t.Errorf("%q is %q, %v; want %q", line, got, err, want)
		}
	}
	for _, line := range []string{
		"vault read x | jq -r .data", "a > b", "a < b", "a && b", "a; b", "a &", "a $(b)", "a `b`", "a $HOME", "a ${HOME}", "a \"$HOME\"", "a \"`b`\"",
		"~/bin/secret", "a ~", "# a", `a "b`, "a 'b", `a\`, "(a)",
	} {
		if got, err := split(line); err == nil {
			t.Errorf("%q is %q", line, got)
		}
	}
}

// FuzzSplit: what is quoted comes back, and nothing is lost.
func FuzzSplit(f *testing.F) {
	f.Add("a b", `c"d\e`, "'")
	f.Add("", "$(x)", "\n")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		words := []string{a, b, c}
		var single, double []string
		for _, w := range words {
			single = append(single, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
			double = append(double, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(w)+`"`)
		}
		if got, err := split(strings.Join(single, " ")); err != nil || !slices.Equal(got, words) {
			t.Errorf("%q in single quotes: %q, %v", words, got, err)
		}
		if got, err := split(strings.Join(double, "\t")); !slices.Equal(got, words) && !strings.ContainsAny(a+b+c, "$`") {
			t.Errorf("%q in double quotes: %q, %v", words, got, err)
		}
		if got, err := split(a); err == nil {
			for _, w := range got {
				if len(w) > len(a) {
					t.Errorf("%q of %q", w, a)
				}
			}
		}
	})
}

// TestCommandMistakes: what cannot work is refused when the policy is loaded,
// and no secret gets into the arguments of a process.
func TestCommandMistakes(t *testing.T) {
	for expr, want := range map[string]string{
		`command()`:                                          "names no program",
		`command("")`:                                        "names no program",
		`command("", "x")`:                                   "names no program",
		`command({ lifetime = "1m" })`:                       "names no program",
		`command("vault read x | jq .y")`:                    "no shell",
		`command("vault 'x")`:                                "quote is not closed",
		`command("vault", 7)`:                                "a command is a text",
		`command(null)`:                                      "a command is a text",
		`command(["vault", "x"])`:                            "a command is a text",
		`command("a", { lifetime = "1s" })`:                  "less than 10s",
		`command("a", { lifetime = "soon" })`:                "not a duration",
		`command("a", { lifetime = 5 })`:                     "a duration such as",
		`command("a", { timeout = "2m" })`:                   "not between",
		`command("a", { timeout = "0s" })`:                   "not between",
		`command("a", { timeout = "9s", lifetime = "10s" })`: "more than half",
		`command("a", { lifetme = "10s" })`:                  "did you mean lifetime",
		`command("a", { shell = true })`:                     "there is no option shell",
		`command("a", { env = "X" })`:                        "a list of names",
		`command("a", { env = ["X=1"] })`:                    "a list of names",
		`command("vault ${env("A")}")`:                       "every program of this machine can read",
		`command("vault", "-token", env("A"))`:               "[secret env:A] would stand in the arguments",
		`command("vault", upper(file("/x")))`:                "every program of this machine can read",
		`command("a", { env = [env("A")] })`:                 "every program of this machine can read",
		`command("a", command("b"))`:                         "every program of this machine can read",
		`plain(command("a"))`:                                "not run yet",
	} {
		var into sample
		ctx := NewContext("prod", NewSecrets([]string{"A=alpha-secret"}))
		ctx.Secrets.commands.exec = func(context.Context, command, []string) (string, error) {
			t.Errorf("%s: it is run while loading", expr)
			return "", nil
		}
		diags := Decode(parse(t, "token = "+expr), ctx, &into)
		if !strings.Contains(all(diags)+diags.Error(), want) || strings.Contains(all(diags), "alpha") {
			t.Errorf("%s: %s; want %s", expr, all(diags), want)
		}
	}
}

// TestCommandWords: the ways to write one, and what each asks for.
func TestCommandWords(t *testing.T) {
	for expr, want := range map[string]command{
		`command("vault kv get x")`:                            {words: "vault\x00kv\x00get\x00x\x00", lifetime: defaultLifetime, timeout: defaultTimeout},
		`command("vault", "kv get", "$x|y")`:                   {words: "vault\x00kv get\x00$x|y\x00", lifetime: defaultLifetime, timeout: defaultTimeout},
		`command("/opt/bin/my tool", "")`:                      {words: "/opt/bin/my tool\x00\x00", lifetime: defaultLifetime, timeout: defaultTimeout},
		`command("a b", { lifetime = "1d", timeout = "5s" })`:  {words: "a\x00b\x00", lifetime: 24 * time.Hour, timeout: 5 * time.Second},
		`command("a", "${environment}", { env = ["B", "A"] })`: {words: "a\x00test\x00", env: "A\x00B\x00", lifetime: defaultLifetime, timeout: defaultTimeout},
		`command("a", { env = [] })`:                           {words: "a\x00", env: "\x00", lifetime: defaultLifetime, timeout: defaultTimeout},
	} {
		_, sec := tokenOf(t, NewSecrets(nil), expr)
		want.dir = os.TempDir()
		if got := sec.s.from[0].command; got != want {
			t.Errorf("%s: %+v, want %+v", expr, got, want)
		}
		if got := fmt.Sprint(sec); got != "[secret command:"+want.program()+"]" || strings.Contains(got, "kv") {
			t.Errorf("%s prints as %s", expr, got)
		}
	}
}

// TestCommandStandIn: a test of a policy runs nothing.
func TestCommandStandIn(t *testing.T) {
	_, sec := tokenOf(t, StandIns(), `expect(command("/no/such/vault read x"), "^sk_")`)
	is(t, sec, "stand-in-for-command-vault")
}

// script writes a program.
func script(t *testing.T, text string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the programs of this test are shell scripts")
	}
	name := filepath.Join(t.TempDir(), "tool")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return name
}

// runOnce runs a program by a policy.
func runOnce(t *testing.T, environ []string, expr string) (string, error) {
	t.Helper()
	s := NewSecrets(append(environ, "PATH="+os.Getenv("PATH")))
	defer s.Close()
	_, sec := tokenOf(t, s, expr)
	return sec.Reveal()
}

// TestCommandOutput: what becomes of what a program writes, and how it ends.
func TestCommandOutput(t *testing.T) {
	for name, c := range map[string]struct{ text, want, fails string }{
		"a value":               {"echo sk_live_0123456789", "sk_live_0123456789", ""},
		"without a newline":     {"printf sk_live_0123456789", "sk_live_0123456789", ""},
		"one newline goes":      {"printf 'two\\n\\n'", "two\n", ""},
		"and its return":        {"printf 'two\\r\\n'", "two", ""},
		"several lines":         {"printf 'a\\nb\\n'", "a\nb", ""},
		"the most":              {"head -c 65536 /dev/zero | tr '\\0' x", strings.Repeat("x", 65536), ""},
		"the most, and newline": {"head -c 65536 /dev/zero | tr '\\0' x; echo", strings.Repeat("x", 65536), ""},
		"too much":              {"head -c 65537 /dev/zero | tr '\\0' x", "", "more than 64 KiB"},
		"without end":           {"yes", "", "more than 64 KiB"},
		"nothing":               {"", "", "wrote nothing"},
		"a newline":             {"echo", "", "wrote nothing"},
		"a NUL":                 {"printf 'a\\000b'", "", "NUL"},
		"no text":               {"printf '\\377\\376'", "", "no UTF-8"},
		"failed":                {"echo sk_live_canary_0123; echo denied >&2; exit 2", "", "exit status 2"},
		"killed":                {"kill -9 $$", "", "signal: killed"},
		"stdin is empty":        {"cat; echo x", "x", ""},
		"no terminal":           {"if (: </dev/tty) 2>/dev/null; then echo there; else echo none; fi", "none", ""},
		"a session of its own":  {"read -r pid name state parent group session rest </proc/$$/stat && [ $session = $$ ] && echo yes", "yes", ""},
		"words":                 {`printf '%s|' "$@"`, "a b|$x|", ""},
	} {
		if strings.Contains(c.text, "/proc/") && runtime.GOOS != "linux" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := runOnce(t, nil, fmt.Sprintf(`command(%q, "a b", "$x", { timeout = "20s" })`, script(t, c.text)))
			if got != c.want || (err == nil) != (c.fails == "") {
				t.Fatalf("%.80q, %v; want %.80q, %s", got, err, c.want, c.fails)
			}
			if err != nil {
				text := err.Error() + fmt.Sprintf("%v %+v", err, err)
				if !strings.Contains(text, "[secret command:tool]: tool ") || !strings.Contains(text, c.fails) || strings.Contains(text, "canary") || strings.Contains(text, "denied") || !errors.Is(err, ErrCommand) {
					t.Errorf("it says %s", text)
				}
			}
		})
	}
	if _, err := runOnce(t, nil, `command("no-such-program-here x")`); err == nil || !strings.Contains(err.Error(), "no-such-program-here is not on PATH") {
		t.Error(err)
	}
	if _, err := runOnce(t, nil, `command("/no/such/program x")`); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}

// TestCommandTimeout: one that hangs is ended, with all that it started, and is
// not waited for longer.
func TestCommandTimeout(t *testing.T) {
	alive := filepath.Join(t.TempDir(), "alive")
	for name, text := range map[string]string{
		"hangs":                    "sleep 30",
		"a child hangs":            fmt.Sprintf("(sleep 2; touch %s) & wait", alive),
		"ignores signals":          "trap '' TERM INT HUP; sleep 30",
		"a child keeps the output": "echo value; sleep 30 &",
	} {
		start := time.Now()
		got, err := runOnce(t, nil, fmt.Sprintf(`command(%q, "x", { timeout = "500ms" })`, script(t, text)))
		if took := time.Since(start); err == nil || took > 5*time.Second {
			t.Errorf("%s: %q, %v after %v", name, got, err, took)
		}
	}
	got, err := runOnce(t, nil, fmt.Sprintf(`command(%q, "x")`, script(t, fmt.Sprintf("echo half; (sleep 2; touch %s) &", alive))))
	if err == nil || !strings.Contains(err.Error(), "still holds its output") {
		t.Errorf("a child keeps the output: %q, %v", got, err)
	}
	time.Sleep(2500 * time.Millisecond)
	if _, err := os.Stat(alive); err == nil {
		t.Error("a child lived on")
	}
}

// TestCommandEnvironment: a command gets what a manager's CLI needs, and neither
// the policy's own secrets nor what is Postern's; with the option env, nearly
// nothing but what that names.
func TestCommandEnvironment(t *testing.T) {
	tool := script(t, "env | sort")
	environ := []string{
		"VAULT_ADDR=https://vault", "HOME=/home/postern", "AWS_PROFILE=x", "STRIPE_KEY=sk_live_canary", "LIVE=sk_live_canary",
		"POSTERN_ADMIN_TOKEN=canary", "NOTIFY_SOCKET=/run/x", "LISTEN_FDS=1", "WATCHDOG_USEC=1",
	}
	s := NewSecrets(append(environ, "PATH="+os.Getenv("PATH")))
	defer s.Close()
	tokenOf(t, s, `env("STRIPE_KEY")`)
	tokenOf(t, s, `environment == "prod" ? env("LIVE") : env("STRIPE_KEY")`)
	names := func(options string) (list []string) {
		t.Helper()
		_, sec := tokenOf(t, s, fmt.Sprintf(`command(%q, "x"%s)`, tool, options))
		v, err := sec.Reveal()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(v) {
			if name, _, _ := strings.Cut(line, "="); name != "PWD" && name != "_" && name != "SHLVL" && name != "OLDPWD" {
				list = append(list, name)
			}
		}
		return list
	}
	if got, want := names(""), []string{"AWS_PROFILE", "HOME", "PATH", "VAULT_ADDR"}; !slices.Equal(got, want) {
		t.Errorf("by default %q, want %q", got, want)
	}
	if got, want := names(`, { env = ["VAULT_ADDR", "STRIPE_KEY", "NONE"] }`), []string{"HOME", "PATH", "STRIPE_KEY", "VAULT_ADDR"}; !slices.Equal(got, want) {
		t.Errorf("named: %q, want %q", got, want)
	}
	t.Setenv("OF_THIS_PROCESS", "canary")
	_, alone := tokenOf(t, NewSecrets(nil), fmt.Sprintf("command(%q)", script(t, "/usr/bin/env")))
	if v, err := alone.Reveal(); err != nil || strings.Contains(v, "canary") {
		t.Errorf("without an environment: %q, %v", v, err)
	}
	if got, want := names(`, { env = [] }`), []string{"HOME", "PATH"}; !slices.Equal(got, want) {
		t.Errorf("none named: %q, want %q", got, want)
	}
}

// TestCommandFolder: a program is run in the folder of the policy file, and one
// that is named relative to it is found there.
func TestCommandFolder(t *testing.T) {
	tool := script(t, "pwd")
	s := NewSecrets([]string{"PATH=" + os.Getenv("PATH")})
	defer s.Close()
	c := command{words: "./tool\x00", dir: filepath.Dir(tool), timeout: defaultTimeout}
	got, err := c.run(t.Context(), s.environ(c))
	if real, _ := filepath.EvalSymlinks(filepath.Dir(tool)); got != real && got != filepath.Dir(tool) || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestC50WhatACommandSaid: of its messages the last is shown where a person
// mends it, without what may be secret, and not where the application sees it.
func TestC50WhatACommandSaid(t *testing.T) {
	for said, want := range map[string]string{
		"":                             "",
		"Error: permission denied\n\n": "Error: permission denied",
		"first\nsecond\n":              "second",
		"bad token hvs.CAESIJlWh0123456789abcdef for x": "bad token … for x",
		"key=sk_live_0123456789":                        "…",
		"Get \"https://vault.internal:8200/v1/secret\": dial tcp 10.0.0.7:8200: connection refused": "Get \"https://vault.internal:…\": dial tcp 10.0.0.7:8200: connection refused",
		"the value is hunter2 hunter2!": "the value is … …!",
		"a\x1b[31m red \u202e and \xff": "a.[31m red . and .",
		strings.Repeat("word ", 100):    strings.TrimSpace(strings.Repeat("word ", 40)),
	} {
		if got := strings.TrimSpace(harmless(said, "hunter2\n")); got != want {
			t.Errorf("%q is shown as %q, want %q", said, got, want)
		}
	}
	s := NewSecrets([]string{"PATH=" + os.Getenv("PATH")})
	defer s.Close()
	var told []Change
	s.Observe(func(c Change) { told = append(told, c) })
	ctx, sec := tokenOf(t, s, fmt.Sprintf(`command(%q, "x")`, script(t, "echo sk_live_canary_0123456789; echo 'permission denied for sk_live_canary_0123456789' >&2; exit 1")))
	diags := ctx.Resolve(t.Context())
	if len(diags) != 1 || diags[0].Severity != hcl.DiagWarning || !strings.Contains(diags[0].Detail, "it said: permission denied for …") || !strings.Contains(diags[0].Detail, "Run tool by hand") {
		t.Errorf("%s", all(diags))
	}
	_, err := sec.Reveal()
	if err == nil || strings.Contains(err.Error(), "denied") {
		t.Errorf("what the application is told: %v", err)
	}
	if len(told) != 1 || told[0].Kept || !strings.Contains(told[0].Err.Error(), "permission denied for …") || told[0].Ref != "[secret command:tool] at x.hcl:1" {
		t.Errorf("what the log is told: %+v", told)
	}
	if text := fmt.Sprint(all(diags), err, told); strings.Contains(text, "canary") {
		t.Errorf("the value is shown: %s", text)
	}
}
