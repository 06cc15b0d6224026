package block

import (
	"errors"
	"fmt"
	"strings"
)

// split cuts a command line into words as a POSIX shell does: at white space;
// what stands in single quotes is taken as it is; in double quotes a backslash
// makes a quote or a backslash of the next character; outside of quotes a
// backslash takes the next character as it is.
//
// There is no shell. What one would do something about is refused, unless it
// stands in single quotes: it would be a word like any other, and nobody means
// that.
func split(line string) (words []string, err error) {
	for i := 0; i < len(line); {
		if isSpace(line[i]) {
			i++
			continue
		}
		word, n, err := cutWord(line[i:])
		if err != nil {
			return nil, err
		}
		words = append(words, word)
		i += n
	}
	return words, nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// cutWord reads the word at the beginning of a text, and how long it is there.
func cutWord(s string) (word string, n int, err error) {
	if s[0] == '~' || s[0] == '#' {
		return "", 0, forShell(s[:1])
	}
	var b strings.Builder
	for n < len(s) && !isSpace(s[n]) {
		switch c := s[n]; {
		case c == '\'':
			end := strings.IndexByte(s[n+1:], '\'')
			if end < 0 {
				return "", 0, errQuote
			}
			b.WriteString(s[n+1 : n+1+end])
			n += end + 2
		case c == '"':
			inner, length, err := cutQuoted(s[n+1:])
			if err != nil {
				return "", 0, err
			}
			b.WriteString(inner)
			n += length + 2
		case c == '\\':
			if n+1 == len(s) {
				return "", 0, errors.New("it ends with a backslash")
			}
			b.WriteByte(s[n+1])
			n += 2
		case strings.IndexByte("|&;<>()`", c) >= 0, c == '$' && expands(s[n+1:]):
			return "", 0, forShell(s[n : n+1])
		default:
			b.WriteByte(c)
			n++
		}
	}
	return b.String(), n, nil
}

// cutQuoted reads what stands in double quotes, up to the closing one.
func cutQuoted(s string) (inner string, n int, err error) {
	var b strings.Builder
	for ; n < len(s); n++ {
		switch c := s[n]; {
		case c == '"':
			return b.String(), n, nil
		case c == '\\' && n+1 < len(s) && (s[n+1] == '"' || s[n+1] == '\\'):
			n++
			b.WriteByte(s[n])
		case c == '`', c == '$' && expands(s[n+1:]):
			return "", 0, forShell(s[n : n+1])
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, errQuote
}

// expands reports whether what follows a dollar makes a shell expand it.
func expands(s string) bool {
	return s != "" && (s[0] == '(' || s[0] == '{' || s[0] == '_' || 'a' <= s[0] && s[0] <= 'z' || 'A' <= s[0] && s[0] <= 'Z')
}

var errQuote = errors.New("a quote is not closed")

func forShell(what string) error {
	return fmt.Errorf("there is no shell that would do something about %s: put it into single quotes if it is a part of a word, or run a script", what)
}
