// Package look asks a provider what became of a call: it is what the stages
// reconcile and upsert share.
//
//	look.go     a question, and the three answers that there are
//	send.go     a call of Postern's own for the sake of another
//	whole.go    an answer that is read before it is passed on
//	stable.go   by what a call can be found again, and by what not
package look

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// Finding is what a look shows. What is not surely so is [Unclear].
type Finding uint8

// The findings.
const (
	Unclear Finding = iota // the provider could not be asked, or its answer says nothing
	Absent                 // it is surely not there
	Found
)

// A Look is a question to the provider about a call, by expressions.
type Look struct {
	Get   *block.Expr   // path and query, of the scope "request"
	Found *block.Expr   // condition, of the scope "response": that of the look
	Tries int           // looks before something is surely not there
	Wait  time.Duration // before the second look; then twice as long each time

	Provider string
	Egress   Egress
}

// A Result is what a look, or several, came to.
type Result struct {
	Finding
	Answer *Answer // of the last look; nil if there was none
	Why    string  // it is unclear, in words for the application: nothing of what was sent or received
	Err    error   // the failure of the last look, if that was one
	Looks  int

	Unasked bool // nobody was asked: the call does not carry what it would be looked up by
}

// Words says what was found, for the journal.
func (r *Result) Words() string {
	text := map[Finding]string{Unclear: "unclear", Absent: "not there", Found: "found"}[r.Finding]
	if r.Looks > 1 {
		text += fmt.Sprintf(" after %d looks", r.Looks)
	}
	if r.Why != "" {
		text += ", " + r.Why
	}
	if r.Answer != nil && r.Answer.ID != "" {
		text += " (" + r.Answer.ID + ")"
	}
	return text
}

// Once looks once.
func (l *Look) Once(ctx context.Context, x *policy.Exchange) Result { return l.ask(ctx, x, 1) }

// Ask looks until it finds something, but not more than [Look.Tries] times and
// not for longer than the call may take: providers show what they did with a
// delay. Only the last of all tries shows that something is not there.
func (l *Look) Ask(ctx context.Context, x *policy.Exchange) Result { return l.ask(ctx, x, l.Tries) }

func (l *Look) ask(ctx context.Context, x *policy.Exchange, tries int) (res Result) {
	target, why := l.target(x)
	if why != "" {
		return Result{Why: why, Unasked: true}
	}
	wait := l.Wait
	for n := 1; ; n++ {
		res = l.look(ctx, x, target)
		res.Looks = n
		switch {
		case res.Finding == Found, n == tries, ctx.Err() != nil, res.Err != nil && final(res.Err):
			return res
		case !x.Total.IsZero() && time.Until(x.Total) <= wait:
			return Result{Answer: res.Answer, Err: res.Err, Looks: n, Why: "the call may not take long enough for another look"}
		}
		if err := x.Sleep(ctx, wait); err != nil {
			return Result{Looks: n, Err: err, Why: "the call was given up"}
		}
		wait *= 2
	}
}

// final reports whether another look would meet the same refusal.
func final(err error) bool {
	var d *policy.Denial
	return errors.As(err, &d) && !d.Code.Retryable()
}

// target is the path and query to ask for.
func (l *Look) target(x *policy.Exchange) (target, why string) {
	target, ok := l.Get.String(x)
	if !ok {
		return "", "the call does not carry what it would be looked up by"
	}
	if path, _, _ := strings.Cut(target, "?"); policy.Ambiguous(path) {
		return "", "what it would be looked up by can be read as another path"
	}
	return target, ""
}

// look asks once.
func (l *Look) look(ctx context.Context, x *policy.Exchange, target string) Result {
	a, err := l.Egress.Send(ctx, x, l.Provider, Request{Method: http.MethodGet, Target: target})
	if err != nil {
		return Result{Answer: a, Err: err, Why: "the look-up failed: " + words(err)}
	}
	res := Result{Answer: a}
	res.Finding, res.Why = l.judge(a)
	return res
}

// judge says what the answer to a look shows. One that is no success shows
// nothing, and that there is nothing has to be said by the provider: a 404 means
// it only where the condition asks for the status, and is else rather a wrong path.
func (l *Look) judge(a *Answer) (Finding, string) {
	missing := (a.Outcome == policy.NotFound || a.Status == http.StatusNotFound) && l.Found.Reads("response.status")
	switch {
	case a.Source != policy.FromProvider:
		return Unclear, fmt.Sprintf("the look-up was answered from what is kept (%s)", a.Source)
	case a.Outcome != policy.OK && !missing:
		return Unclear, fmt.Sprintf("the look-up was answered %d (%s)", a.Status, a.Outcome)
	case !missing && l.Found.Reads("response.body") && !a.readable():
		return Unclear, "the look-up's answer cannot be read"
	}
	v, err := l.Found.Eval(a)
	switch {
	case err != nil || v.Kind != block.Bool:
		return Unclear, "the condition `found` has no value for the look-up's answer"
	case v.Bool:
		return Found, ""
	}
	return Absent, ""
}

// words says what an error was, without what may not be shown.
func words(err error) string {
	var d *policy.Denial
	switch {
	case errors.As(err, &d):
		return d.Detail
	case errors.Is(err, context.DeadlineExceeded):
		return "the call's time was over"
	}
	return "its answer broke off"
}
