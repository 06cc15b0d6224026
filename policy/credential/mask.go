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

// mask replaces injected values that the provider echoes by asterisks of the
// same length, in headers and in bodies that are not compressed, also across
// the borders of reads.
func mask(resp *http.Response, x *policy.Exchange, values []string) {
	var forms [][]byte
	for _, v := range values {
		forms = append(forms, spellings(v)...)
	}
	if len(forms) == 0 || resp.StatusCode == http.StatusSwitchingProtocols {
		return
	}
	hit := func() { x.Note("credential", "masked", "the provider echoed an injected value") }
	for name, lines := range resp.Header {
		for i, line := range lines {
			if masked := []byte(line); replace(masked, forms) {
				resp.Header[name] = slices.Clone(lines)
				resp.Header[name][i] = string(masked)
				lines = resp.Header[name]
				hit()
			}
		}
	}
	if e := resp.Header.Get("Content-Encoding"); resp.Body != nil && resp.Body != http.NoBody && (e == "" || strings.EqualFold(e, "identity")) {
		longest := 0
		for _, f := range forms {
			longest = max(longest, len(f))
		}
		resp.Body = &masked{src: resp.Body, forms: forms, longest: longest, hit: hit}
	}
}

// spellings are the ways in which a value may come back.
func spellings(v string) (forms [][]byte) {
	if len(v) < shortest {
		return nil
	}
	quoted, _ := json.Marshal(v)
	for _, s := range []string{v, base64.StdEncoding.EncodeToString([]byte(v)), url.QueryEscape(v), url.PathEscape(v), string(quoted[1 : len(quoted)-1])} {
		if !slices.ContainsFunc(forms, func(f []byte) bool { return string(f) == s }) {
			forms = append(forms, []byte(s))
		}
	}
	return forms
}

// replace overwrites every occurrence in p.
func replace(p []byte, forms [][]byte) (found bool) {
	for _, f := range forms {
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
	src     io.ReadCloser
	forms   [][]byte
	longest int
	hit     func()
	told    bool

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
	m.buf = append(m.buf, make([]byte, max(n, m.longest))...)
	got, err := m.src.Read(m.buf[at:])
	m.buf = m.buf[:at+got]
	m.look(m.buf)
	m.safe = len(m.buf) - m.tail(m.buf)
	return err
}

func (m *masked) look(p []byte) {
	if replace(p, m.forms) && !m.told {
		m.told = true
		m.hit()
	}
}

// tail is the length of the longest end of p that is the beginning of a form.
func (m *masked) tail(p []byte) int {
	longest := 0
	for _, f := range m.forms {
		for n := min(len(f)-1, len(p)); n > longest; n-- {
			if bytes.HasPrefix(f, p[len(p)-n:]) {
				longest = n
				break
			}
		}
	}
	return longest
}

func (m *masked) Close() error { return m.src.Close() }
