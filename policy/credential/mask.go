package credential

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"

	"github.com/postern-proxy/postern/policy"
)

// masking returns what takes the values of e out of the answer to one attempt: an
// application, and whoever reads its logs, must not learn them by what the
// provider repeats (pitfall P43, claim C54). listen is for the request, take for
// the answer. Values are replaced by asterisks of the same length in headers, also
// of informational responses, in the body, also across the borders of reads, in
// trailers, and in what the stages below took from them. Compressed bodies are
// held back for that: see packed.go. Echoed is told of every answer with a hit.
// Where there is nothing to look for it is nil, which does nothing.
func (l *Live) masking(x *policy.Exchange, e *echo) *masked {
	if len(e.forms) == 0 {
		return nil
	}
	m := &masked{echo: e, x: x, tell: l.Echoed, endpoint: x.Endpoint}
	if x.Plan != nil {
		m.provider = x.Plan.Provider
	}
	return m
}

// masked is an answer without injected values. As a body it holds back only what
// may be the beginning of one, so that streams flow.
type masked struct {
	echo *echo
	x    *policy.Exchange
	resp *http.Response
	src  io.ReadCloser
	raw  bool // src is passed on as it is

	tell               func(provider, endpoint string, masked bool)
	provider, endpoint string
	told               atomic.Bool
	noted              bool

	buf  []byte // read, not yet given
	safe int    // so much of buf may be given
	err  error

	trace httptrace.ClientTrace // of what comes before the answer: see hints.go
	ctx   listening
}

// take masks what there is of an answer, and the rest as it is read.
func (m *masked) take(resp *http.Response) {
	if m == nil {
		return
	}
	m.resp, m.src = resp, resp.Body
	m.fields(resp.Header)
	for _, s := range []*string{&m.x.ProviderCode, &m.x.ProviderMessage, &m.x.ProviderRequestID} {
		if text, found := m.echo.clean(*s); found {
			*s = text
			m.hit()
		}
	}
	if resp.StatusCode == http.StatusSwitchingProtocols || resp.Body == nil || resp.Body == http.NoBody {
		return
	}
	switch codings := resp.Header["Content-Encoding"]; {
	case len(codings) == 0, len(codings) == 1 && (codings[0] == "" || strings.EqualFold(codings[0], "identity")):
	case len(codings) == 1:
		m.raw = true
		m.unpack(strings.ToLower(codings[0]))
	default:
		m.raw = true
	}
	resp.Body = m
}

// hit raises the alarm for something that was masked, and notes it. It is called
// by the goroutine that has the exchange.
func (m *masked) hit() {
	m.alarm(true)
	if !m.noted {
		m.noted = true
		m.x.Note("credential", "masked", "the provider echoed an injected value")
	}
}

// alarm tells of the first hit of an answer.
func (m *masked) alarm(masked bool) {
	if m.told.CompareAndSwap(false, true) && m.tell != nil {
		m.tell(m.provider, m.endpoint, masked)
	}
}

// fields masks the values of headers or trailers.
func (m *masked) fields(h http.Header) {
	if m.echo.fields(h) {
		m.hit()
	}
}

func (m *masked) Read(p []byte) (int, error) {
	if m.raw {
		return m.read(p)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if m.safe == 0 && len(m.buf) == 0 && m.err == nil { // nothing is held: read straight into p
		n, err := m.read(p)
		if n > 0 {
			m.look(p[:n])
			if keep := m.echo.tail(p[:n]); keep > 0 && err != io.EOF {
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
	m.safe = len(m.buf) - m.echo.tail(m.buf)
}

func (m *masked) look(p []byte) {
	if m.echo.replace(p) {
		m.hit()
	}
}

func (m *masked) Close() error { return m.src.Close() }
