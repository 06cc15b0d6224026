package clientenv

import (
	"regexp"
	"strings"
)

// quoteSh writes for every POSIX shell: nothing is special between single quotes.
func quoteSh(value string) string {
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

// quoteFish: between single quotes only \\ and \' are escapes.
func quoteFish(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

// quotePowerShell doubles what PowerShell takes for a single quote, the typographic ones included.
func quotePowerShell(value string) string {
	double := strings.NewReplacer("'", "''", "\u2018", "\u2018\u2018", "\u2019", "\u2019\u2019",
		"\u201a", "\u201a\u201a", "\u201b", "\u201b\u201b")
	return "'" + double.Replace(value) + "'"
}

// escapeCmd writes what stands in a batch file between set "NAME= and the last quote. A percent sign is doubled; a
// quote within the value ends cmd's quoting, so from there the operators need a caret.
func escapeCmd(value string) (string, error) {
	var out strings.Builder
	quoted := true
	for _, c := range value {
		switch {
		case c == '%':
			out.WriteByte('%')
		case c == '"':
			quoted = !quoted
		case !quoted && strings.ContainsRune("^&|<>()", c):
			out.WriteByte('^')
		}
		out.WriteRune(c)
	}
	return out.String(), oneLine(value)
}

var dotenvPlain = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,-]*$`)

// quoteDotenv prefers single quotes, within which every reader of .env files takes all as it stands, line breaks
// too. A value that has one gets double quotes; the escapes in those Node's readers do not undo.
func quoteDotenv(value string) string {
	switch {
	case dotenvPlain.MatchString(value):
		return value
	case !strings.Contains(value, "'"):
		return "'" + value + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "\n", `\n`, "\r", `\r`).Replace(value) + `"`
}
