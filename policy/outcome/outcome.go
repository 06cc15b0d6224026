// Package outcome is the two innermost stages: they read each answer once.
//
//	outcome.go  what an attempt meant: a class, by the policy's rules, then by
//	            status; failures of the transport become denials that say what
//	            is known
//	fault.go    the `error` block: code, message and request id of a failure
package outcome

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// Feature returns the feature. It counts every attempt, so it is innermost.
func Feature() policy.Feature {
	return policy.Feature{Name: "outcome", Named: true, Always: true, New: func() policy.Block { return new(Block) }, Group: group}
}

// Block is one outcome block: a rule.
type Block struct {
	Class policy.Outcome
	When  *block.Expr `hcl:"when" scope:"response" type:"bool"`
	Hint  string      `hcl:"hint,optional"` // what to do next, for problems and the log
}

// SetLabel takes the class.
func (b *Block) SetLabel(label string) { b.Class = policy.Outcome(label) }

// Check refuses classes that no answer can have.
func (b *Block) Check() error {
	if !b.Class.Valid() || b.Class == policy.Cancelled || b.Class == policy.Denied {
		answers := policy.Outcomes()[:13]
		known := make([]string, len(answers))
		for i, o := range answers {
			known[i] = string(o)
		}
		if s := block.Suggest(string(b.Class), known); s != "" {
			return fmt.Errorf("there is no outcome %q; did you mean %q?", b.Class, s)
		}
		return fmt.Errorf("%q is not an outcome of an answer; those are %v", b.Class, known)
	}
	return nil
}

// Stage is not used: the rules of one scope are compiled together.
func (b *Block) Stage(policy.Scope) (policy.Stage, error) { return policy.Stage{}, nil }

func group(_ policy.Scope, blocks []policy.Block) (policy.Stage, error) {
	st := policy.Stage{Summary: fmt.Sprintf("%d rules, then by status class", len(blocks))}
	var rules []*Block
	for _, b := range blocks {
		rule := b.(*Block)
		rules = append(rules, rule)
		st.ReadsAnswer = st.ReadsAnswer || rule.When.Reads("response.body")
	}
	st.Wrap = func(next http.RoundTripper) http.RoundTripper { return &reader{next, rules} }
	return st, nil
}

type reader struct {
	next  http.RoundTripper
	rules []*Block
}

// RoundTrip sends one attempt and says what came of it.
func (t *reader) RoundTrip(r *http.Request) (*http.Response, error) {
	x := policy.From(r.Context())
	x.Began()
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		err = failure(r.Context(), x, err)
		x.Now.Err = err
		x.Ended(0, class(err))
		return nil, err
	}
	x.Now.Answered, x.Now.Status = true, resp.StatusCode
	x.Response = resp
	o, hint := t.classify(x)
	x.Hint = hint
	x.Ended(resp.StatusCode, o)
	return resp, nil
}

func (t *reader) classify(x *policy.Exchange) (policy.Outcome, string) {
	for _, rule := range t.rules {
		if rule.When.True(x) {
			return rule.Class, rule.Hint
		}
	}
	return policy.OfStatus(x.Response.StatusCode), ""
}

func class(err error) policy.Outcome {
	var d *policy.Denial
	if errors.As(err, &d) {
		return d.Code.Outcome()
	}
	return policy.Cancelled
}

// failure says in one sentence what is known about an attempt without an answer.
func failure(ctx context.Context, x *policy.Exchange, err error) error {
	var d *policy.Denial
	switch {
	case errors.As(err, &d):
		if d.Executed == "" {
			d.Executed = x.Now.Executed()
		}
		return d
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, policy.ErrRequestBody):
		return err
	}
	d = &policy.Denial{Code: policy.CodeUnreachable, Stage: "transport", Executed: x.Now.Executed(), Err: err}
	var timed interface{ Timeout() bool }
	if errors.As(err, &timed) && timed.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		d.Code = policy.UpstreamTimeout
	}
	d.Detail, d.Hint = describe(x, d)
	return d
}

// describe words a failure by its evidence.
func describe(x *policy.Exchange, d *policy.Denial) (detail, hint string) {
	host := x.Request.URL.Host
	if up := x.Plan.Upstream; up != nil {
		host = up.Host
	}
	late := d.Code == policy.UpstreamTimeout
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.Is(d.Err, policy.ErrCopy):
		return "the copy of the request body could not be read back, and the request to " + host + " was broken off", "Look at the disk of Postern's temporary files (TMPDIR); the log has the cause."
	case errors.As(d.Err, &untrusted):
		return "the certificate of " + host + " is not trusted", "It is expired, for another name, or of an unknown authority; the log says which. Nothing was sent."
	case !x.Now.Connected && late:
		return "no connection to " + host + " in time", "Check that the host can be reached from here; timeout.connect and timeout.total bound the wait."
	case !x.Now.Connected:
		return "could not connect to " + host, "Check the host's name, its certificate and the network; the log has the cause."
	case x.Now.Alone() == policy.No:
		return "the connection to " + host + " ended before anything was sent", "This attempt had no effect: the call can be made again, unless an earlier one may have had one."
	case late:
		return host + " did not answer in time after the request was sent", "The provider may have acted on it: look there before making the call again, unless it is idempotent."
	}
	return "the connection to " + host + " ended after the request was sent and before an answer came",
		"The provider may have acted on it: look there before making the call again, unless it is idempotent."
}
