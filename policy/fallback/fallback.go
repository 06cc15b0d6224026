// Package fallback is the stage that gives the last good answer of a safe call
// while its provider cannot be asked: marked as stale, with its age, and never for
// a call with side effects.
//
// Read fallback.go for the stage, call.go for which calls have such an answer and
// whose it is, answer.go for which answers are kept, kept.go for where: in memory,
// bounded, and sealed in the store behind it.
package fallback

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// Feature returns the feature. Its answers are in k, which outlives reloads.
func Feature(k *Kept) policy.Feature {
	return policy.Feature{Name: "fallback", New: func() policy.Block { return &Block{kept: k} }}
}

// Block is a fallback block.
type Block struct {
	Stale block.Duration `hcl:"stale"` // how old an answer may be

	kept *Kept
}

// Check refuses what gives nothing.
func (b *Block) Check() error {
	if b.Stale.Duration < time.Second {
		return block.At("stale", "%v is less than 1s", b.Stale)
	}
	return nil
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	return policy.Stage{
		Holds:   b.kept,
		Summary: fmt.Sprintf("while the provider cannot be asked, GET and HEAD get the last good answer, up to %v old", b.Stale),
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return policy.RoundTripper(func(r *http.Request) (*http.Response, error) { return b.pass(s.Provider, r, next) })
		},
	}, nil
}

func (b *Block) pass(provider string, r *http.Request, next http.RoundTripper) (*http.Response, error) {
	x := policy.From(r.Context())
	id, ok := idOf(provider, x, r)
	if !ok {
		return next.RoundTrip(r)
	}
	resp, err := next.RoundTrip(r)
	switch why := failed(x, resp, err); {
	case why == "" && err == nil && good(x, r, resp):
		b.record(id, x, resp)
	case why != "" && r.Context().Err() == nil:
		if old := b.kept.find(r.Context(), id, b.Stale.Duration); old != nil && old.had(x) {
			return old.serve(x, r, resp, why), nil
		}
	}
	return resp, err
}

// failed says why the provider cannot be asked now, "" if it can.
func failed(x *policy.Exchange, resp *http.Response, err error) string {
	if err != nil {
		var d *policy.Denial
		if errors.As(err, &d) && (d.Code == policy.BreakerOpen || d.Code == policy.CodeUnreachable || d.Code == policy.UpstreamTimeout) {
			return string(d.Code)
		}
		return ""
	}
	switch x.Outcome {
	case policy.ServerError, policy.Timeout, policy.Unreachable:
		return string(x.Outcome) + ", " + strconv.Itoa(resp.StatusCode)
	}
	return ""
}

// serve gives the old answer in the place of what came.
func (a *answer) serve(x *policy.Exchange, r *http.Request, instead *http.Response, why string) *http.Response {
	if instead != nil {
		instead.Body.Close()
	}
	resp := a.response(r)
	x.Source, x.Outcome, x.Response, x.Hint = policy.Stale, policy.OK, resp, ""
	x.Note("fallback", "stale", fmt.Sprintf("%v old, because of %s", max(0, time.Since(a.at)).Round(time.Second), why))
	return resp
}
