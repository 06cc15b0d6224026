package telemetry

import "strings"

// sensitive reports whether what goes by this name is a secret: a header, a
// query parameter, a field or a key of a log line.
func sensitive(name string) bool {
	short := make([]byte, 0, 32)
	for _, c := range []byte(name) {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != '-' && c != '_' {
			short = append(short, c)
		}
	}
	bare := string(short)
	switch bare {
	case "auth", "pass", "pwd", "key", "sig", "signature", "otp", "jwt", "assertion", "sessionid":
		return true
	}
	for i := range len(bare) {
		if beginsSensitive(bare[i:]) {
			return true
		}
	}
	return false
}

// beginsSensitive reports words that make a name sensitive wherever they stand.
func beginsSensitive(s string) bool {
	switch s[0] {
	case 'a':
		return hasPrefix(s, "authorization", "apikey", "accesskey")
	case 'c':
		return hasPrefix(s, "cookie", "credential")
	case 'p':
		return hasPrefix(s, "password", "passwd", "passphrase", "privatekey")
	case 's':
		return hasPrefix(s, "secret", "signingkey")
	case 't':
		return hasPrefix(s, "token")
	}
	return false
}

func hasPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// maskNamed masks what stands behind a sensitive name: "name=value" as in
// queries, "Name: value" as in headers, "name":"value" as in JSON, and the
// password of a URL.
func maskNamed(s string) string {
	var spans []span
	for i := 0; i < len(s); i++ {
		var sp span
		switch s[i] {
		case '=':
			if isNamed(s, i, false) {
				sp = assigned(s, i+1)
			}
		case ':':
			sp = field(s, i)
		}
		if sp.to > sp.from && s[sp.from:sp.to] != mask {
			spans = append(spans, sp)
			i = sp.to - 1
		}
	}
	if spans == nil {
		return s
	}
	return cut(s, spans)
}

// named returns sp if what stands there is named by the name that ends at end.
func named(s string, end int, sp span) span {
	if !isNamed(s, end, false) {
		return span{}
	}
	return sp
}

// isNamed reports whether the name that ends at end is sensitive; in prose, only
// that of a header is.
func isNamed(s string, end int, prose bool) bool {
	from := end
	for from > 0 && isName(s[from-1]) {
		from--
	}
	name := s[from:end]
	return name != "" && (!prose || isHeader(name)) && sensitive(name)
}

// assigned is the value that begins at from, perhaps in quotes.
func assigned(s string, from int) span {
	if from < len(s) && (s[from] == '\'' || s[from] == '"') {
		return span{from + 1, closing(s, from+1, s[from:from+1])}
	}
	return span{from, endOf(s, from, "&;, \t\r\n\"'`<>)]}")}
}

// isHeader tells "X-Api-Key: ..." from a sentence with a colon.
func isHeader(name string) bool {
	return strings.Contains(name, "-") || strings.EqualFold(name, "authorization") || strings.EqualFold(name, "cookie")
}

// field reads what follows the colon at i.
func field(s string, i int) span {
	if strings.HasPrefix(s[i:], "://") {
		return userinfo(s, i+3)
	}
	v := i + 1
	for v < len(s) && s[v] == ' ' {
		v++
	}
	if i > 0 && s[i-1] == '"' { // JSON, perhaps quoted once more
		slashes := 0
		for i-1-slashes > 0 && s[i-2-slashes] == '\\' {
			slashes++
		}
		quote := s[i-1-slashes : i]
		if !strings.HasPrefix(s[v:], quote) {
			return named(s, i-len(quote), span{v, endOf(s, v, ",}] \t\r\n")})
		}
		v += len(quote)
		return named(s, i-len(quote), span{v, closing(s, v, quote)})
	}
	if !isNamed(s, i, true) {
		return span{}
	}
	if v < len(s) && s[v] == '[' { // a printed map of headers
		return span{v + 1, endOf(s, v+1, "]\r\n")}
	}
	return span{v, endOf(s, v, "\r\n\"")}
}

// closing is where the next quote stands that is escaped as often as the first.
func closing(s string, from int, quote string) int {
	for i := from; i < len(s); i++ {
		n := strings.Index(s[i:], quote)
		if n < 0 {
			break
		}
		i += n
		if i == from || s[i-1] != '\\' {
			return i
		}
	}
	return len(s)
}

// userinfo is the password in the URL whose authority begins at from.
func userinfo(s string, from int) span {
	end := endOf(s, from, "/?# \t\r\n\"'")
	at := strings.LastIndexByte(s[from:end], '@')
	colon := strings.IndexByte(s[from:end], ':')
	if at < 0 || colon < 0 || colon > at {
		return span{}
	}
	return span{from + colon + 1, from + at}
}

func endOf(s string, from int, stops string) int {
	if n := strings.IndexAny(s[from:], stops); n >= 0 {
		return from + n
	}
	return len(s)
}

func isName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}
