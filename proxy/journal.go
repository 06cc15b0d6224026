package proxy

import (
	"time"

	"github.com/postern-proxy/postern/policy"
)

// StatusCancelled is the status in the journal of a call whose client left
// before there was an answer.
const StatusCancelled = 499

// A Result is what became of a call, for the journal. What is not here is in
// its Exchange; a call refused before a plan was found has none.
type Result struct {
	Status   int // sent to the application; StatusCancelled if nothing could be
	Source   policy.AnswerSource
	Outcome  policy.Outcome
	Code     policy.Code     // of a refusal or failure made here, else ""
	Executed policy.Executed // on every failure, whoever made it
	Hint     string          // what to do next, on every failure
	In, Out  int64           // body bytes from and to the application
	Duration time.Duration   // from the request's head to the last byte out
	Overhead time.Duration   // spent here until response headers: neither in the transport nor waiting
	Err      error           // the cause, also of an answer that broke off; may not be shown to the application
}

// A Passage is traffic for a host that no provider names: a blind tunnel, or
// one plain request in absolute form.
type Passage struct {
	Start    time.Time
	Client   string
	Target   Authority
	In, Out  int64 // bytes from and to the application
	Duration time.Duration
	Err      error // why it could not be opened, or broke off
}

// conclude fills in what every failure says in the journal, whoever made it:
// whether the provider may have acted, and what to do next. The policy's own word
// comes before the class's.
func (r *Result) conclude(x *policy.Exchange) {
	switch r.Outcome {
	case policy.OK, policy.Redirect:
		return
	}
	if r.Executed == "" && (r.Source == policy.FromProvider || r.Source == policy.FromPostern) {
		r.Executed = x.Now.Executed()
	}
	for _, hint := range [...]string{x.Hint, r.Code.Hint(), r.Outcome.Hint()} {
		if r.Hint == "" {
			r.Hint = hint
		}
	}
}
