package clientenv

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// awkward are values that a careless quoting loses.
func awkward() []string {
	return []string{
		"plain", "", "two words", "it's", `"quoted"`, `both ' and "`, "$HOME ${HOME} $(id) `id`", "%PATH% %41 100%",
		`back\slash\`, `\n is not a newline`, "line\nbreak\n", "tab\there", "# no comment", "a;b|c&d<e>f(g)h", "*?[x]{y}~!^",
		" spaces around ", "ünï‘cödé’", "a=b", "-n",
	}
}

func asVars(values []string) []Var {
	var list []Var
	for i, value := range values {
		list = append(list, Var{Name: "POSTERN_TEST_" + string(rune('A'+i)), Value: value})
	}
	return list
}

// printer is a command that prints the named variables of its environment as a JSON array.
func printer(t *testing.T, list []Var) string {
	t.Helper()
	python := tool(t, "python3")
	script := writeTemp(t, "print.py", "import json, os, sys\nprint(json.dumps([os.environ.get(n) for n in sys.argv[1:]]))\n")
	return quoteSh(python) + " " + quoteSh(script) + " " + strings.Join(names(list), " ")
}

func wantValues(t *testing.T, stdout string, want []Var) {
	t.Helper()
	var got []*string
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || len(got) != len(want) {
		t.Fatalf("got %q: %v", stdout, err)
	}
	for i, v := range want {
		switch {
		case v.Unset && got[i] != nil:
			t.Errorf("%s is set to %q", v.Name, *got[i])
		case !v.Unset && (got[i] == nil || *got[i] != v.Value):
			t.Errorf("%s: got %v, want %q", v.Name, got[i], v.Value)
		}
	}
}

// TestFormatShells lets real shells read what is written for them, by the idiom that Format documents.
func TestFormatShells(t *testing.T) {
	const eval = `eval "$(cat "$0")"; `
	for _, c := range []struct{ format, shell, idiom string }{
		{"sh", "sh", eval},
		{"sh", "dash", eval},
		{"sh", "bash", eval},
		{"sh", "zsh", eval},
		{"sh", "busybox", eval},
		{"fish", "fish", `cat $argv[1] | source; `},
		{"powershell", "pwsh", `cat $args[0] | Out-String | Invoke-Expression; & `},
	} {
		t.Run(c.shell, func(t *testing.T) {
			args := []string{tool(t, c.shell)}
			if c.shell == "busybox" {
				args = append(args, "sh")
			}
			for _, list := range [][]Var{asVars(awkward()), {{Name: "POSTERN_TEST_A", Unset: true}}} {
				text, err := Format(list, c.format)
				if err != nil {
					t.Fatal(err)
				}
				script := writeTemp(t, "vars", text)
				words := slices.Concat(args, []string{"-c", c.idiom + printer(t, list), script})
				cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
				cmd.Env = append(bare(t), "POSTERN_TEST_A=before")
				stdout, _ := output(t, cmd)
				wantValues(t, stdout, list)
			}
		})
	}
}

// TestFormatDotenv lets Node's own reader judge, which knows no escaped quotes.
func TestFormatDotenv(t *testing.T) {
	path := tool(t, "node")
	list := asVars(slices.DeleteFunc(awkward(), func(value string) bool { return strings.Contains(value, "'") }))
	text, err := Format(list, "dotenv")
	if err != nil {
		t.Fatal(err)
	}
	script := `console.log(JSON.stringify(process.argv.slice(1).map((n) => process.env[n] ?? null)))`
	cmd := exec.CommandContext(t.Context(), path, append([]string{"--env-file=" + writeTemp(t, ".env", text), "-e", script, "--"}, names(list)...)...)
	cmd.Env = bare(t)
	stdout, _ := output(t, cmd)
	wantValues(t, stdout, list)
}

func TestFormatJSON(t *testing.T) {
	list := append(asVars(awkward()), Var{Name: "GONE", Unset: true})
	text, err := Format(list, "json")
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]*string
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for _, v := range list {
		if g := got[v.Name]; v.Unset != (g == nil) || g != nil && *g != v.Value {
			t.Errorf("%s: got %v, want %q", v.Name, g, v.Value)
		}
	}
}

// Kubernetes undoes YAML, then $$ (k8s.io/kubernetes third_party/forked/golang/expansion).
func TestFormatK8s(t *testing.T) {
	ruby := tool(t, "ruby")
	list := asVars(awkward())
	text, err := Format(list, "k8s")
	if err != nil {
		t.Fatal(err)
	}
	const program = `require "yaml"; require "json"; puts YAML.load(STDIN.read)["env"].map { |v| v["value"] }.to_json`
	cmd := exec.CommandContext(t.Context(), ruby, "-e", program)
	cmd.Stdin = strings.NewReader(text)
	stdout, _ := output(t, cmd)
	var got []string
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || len(got) != len(list) {
		t.Fatalf("got %q: %v", stdout, err)
	}
	for i, v := range list {
		if undone := strings.ReplaceAll(got[i], "$$", "$"); undone != v.Value || strings.Contains(strings.ReplaceAll(got[i], "$$", ""), "$") {
			t.Errorf("got %q, want %q", got[i], v.Value)
		}
	}
}

func TestFormatText(t *testing.T) {
	for _, c := range []struct{ format, value, want string }{
		{"sh", "it's", `export N='it'\''s'` + "\n"},
		{"fish", `it's \`, `set -gx N 'it\'s \\'` + "\n"},
		{"powershell", "it's ‘so’ $x", "$env:N = 'it''s ‘‘so’’ $x'\n"},
		{"cmd", `--require "C:\a b\hook.cjs"`, `set "N=--require "C:\a b\hook.cjs""` + "\r\n"},
		{"cmd", `100% a&b "c&d"`, `set "N=100%% a&b "c^&d""` + "\r\n"},
		{"dotenv", "http://a:b@c:1", "N=http://a:b@c:1\n"},
		{"dotenv", `a "b" $c`, `N='a "b" $c'` + "\n"},
		{"dotenv", "it's \"a\" $b\n", `N="it's \"a\" \$b\n"` + "\n"},
		{"docker", `a "b" 'c' $d`, `N=a "b" 'c' $d` + "\n"},
		{"json", `<a&b>`, "{\n  \"N\": \"<a&b>\"\n}\n"},
		{"k8s", "$(HOME)", "env:\n- name: N\n  value: \"$$(HOME)\"\n"},
	} {
		if got, err := Format([]Var{{Name: "N", Value: c.value}}, c.format); err != nil || got != c.want {
			t.Errorf("%s: got %q, %v; want %q", c.format, got, err, c.want)
		}
	}
}

func TestFormatRefusals(t *testing.T) {
	gone := Var{Name: "N", Unset: true}
	for _, c := range []struct {
		v            Var
		format, want string
	}{
		{Var{Name: "N", Value: "a\nsecret"}, "docker", "line break"},
		{Var{Name: "N", Value: "a\r"}, "cmd", "line break"},
		{Var{Name: "N", Value: "\xff"}, "json", "UTF-8"},
		{Var{Name: "N", Value: "\xff"}, "k8s", "UTF-8"},
		{gone, "docker", "unset"},
		{gone, "dotenv", "unset"},
		{gone, "k8s", "unset"},
		{gone, "tcsh", "known are sh, fish"},
	} {
		text, err := Format([]Var{c.v}, c.format)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") || text != "" {
			t.Errorf("%s: got %q, %v; want %q", c.format, text, err, c.want)
		}
	}
	for _, format := range Shells() {
		if _, err := Format(vars(t, Options{}), format); err != nil {
			t.Errorf("%s: %v", format, err)
		}
	}
}

func TestFormatIntoTheEnvironment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `it's a "$dir"`)
	list := vars(t, Options{TrustDir: dir})
	text, err := Format(list, "sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tool(t, "sh"), "-c", `eval "$0"; printf %s "$NODE_EXTRA_CA_CERTS"`, text)
	cmd.Env = os.Environ()
	if stdout, _ := output(t, cmd); stdout != filepath.Join(dir, CAFile) {
		t.Errorf("got %q", stdout)
	}
}
