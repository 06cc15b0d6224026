package credential

import (
	"bytes"
	"encoding/base64"
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

// echo is what to look for in answers: the spellings of injected values.
type echo struct {
	values  []string
	forms   []string
	bytes   [][]byte // the same
	longest int
}

func newEcho(values []string) *echo {
	e := &echo{values: values}
	for _, v := range values {
		for _, f := range spellings(v) {
			if !slices.Contains(e.forms, f) {
				e.forms, e.bytes = append(e.forms, f), append(e.bytes, []byte(f))
				e.longest = max(e.longest, len(f))
			}
		}
	}
	return e
}

// mask replaces injected values that the provider echoes by asterisks of the
// same length, in headers and in bodies that are not compressed, also across
// the borders of reads.
func (e *echo) mask(resp *http.Response, x *policy.Exchange) {
	if len(e.forms) == 0 || resp.StatusCode == http.StatusSwitchingProtocols {
		return
	}
	for name, lines := range resp.Header {
		if !slices.ContainsFunc(lines, e.in) {
			continue
		}
		clean := make([]string, len(lines))
		for i, line := range lines {
			p := []byte(line)
			e.replace(p)
			clean[i] = string(p)
		}
		resp.Header[name] = clean
		noteEcho(x)
	}
	if enc := resp.Header.Get("Content-Encoding"); resp.Body != nil && resp.Body != http.NoBody && (enc == "" || strings.EqualFold(enc, "identity")) {
		resp.Body = &masked{src: resp.Body, echo: e, x: x}
	}
}

func noteEcho(x *policy.Exchange) {
	x.Note("credential", "masked", "the provider echoed an injected value")
}

// in reports whether s holds one of the forms.
func (e *echo) in(s string) bool {
	for _, f := range e.forms {
		if strings.Contains(s, f) {
			return true
		}
	}
	return false
}

// spellings are the ways in which a value may come back.
func spellings(v string) (forms []string) {
	if len(v) < shortest {
		return nil
	}
	quoted, _ := json.Marshal(v)
	for _, s := range []string{v, base64.StdEncoding.EncodeToString([]byte(v)), url.QueryEscape(v), url.PathEscape(v), string(quoted[1 : len(quoted)-1])} {
		if !slices.Contains(forms, s) {
			forms = append(forms, s)
		}
	}
	return forms
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

// masked is a body without the forms. It holds back only a tail that may be
// the beginning of one, so that streams flow.
type masked struct {
	src  io.ReadCloser
	echo *echo
	x    *policy.Exchange
	told bool

	buf  []byte // read, not yet given
	safe int    // so much of buf may be given
	err  error
}

func (m *masked) Read(p []byte) (int, error) {
	if m.safe == 0 && len(m.buf) == 0 && m.err == nil { // nothing is held: read straight into p
		n, err := m.src.Read(p)
		m.err = err
		if n > 0 {
			m.look(p[:n])
			if keep := m.tail(p[:n]); keep > 0 && err == nil {
				m.buf = append(m.buf, p[n-keep:n]...)
				n -= keep
			}
		}
		if n > 0 || err != nil {
			return n, m.ended()
		}
	}
	for m.safe == 0 && m.err == nil {
		if err := m.more(len(p)); err != nil {
			m.err = err
		}
	}
	if m.err != nil {
		m.safe = len(m.buf)
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

// more reads on behind what is held back.
func (m *masked) more(n int) error {
	at := len(m.buf)
	m.buf = append(m.buf, make([]byte, max(n, m.echo.longest))...)
	got, err := m.src.Read(m.buf[at:])
	m.buf = m.buf[:at+got]
	m.look(m.buf)
	m.safe = len(m.buf) - m.tail(m.buf)
	return err
}

func (m *masked) look(p []byte) {
	if m.echo.replace(p) && !m.told {
		m.told = true
		noteEcho(m.x)
	}
}

// tail is the length of the longest end of p that is the beginning of a form.
func (m *masked) tail(p []byte) int {
	longest := 0
	for _, f := range m.echo.forms {
		for n := min(len(f)-1, len(p)); n > longest; n-- {
			if f[:n] == string(p[len(p)-n:]) {
				longest = n
				break
			}
		}
	}
	return longest
}

func (m *masked) Close() error { return m.src.Close() }
