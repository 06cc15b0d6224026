package credential

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-proxy/postern/policy"
)

// shortest is the length below which a value is not looked for: it would be
// found by chance.
const shortest = 8

// echo is what to look for in answers: the ways in which injected values may
// come back, the longest first.
type echo struct {
	forms []string
	bytes [][]byte // the same
}

func newEcho(values []string) *echo {
	e := new(echo)
	for _, v := range values {
		if len(v) < shortest {
			continue
		}
		e.add(v)
		e.add(hex.EncodeToString([]byte(v)))
		for _, coded := range []string{url.QueryEscape(v), url.PathEscape(v)} {
			e.add(coded)
			e.add(lowerEscapes(coded))
		}
		for _, text := range inJSON(v) {
			e.add(text)
			for _, twice := range inJSON(text) { // a JSON body that is repeated in a JSON message
				e.add(twice)
			}
		}
		for _, run := range strings.FieldsFunc(v, rewritten) {
			if len(run) >= 2*shortest { // long enough to be the secret, whatever became of the rest
				e.add(run)
			}
		}
		e.add64(base64.RawStdEncoding.EncodeToString([]byte(v)))
		for offset := range 3 {
			e.add64(base64Core(v, offset))
		}
	}
	slices.SortStableFunc(e.forms, func(a, b string) int { return len(b) - len(a) })
	for _, f := range e.forms {
		e.bytes = append(e.bytes, []byte(f))
	}
	return e
}

// rewritten reports whether c is written in many ways: encoded, escaped,
// replaced by a dot or a question mark.
func rewritten(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~')
}

func (e *echo) add(s string) {
	if len(s) >= shortest && !slices.Contains(e.forms, s) {
		e.forms = append(e.forms, s)
	}
}

// add64 adds a Base64 text in both alphabets (RFC 4648 §4, 5).
func (e *echo) add64(s string) {
	e.add(s)
	e.add(strings.NewReplacer("+", "-", "/", "_").Replace(s))
}

// base64Core is what v always looks like in Base64 when it begins offset bytes
// (mod 3) after the beginning of what is encoded: without the characters that
// depend on its neighbours.
func base64Core(v string, offset int) string {
	coded := base64.RawStdEncoding.EncodeToString(append(make([]byte, offset, offset+len(v)), v...))
	return coded[(offset*8+5)/6 : (offset+len(v))*8/6]
}

// lowerEscapes writes %2f for %2F.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// inJSON are the ways to write v inside a JSON string: with and without the
// escapes for HTML, and with that of the slash.
func inJSON(v string) []string {
	html, _ := json.Marshal(v) // a string has no failure
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
	bare := strings.TrimSuffix(b.String(), "\n")
	bare = bare[1 : len(bare)-1]
	return []string{string(html[1 : len(html)-1]), bare, strings.ReplaceAll(bare, "/", `\/`)}
}

// mask replaces injected values that the provider echoes by asterisks of the
// same length: in headers, in bodies that are not compressed, also across the
// borders of reads, in trailers, and in what the stages below took from them.
func (e *echo) mask(resp *http.Response, x *policy.Exchange) {
	if len(e.forms) == 0 {
		return
	}
	m := &masked{src: resp.Body, echo: e, resp: resp, x: x}
	m.fields(resp.Header)
	for _, s := range []*string{&x.ProviderCode, &x.ProviderMessage, &x.ProviderRequestID} {
		if e.in(*s) {
			*s = e.clean(*s)
			m.tell()
		}
	}
	coding := resp.Header.Get("Content-Encoding")
	if resp.StatusCode != http.StatusSwitchingProtocols && resp.Body != nil && resp.Body != http.NoBody && (coding == "" || strings.EqualFold(coding, "identity")) {
		resp.Body = m
	}
}

// in reports whether s holds one of the forms.
func (e *echo) in(s string) bool {
	if len(s) < shortest {
		return false
	}
	for _, f := range e.forms {
		if strings.Contains(s, f) {
			return true
		}
	}
	return false
}

// clean is s without the forms.
func (e *echo) clean(s string) string {
	p := []byte(s)
	e.replace(p)
	return string(p)
}

// replace overwrites every occurrence in p.
func (e *echo) replace(p []byte) (found bool) {
	for _, f := range e.bytes {
		for at := 0; ; {
			i := bytes.Index(p[at:], f)
			if i < 0 {
				break
			}
			for j := range f {
				p[at+i+j] = '*'
			}
			at += i + len(f)
			found = true
		}
	}
	return found
}

// fields masks the values of headers or trailers.
func (e *echo) fields(h http.Header) (found bool) {
	for name, lines := range h {
		if !slices.ContainsFunc(lines, e.in) {
			continue
		}
		clean := make([]string, len(lines))
		for i, line := range lines {
			clean[i] = e.clean(line)
		}
		h[name], found = clean, true
	}
	return found
}

// masked is a body without the forms. It holds back only a tail that may be
// the beginning of one, so that streams flow.
type masked struct {
	src  io.ReadCloser
	echo *echo
	resp *http.Response
	x    *policy.Exchange
	told bool

	buf  []byte // read, not yet given
	safe int    // so much of buf may be given
	err  error
}

func (m *masked) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if m.safe == 0 && len(m.buf) == 0 && m.err == nil { // nothing is held: read straight into p
		n, err := m.read(p)
		if n > 0 {
			m.look(p[:n])
			if keep := m.tail(p[:n]); keep > 0 && err != io.EOF {
				m.buf = append(m.buf, p[n-keep:n]...)
				n -= keep
			}
		}
		if n > 0 || err != nil {
			return n, m.ended()
		}
	}
	for m.safe == 0 && m.err == nil {
		m.more(len(p))
	}
	switch {
	case m.err == io.EOF:
		m.safe = len(m.buf)
	case m.err != nil && m.safe == 0: // the beginning of a form, cut off: its rest was on the way
		m.buf = nil
	}
	n := copy(p, m.buf[:m.safe])
	m.buf, m.safe = m.buf[n:], m.safe-n
	return n, m.ended()
}

// ended is the error of the source once all was given.
func (m *masked) ended() error {
	if len(m.buf) == 0 {
		return m.err
	}
	return nil
}

// read reads the source. The trailers are there when it ends.
func (m *masked) read(p []byte) (n int, err error) {
	n, err = m.src.Read(p)
	if m.err = err; err == io.EOF {
		m.fields(m.resp.Trailer)
	}
	return n, err
}

// more reads on behind what is held back.
func (m *masked) more(n int) {
	at := len(m.buf)
	m.buf = append(m.buf, make([]byte, max(n, len(m.echo.forms[0])))...)
	got, _ := m.read(m.buf[at:])
	m.buf = m.buf[:at+got]
	m.look(m.buf)
	m.safe = len(m.buf) - m.tail(m.buf)
}

func (m *masked) look(p []byte) {
	if m.echo.replace(p) {
		m.tell()
	}
}

// fields masks the values of headers or trailers, and notes a hit.
func (m *masked) fields(h http.Header) {
	if m.echo.fields(h) {
		m.tell()
	}
}

// tell notes the first hit of an answer.
func (m *masked) tell() {
	if !m.told {
		m.told = true
		m.x.Note("credential", "masked", "the provider echoed an injected value")
	}
}

// tail is the length of the longest end of p that is the beginning of a form.
func (m *masked) tail(p []byte) int {
	longest := 0
	for _, f := range m.echo.bytes {
		for n := min(len(f)-1, len(p)); n > longest; n-- {
			if p[len(p)-n] == f[0] && bytes.HasPrefix(f, p[len(p)-n:]) {
				longest = n
				break
			}
		}
	}
	return longest
}

func (m *masked) Close() error { return m.src.Close() }
