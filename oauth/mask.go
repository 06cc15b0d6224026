package oauth

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

const (
	maxDescription = 300 // runes
	maxCodeText    = 64  // bytes
	redacted       = "[redacted]"
)

// A mask knows the secrets of one request. What a server or a transport writes
// may repeat them.
type mask struct{ forms []string }

// hide adds secrets, in every form in which they may come back.
func (m *mask) hide(values ...string) {
	for _, v := range values {
		if v == "" {
			continue
		}
		quoted, _ := json.Marshal(v)
		raw := []byte(v)
		m.forms = append(m.forms, v, url.QueryEscape(v), url.PathEscape(v), strings.Trim(string(quoted), `"`), hex.EncodeToString(raw),
			base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw))
	}
	slices.SortFunc(m.forms, func(a, b string) int { return len(b) - len(a) }) // the longest first: a short one may be part of it
	m.forms = slices.Compact(m.forms)
}

// text takes the secrets out. Where one only shows once the text is decoded,
// nothing of the text stays.
func (m *mask) text(s string) string {
	if len(m.forms) == 0 {
		return s
	}
	pairs := make([]string, 0, 2*len(m.forms))
	for _, form := range m.forms {
		pairs = append(pairs, form, redacted)
	}
	s = strings.NewReplacer(pairs...).Replace(s) // in one pass: what is put in is not searched
	decoded, err := url.PathUnescape(s)
	if err == nil && decoded != s && slices.ContainsFunc(m.forms, func(form string) bool { return strings.Contains(decoded, form) }) {
		return redacted
	}
	return s
}

// clean makes a server's text fit for a log line: without secrets, on one line,
// without what turns or hides text, and short.
func (m *mask) clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, m.text(s))
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > maxDescription {
		s = string(runes[:maxDescription]) + "…"
	}
	return s
}

// cleanCode keeps what RFC 6749 §5.2 allows in an error code. One that is not a
// word is not shown.
func cleanCode(m *mask, s string) string {
	if _, known := codes[s]; known || slices.Contains(gone, s) {
		return s
	}
	s = m.text(s)
	if len(s) > maxCodeText || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		return "unreadable"
	}
	return s
}

// wrap hides the secrets in the text of an error. Whoever asks with errors.Is or
// errors.As still finds what is inside; nobody who prints it finds a URL, which
// may hold a token, or a secret.
func (m *mask) wrap(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return &masked{text: m.clean(u.Err.Error()), err: u.Err}
	}
	return &masked{text: m.clean(err.Error()), err: err}
}

type masked struct {
	text string
	err  error
}

func (e *masked) Error() string        { return e.text }
func (e *masked) Is(target error) bool { return errors.Is(e.err, target) }
func (e *masked) As(target any) bool   { return errors.As(e.err, target) }

// What holds secrets says so, whatever the verb.

// Format prints [redacted].
func (Token) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue is [redacted].
func (Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints the client's id.
func (c Client) Format(f fmt.State, _ rune) { io.WriteString(f, "client "+c.ID) }

// LogValue is the client's id.
func (c Client) LogValue() slog.Value { return slog.StringValue("client " + c.ID) }

// Format prints the account's address.
func (a ServiceAccount) Format(f fmt.State, _ rune) { io.WriteString(f, "service account "+a.Email) }

// LogValue is the account's address.
func (a ServiceAccount) LogValue() slog.Value { return slog.StringValue("service account " + a.Email) }
