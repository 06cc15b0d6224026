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
	fresh  bool             // with a fresh credential, at once
	why    policy.Unretried // why not
	reason string           // in words
}

// evidence is what the decision goes by: what failed and what was sent, the
// method, the key, and what the policy and the provider say.
type evidence struct {
	attempt policy.Attempt // how far it got, what was answered, and the class of that
	fault   fault          // without an answer
	method  string
	keyed   bool // the call carries a key that the provider honours
	final   bool // the provider saves this status for the key and would only repeat it
	spooled bool // the body can be sent again
	fresh   bool // a credential stage has a fresh credential
	on      bool // the class is one of those that the policy has retried
	word    word // the provider's own
	twice   bool // the attempt before had the same status
	left    int  // attempts left
}

// word is what the provider says of another attempt.
type word uint8

const (
	silent word = iota
	yes
	no
)

// fault is what kind of failure left an attempt without an answer.
type fault uint8

const (
	passing   fault = iota // of the network or the provider: it may pass
	untrusted              // the peer is not whom it should be: nothing was sent, and asking again does not help
	foreign                // a refusal made here, or the application's doing
)

// decide says whether there may be another attempt. docs/retries.md has it as a
// table, which is made by it.
//
// Not sent is safe for all, and so is what the provider refused. Sent without
// an answer, or answered with a server error, may have had an effect: only an
// idempotent method (RFC 9110 §9.2.2) or a key makes another attempt safe. The
// provider's own word comes before the policy's list, and evidence before both.
func decide(e evidence) verdict {
	outcome := e.attempt.Outcome
	switch {
	case e.fresh && e.spooled:
		return verdict{again: true, fresh: true, reason: string(outcome)}
	case e.fault != passing, !asked(e):
		return verdict{}
	case e.left <= 0:
		return verdict{why: policy.UnretriedAttempts, reason: "no attempts are left"}
	case e.final:
		return verdict{why: policy.UnretriedSaved, reason: "the provider keeps this answer for the key"}
	case !safe(e):
		return verdict{why: policy.UnretriedUnsafe, reason: "the provider may have acted, and neither the method nor a key makes another attempt safe"}
	case !e.spooled:
		return verdict{why: policy.UnretriedBody, reason: "there is no copy of the request body"}
	}
	return verdict{again: true, reason: string(outcome)}
}

// asked reports whether anything asks for another attempt. What is used up does
// not come back by asking.
func asked(e evidence) bool {
	switch {
	case e.word == no, e.attempt.Outcome == policy.QuotaExhausted:
		return false
	case e.word == yes, e.on:
		return true
	}
	return unprocessed(e.attempt.Status) && !e.twice
}

// unprocessed reports a status that asks for another attempt by itself, once: over
// another connection (RFC 9110 §15.5.20), or without early data (RFC 8470 §5.2),
// which this program never sends.
func unprocessed(status int) bool {
	return status == http.StatusMisdirectedRequest || status == http.StatusTooEarly
}

// safe reports whether another attempt cannot have a second effect.
func safe(e evidence) bool {
	return e.attempt.Executed() == policy.No || e.keyed || policy.Idempotent(e.method)
}

// decide gathers the evidence of the n-th attempt, before which so many were
// made only for their fresh credential.
func (t *loop) decide(x *policy.Exchange, resp *http.Response, err error, n, renewed int) verdict {
	e := evidence{
		attempt: x.Now, method: x.Request.Method, keyed: x.Keyed(), spooled: x.Body.Replayable() || !x.Now.Connected && x.Body.Unread(),
		fresh: x.Fresh && renewed < maxRenewed, on: slices.Contains(t.On, x.Outcome), left: t.Attempts - n,
	}
	if err != nil {
		e.fault, e.fresh = faultOf(err), false
		return explain(x, decide(e))
	}
	e.final = e.keyed && slices.Contains(x.Key.Final, resp.StatusCode)
	e.twice = len(x.Trail) > 1 && x.Trail[len(x.Trail)-2].Status == resp.StatusCode
	if t.Verdict != nil {
		switch said, _ := t.Verdict.String(x); said {
		case "true":
			e.word = yes
		case "false":
			e.word = no
		}
	}
	return explain(x, decide(e))
}

// explain says why there is no copy of the body.
func explain(x *policy.Exchange, v verdict) verdict {
	if err := x.Body.Lost(); v.why == policy.UnretriedBody && err != nil {
		v.reason = uncopied(err)
	}
	return v
}

func uncopied(err error) string {
	if err == policy.ErrTooLarge {
		return "the request body is longer than retry.buffer"
	}
	return "the request body could not be kept: " + err.Error()
}

// faultOf tells a failure of the transport that may pass from a refusal, which
// is final, as is a client that left, and from a peer that is not whom it should
// be.
func faultOf(err error) fault {
	var d *policy.Denial
	var cert *tls.CertificateVerificationError
	var alert tls.AlertError
	switch {
	case !errors.As(err, &d) || d.Code != policy.CodeUnreachable && d.Code != policy.UpstreamTimeout:
		return foreign
	case errors.As(err, &cert), errors.As(err, &alert):
		return untrusted
	}
	return passing
}
