// Package reconcile is the stage that looks at the provider when nobody can tell
// whether a call had its effect: what is found is the answer, and only what is
// surely not there may be sent again, by retry.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/look"
)

// Feature returns the feature. Looks go by egress.
func Feature(egress look.Egress) policy.Feature {
	return policy.Feature{Name: "reconcile", New: func() policy.Block { return &Block{egress: egress} }}
}

// Block is a reconcile block.
type Block struct {
	Get    *block.Expr    `hcl:"get" scope:"request" encode:"path"`  // path and query at the provider
	Found  *block.Expr    `hcl:"found" scope:"response" type:"bool"` // over the look-up's answer
	Answer *block.Expr    `hcl:"answer,optional" scope:"response"`   // body of the answer; all that the look-up gave if there is none
	Status int            `hcl:"status,optional"`                    // of the answer
	Tries  int            `hcl:"tries,optional"`                     // looks before it is surely not there
	Wait   block.Duration `hcl:"wait,optional"`                      // before the second look; then twice as long each time

	egress look.Egress
}

// Default looks three times within 3 s, and answers with 200.
func (b *Block) Default() {
	b.Status, b.Tries, b.Wait.Duration = http.StatusOK, 3, time.Second
}

// Check refuses a look-up that cannot tell one call from another.
func (b *Block) Check() error {
	errs := []error{look.Check("get", b.Get, b.Found)}
	if b.Status < 200 || b.Status > 299 {
		errs = append(errs, block.At("status", "%d is not the status of a success", b.Status))
	}
	if b.Tries < 1 || b.Tries > 10 {
		errs = append(errs, block.At("tries", "%d is not between 1 and 10", b.Tries))
	}
	return errors.Join(errs...)
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	if method, _, ok := strings.Cut(s.Route, " "); ok && policy.Idempotent(method) {
		return policy.Stage{}, fmt.Errorf("%s is repeated safely: a call of this route is never in doubt", method)
	}
	given := "all of it"
	if b.Answer != nil {
		given = b.Answer.Source()
	}
	l := &look.Look{Get: b.Get, Found: b.Found, Tries: b.Tries, Wait: b.Wait.Duration, Provider: s.Provider, Egress: b.egress}
	return policy.Stage{
		Summary:  fmt.Sprintf("on doubt GET %s: if %s, answer %d with %s; up to %d looks, %v apart and doubling", b.Get.Source(), b.Found.Source(), b.Status, given, b.Tries, b.Wait),
		Warnings: look.Warnings(b.Get, b.Found),
		Looks:    true,
		Wrap:     func(next http.RoundTripper) http.RoundTripper { return &stage{b, l, next} },
	}, nil
}

type stage struct {
	*Block
	look *look.Look
	next http.RoundTripper
}

// doubt is what is known of one call.
type doubt struct {
	*stage
	ctx   context.Context
	x     *policy.Exchange
	res   look.Result
	after int // attempts that res is about; -1 is none
}

// RoundTrip sends r, and looks when its effect is unknown.
func (s *stage) RoundTrip(r *http.Request) (*http.Response, error) {
	x := policy.From(r.Context())
	if policy.Idempotent(r.Method) {
		return s.next.RoundTrip(r)
	}
	d := &doubt{stage: s, ctx: r.Context(), x: x, after: -1}
	if x.Unsure {
		switch d.ask(); d.res.Finding {
		case look.Found:
			return d.answer()
		case look.Unclear:
			return nil, d.unsure()
		}
		x.Unsure = false
	}
	outer := x.Absent
	x.Absent = func(context.Context) bool { d.ask(); return d.res.Finding == look.Absent }
	resp, err := s.next.RoundTrip(r)
	x.Absent = outer
	if err == nil {
		resp, err = look.Whole(x, resp, "reconcile")
	}
	if !x.Unknown() && !x.Done || r.Context().Err() != nil || errors.Is(err, policy.ErrRequestBody) {
		return resp, err
	}
	if d.after != x.Attempts {
		d.ask()
	}
	if d.res.Finding != look.Found {
		return d.given(resp, err)
	}
	if resp != nil {
		resp.Body.Close()
	}
	return d.answer()
}

// ask looks, and keeps what was found.
func (d *doubt) ask() {
	d.res, d.after = d.look.Ask(d.ctx, d.x), d.x.Attempts
	d.x.Note("reconcile", "look", d.res.Words())
}

// given is the failure that there was, with what a look adds to it.
func (d *doubt) given(resp *http.Response, err error) (*http.Response, error) {
	hint := "It cannot be told whether the call was made: " + d.res.Why + ". Look at the provider before making it again."
	if d.res.Finding == look.Absent {
		hint = fmt.Sprintf("%s at the provider found nothing of this call, but it may still show up: look there before making it again.", looks(d.res.Looks))
	}
	if d.x.Done {
		hint = "The call was made, and must not be made again; what came of it is at the provider."
	}
	var before *policy.Denial
	if !errors.As(err, &before) {
		d.x.Hint = hint
		return resp, err
	}
	failure := *before
	failure.Hint = hint
	return resp, &failure
}

// unsure refuses to send what an earlier call may have done.
func (d *doubt) unsure() error {
	earlier, later, anew := "an earlier call with this idempotency key", "later, with the same key.", "under a new key."
	if d.x.Key.Value == "" { // what the outbox has sent before
		earlier, later, anew = "an earlier sending of it", "later.", "anew."
	}
	hint := "Nothing was sent this time. Make the call again " + later
	if d.res.Unasked {
		hint = "Nothing was sent this time. Look at the provider whether the call was made; if it was not, make it " + anew
	}
	return &policy.Denial{
		Code: policy.CodeUnreachable, Stage: "reconcile", Executed: policy.Maybe, Err: d.res.Err,
		Detail: earlier + " may have had its effect, and " + d.res.Why,
		Hint:   hint,
	}
}

func looks(n int) string {
	if n == 1 {
		return "One look"
	}
	return fmt.Sprintf("%d looks", n)
}
