package retry

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/postern-proxy/postern/policy"
)

// keepLimit is how much of an answer is kept while another attempt is made, in
// case that one cannot be.
const keepLimit = 64 << 10

// result is what became of the last attempt that was sent: it is the answer of
// the call if the next attempt is refused by a stage below.
type result struct {
	resp     *http.Response
	err      error
	now      policy.Attempt
	outcome  policy.Outcome
	hint     string
	possibly bool // an attempt so far may have had an effect
}

// then follows r with the next attempt's result. That an earlier attempt may
// have had an effect stays true of the call.
func (r result) then(x *policy.Exchange, resp *http.Response, err error) result {
	next := result{resp: resp, err: err, now: x.Now, outcome: x.Outcome, hint: x.Hint}
	next.possibly = r.possibly || x.Now.Executed() != policy.No && x.Outcome != policy.RateLimited
	var d *policy.Denial
	if r.possibly && errors.As(err, &d) && d.Executed == policy.No {
		d.Executed = policy.Maybe
	}
	return next
}

// keep reads a short answer into memory, so that its connection is free for
// the next attempt; a long one is given up.
func (r *result) keep() {
	if r.resp == nil {
		return
	}
	var body []byte
	if r.resp.ContentLength <= keepLimit {
		body, _ = io.ReadAll(io.LimitReader(r.resp.Body, keepLimit+1))
	}
	r.resp.Body.Close()
	if r.resp.ContentLength > keepLimit || len(body) > keepLimit {
		r.err = &policy.Denial{
			Code: policy.CodeUnreachable, Stage: "retry", Executed: policy.Maybe,
			Detail: "the provider kept failing, and no further attempt could be made",
		}
		r.resp = nil
		return
	}
	r.resp.Body = io.NopCloser(bytes.NewReader(body))
}

// restore makes r the result of the call.
func (r *result) restore(x *policy.Exchange) (*http.Response, error) {
	x.Now, x.Outcome, x.Hint, x.Response = r.now, r.outcome, r.hint, r.resp
	return r.resp, r.err
}
