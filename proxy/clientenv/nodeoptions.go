package clientenv

import "strings"

// joinRequire appends "--require path" to a NODE_OPTIONS that does not have it.
func joinRequire(options, path string) string {
	if withoutRequire(options, path) != strings.Join(nodeWords(options), " ") {
		return options
	}
	word := path
	if strings.ContainsAny(path, ` "`) {
		word = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
	}
	return strings.TrimLeft(options+" --require "+word, " ")
}

// withoutRequire removes every "--require path", however it is written.
func withoutRequire(options, path string) string {
	var kept []string
	words := nodeWords(options)
	for i := 0; i < len(words); i++ {
		flag, value, joined := strings.Cut(plainWord(words[i]), "=")
		if flag == "--require" || flag == "-r" {
			if joined && value == path {
				continue
			}
			if !joined && i+1 < len(words) && plainWord(words[i+1]) == path {
				i++
				continue
			}
		}
		kept = append(kept, words[i])
	}
	return strings.Join(kept, " ")
}

// nodeWords splits as Node does (ParseNodeOptionsEnvVar in node_options.cc): at spaces outside double quotes; a
// backslash escapes inside them only. Words keep their quotes.
func nodeWords(options string) []string {
	var words []string
	var word strings.Builder
	quoted, escaped := false, false
	for _, c := range []byte(options) {
		if c == ' ' && !quoted {
			if word.Len() > 0 {
				words = append(words, word.String())
				word.Reset()
			}
			continue
		}
		if c == '"' && !escaped {
			quoted = !quoted
		}
		escaped = c == '\\' && quoted && !escaped
		word.WriteByte(c)
	}
	if word.Len() > 0 {
		words = append(words, word.String())
	}
	return words
}

// plainWord takes the quotes and escapes out of one word.
func plainWord(word string) string {
	var plain strings.Builder
	quoted, escaped := false, false
	for _, c := range []byte(word) {
		switch {
		case escaped:
			escaped = false
		case c == '\\' && quoted:
			escaped = true
			continue
		case c == '"':
			quoted = !quoted
			continue
		}
		plain.WriteByte(c)
	}
	return plain.String()
}
