// Package upsert is the stage that turns a create into create-or-update, where
// the provider has no call that does both: it looks for the object first, and
// sends an update instead if it is there. A create that lost a race, or whose
// effect is unknown, is followed by another look.
package upsert

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

// Feature returns the feature. Looks and updates go by egress.
func Feature(egress look.Egress) policy.Feature {
	return policy.Feature{Name: "upsert", New: func() policy.Block { return &Block{egress: egress} }}
}

// Block is an upsert block.
type Block struct {
	Lookup *block.Expr    `hcl:"lookup" scope:"request" encode:"path"` // path and query at the provider
	Found  *block.Expr    `hcl:"found" scope:"response" type:"bool"`   // over the look-up's answer
	Update *Update        `hcl:"update,block"`
	Tries  int            `hcl:"tries,optional"` // looks after a create that conflicts or whose effect is unknown
	Wait   block.Duration `hcl:"wait,optional"`  // before the second of them; then twice as long each time

	egress look.Egress
}

// Update is an update block: what is sent instead of the create.
type Update struct {
	Method string      `hcl:"method,optional"`
	Path   *block.Expr `hcl:"path" scope:"response" encode:"path"` // path and query at the provider
	Body   *block.Expr `hcl:"body,optional" scope:"response"`      // that of the create if there is none
}

// Default looks again three times within 3 s.
func (b *Block) Default() { b.Tries, b.Wait.Duration = 3, time.Second }

// Default is a PATCH.
func (u *Update) Default() { u.Method = http.MethodPatch }

// Check refuses a method that reads or deletes.
func (u *Update) Check() error {
	switch u.Method {
	case http.MethodPatch, http.MethodPut, http.MethodPost:
		return nil
	}
	return block.At("method", "%q is not one of PATCH, PUT and POST", u.Method)
}

// Check refuses a look-up that cannot tell one object from another.
func (b *Block) Check() error {
	errs := []error{look.Check("lookup", b.Lookup, b.Found)}
	if b.Update == nil {
		errs = append(errs, errors.New("an upsert needs an update block: what to send instead of the create"))
	}
	if b.Tries < 1 || b.Tries > 10 {
		errs = append(errs, block.At("tries", "%d is not between 1 and 10", b.Tries))
	}
	return errors.Join(errs...)
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	if method, _, ok := strings.Cut(s.Route, " "); ok && method != http.MethodPost {
		return policy.Stage{}, fmt.Errorf("a create is a POST, and this route is for %s alone", method)
	}
	l := &look.Look{Get: b.Lookup, Found: b.Found, Tries: b.Tries, Wait: b.Wait.Duration, Provider: s.Provider, Egress: b.egress}
	return policy.Stage{
		Summary:  fmt.Sprintf("GET %s first: if %s, %s %s instead", b.Lookup.Source(), b.Found.Source(), b.Update.Method, b.Update.Path.Source()),
		Warnings: look.Warnings(b.Lookup, b.Found),
		Looks:    true,
		Wrap:     func(next http.RoundTripper) http.RoundTripper { return &stage{b, l, next} },
	}, nil
}

type stage struct {
	*Block
	look *look.Look
	next http.RoundTripper
}

// RoundTrip creates what r says, or updates what is there already.
func (s *stage) RoundTrip(r *http.Request) (*http.Response, error) {
	x := policy.From(r.Context())
	if r.Method != http.MethodPost {
		return s.next.RoundTrip(r)
	}
	x.Converges = true
	u := &upsert{s, r.Context(), x}
	res := u.note(s.look.Once(r.Context(), x))
	if res.Finding == look.Unclear {
		return nil, u.refuse(&res)
	}
	x.Unsure = false // whatever was done before is found, and updated
	if res.Finding == look.Found {
		return u.update(res.Answer)
	}
	return u.create(r)
}

// upsert is one call.
type upsert struct {
	*stage
	ctx context.Context
	x   *policy.Exchange
}

// create sends r. Where another call was faster, or nobody knows what became of
// it, the object may be there now.
func (u *upsert) create(r *http.Request) (*http.Response, error) {
	x := u.x
	var res look.Result
	after := -1 // attempts that res is about
	ask := func() {
		res, after = u.note(u.look.Ask(u.ctx, x)), x.Attempts
	}
	x.Absent = func(context.Context) bool { ask(); return res.Finding == look.Absent }
	resp, err := u.next.RoundTrip(r)
	x.Absent = nil
	conflict := x.Now.Outcome == policy.Conflict // also if the answer that says so broke off
	if err == nil && x.Source != policy.Reconciled {
		resp, err = look.Whole(x, resp, "upsert")
	}
	switch {
	case x.Source == policy.Reconciled, r.Context().Err() != nil, errors.Is(err, policy.ErrRequestBody):
		return resp, err
	case !conflict && !x.Done && !x.Unknown(): // it is answered, or nothing was done
		return resp, err
	}
	if after != x.Attempts {
		ask()
	}
	if res.Finding == look.Found {
		if resp != nil {
			resp.Body.Close()
		}
		return u.update(res.Answer)
	}
	return u.given(resp, err, &res)
}
