package retry

import (
	"bytes"
	"io"
	"net/http"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// How much of an answer is kept in memory while another attempt is made, in
// case that one cannot be, and how long may be waited for it. What is longer
// keeps its connection, and its place under limits, for which the next attempt may
// have to wait.
const (
	keepLimit = policy.PeekLimit
	keepTime  = time.Second
)

// result is what became of the last attempt that was sent: it is the answer of
// the call if the next attempt is refused by a stage below.
type result struct {
	resp    *http.Response
	err     error
	now     policy.Attempt
	outcome policy.Outcome
	hint    string

	code, message, requestID string
}

func resultOf(x *policy.Exchange, resp *http.Response, err error) result {
	return result{resp, err, x.Now, x.Outcome, x.Hint, x.ProviderCode, x.ProviderMessage, x.ProviderRequestID}
}

// effect reports whether the attempt may have had one.
func (r *result) effect() bool { return r.now.Alone() != policy.No }

// keep reads a short answer into memory, so that its connection is free for
// the next attempt. The rest of a longer one is left where it is.
func (r *result) keep(x *policy.Exchange) {
	if r.resp == nil {
		return
	}
	body, most := r.resp.Body, keepTime
	if !x.Total.IsZero() {
		most = min(most, time.Until(x.Total))
	}
	late := time.AfterFunc(most, func() { body.Close() })
	head, err := io.ReadAll(io.LimitReader(body, keepLimit))
	late.Stop()
	rest := io.Reader(body)
	switch {
	case err != nil:
		rest = broken{err} // never a whole answer
	case len(head) < keepLimit:
		body.Close()
		rest = http.NoBody
	}
	r.resp.Body = &kept{io.MultiReader(bytes.NewReader(head), rest), body}
}

// kept is the body of an answer that was read ahead.
type kept struct {
	io.Reader
	io.Closer
}

// broken is the end of a body that could not be read.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// drop gives an answer up.
func (r *result) drop() {
	if r.resp != nil {
		r.resp.Body.Close()
	}
}

// restore makes r the result of the call.
func (r *result) restore(x *policy.Exchange) (*http.Response, error) {
	x.Now, x.Outcome, x.Hint, x.Response = r.now, r.outcome, r.hint, r.resp
	x.ProviderCode, x.ProviderMessage, x.ProviderRequestID = r.code, r.message, r.requestID
	return r.resp, r.err
}
