package retry

import (
	"crypto/tls"
	"errors"
	"net/http"
	"slices"

	"github.com/postern-proxy/postern/policy"
)

// verdict is a decision with its reason: why there is another attempt, or why
// there is none although the class asked for one.
type verdict struct {
	again  bool
	fresh  bool // with a fresh credential, at once
	reason string
}

// evidence is what the decision goes by.
type evidence struct {
	outcome  policy.Outcome
	status   int             // 0 without an answer
	executed policy.Executed // what the transport knows
	method   string
	keyed    bool // the call carries a key that the provider honours
	final    bool // the provider saves this status for the key and would only repeat it
	spooled  bool // the body can be sent again
	fresh    bool // a credential stage has a fresh credential
	asked    bool // the class is one of `on`, or the provider's own word says so
	vetoed   bool // the provider's own word says no
	left     int  // attempts left
}

// decide says whether there may be another attempt.
//
// Not sent is safe for all, and so is what the provider refused. Sent without
// an answer, or answered with a server error, may have had an effect: only an
// idempotent method (RFC 9110 §9.2.2) or a key makes another attempt safe.
func decide(e evidence) verdict {
	switch {
	case e.fresh && e.spooled:
		return verdict{again: true, fresh: true, reason: string(e.outcome)}
	case e.vetoed, !e.asked:
		return verdict{}
	case e.left <= 0:
		return verdict{reason: "no attempts are left"}
	case e.final:
		return verdict{reason: "the provider keeps this answer for the key"}
	case !safe(e):
		return verdict{reason: "the provider may have acted, and neither the method nor a key makes another attempt safe"}
	case !e.spooled:
		return verdict{reason: "the request body is longer than retry.buffer"}
	}
	return verdict{again: true, reason: string(e.outcome)}
}

func safe(e evidence) bool {
	switch {
	case e.status == 0 && e.executed == policy.No, policy.Harmless(e.status, e.outcome):
		return true
	}
	return e.keyed || policy.Idempotent(e.method)
}

// decide gathers the evidence of the n-th attempt, before which so many were
// made only for their fresh credential.
func (t *loop) decide(x *policy.Exchange, resp *http.Response, err error, n, renewed int) verdict {
	if err != nil && !retriable(err) {
		return verdict{}
	}
	e := evidence{
		outcome: x.Outcome, executed: x.Now.Executed(), method: x.Request.Method,
		keyed: x.Keyed(), fresh: x.Fresh && renewed < maxRenewed, asked: slices.Contains(t.On, x.Outcome),
		left: t.Attempts - n, spooled: x.Body.Replayable(),
	}
	if resp != nil {
		e.status = resp.StatusCode
		e.final = e.keyed && slices.Contains(x.Key.Final, resp.StatusCode)
		if t.Verdict != nil {
			switch word, _ := t.Verdict.String(x); word {
			case "true":
				e.asked = true
			case "false":
				e.vetoed = true
			}
		}
	}
	return decide(e)
}

// retriable reports whether err is a failure of the transport that may pass. A
// refusal is final, a client that left too, and so is a peer that is not whom
// it should be.
func retriable(err error) bool {
	var d *policy.Denial
	var untrusted *tls.CertificateVerificationError
	var alert tls.AlertError
	return errors.As(err, &d) && (d.Code == policy.CodeUnreachable || d.Code == policy.UpstreamTimeout) &&
		!errors.As(err, &untrusted) && !errors.As(err, &alert)
}
