package clientenv

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Shells lists what Format can write.
func Shells() []string {
	return []string{"sh", "fish", "powershell", "cmd", "dotenv", "json", "docker", "k8s"}
}

// Format writes vars, one a line, for:
//
//	sh          eval "$(...)", in any POSIX shell
//	fish        ... | source
//	powershell  ... | Out-String | Invoke-Expression
//	cmd         a batch file, to be called
//	dotenv      a .env file
//	json        one object; null for a variable to be unset
//	docker      a file for docker run --env-file
//	k8s         the env of a container, in YAML
//
// It fails where the syntax cannot hold a value, or cannot unset a variable (dotenv, docker, k8s).
func Format(vars []Var, shell string) (string, error) {
	if !slices.Contains(Shells(), shell) {
		return "", fmt.Errorf("unknown format %q: known are %s", shell, strings.Join(Shells(), ", "))
	}
	var out strings.Builder
	if shell == "k8s" {
		out.WriteString("env:\n")
	}
	for i, v := range vars {
		line, err := formatVar(v, shell)
		if err != nil {
			return "", fmt.Errorf("write %s for %s: %w", v.Name, shell, err)
		}
		if shell == "json" && i > 0 {
			out.WriteString(",\n")
		}
		out.WriteString(line)
	}
	if shell == "json" {
		return "{\n" + out.String() + "\n}\n", nil
	}
	return out.String(), nil
}

func formatVar(v Var, shell string) (string, error) {
	if v.Unset {
		return formatUnset(v.Name, shell)
	}
	switch shell {
	case "sh":
		return "export " + v.Name + "=" + quoteSh(v.Value) + "\n", nil
	case "fish":
		return "set -gx " + v.Name + " " + quoteFish(v.Value) + "\n", nil
	case "powershell":
		return "$env:" + v.Name + " = " + quotePowerShell(v.Value) + "\n", nil
	case "cmd":
		value, err := escapeCmd(v.Value)
		return `set "` + v.Name + "=" + value + "\"\r\n", err
	case "dotenv":
		return v.Name + "=" + quoteDotenv(v.Value) + "\n", nil
	case "docker":
		return v.Name + "=" + v.Value + "\n", oneLine(v.Value)
	case "json":
		value, err := quoteJSON(v.Value)
		return `  "` + v.Name + `": ` + value, err
	default: // k8s, which expands $(NAME) and takes $$ for a dollar sign
		value, err := quoteJSON(strings.ReplaceAll(v.Value, "$", "$$"))
		return "- name: " + v.Name + "\n  value: " + value + "\n", err
	}
}

func formatUnset(name, shell string) (string, error) {
	switch shell {
	case "sh":
		return "unset " + name + "\n", nil
	case "fish":
		return "set -e " + name + "\n", nil
	case "powershell":
		return "Remove-Item Env:" + name + " -ErrorAction SilentlyContinue\n", nil
	case "cmd":
		return `set "` + name + "=\"\r\n", nil
	case "json":
		return `  "` + name + `": null`, nil
	}
	return "", errors.New("the format cannot unset a variable")
}

// oneLine refuses values that a format of plain lines would cut.
func oneLine(value string) error {
	if strings.ContainsAny(value, "\r\n") {
		return errors.New("the format cannot hold a line break")
	}
	return nil
}

// quoteJSON is right for YAML's double quotes too.
func quoteJSON(value string) (string, error) {
	if !utf8.ValidString(value) {
		return "", errors.New("the value is not UTF-8")
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return strings.TrimSuffix(out.String(), "\n"), err
}
