package inbound

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/config/block"
)

// Rotation is what a verify block of any kind may say of its secrets: since when
// the first of them is the only one in use.
type Rotation struct {
	Rotated Instant        `hcl:"rotated,optional"`
	Overlap block.Duration `hcl:"overlap,optional"` // for how long the others are accepted all the same

	current *Verification // by the first secret only; nil if nothing is rotated
}

// Instant is a moment, written as RFC 3339 has it.
type Instant struct{ time.Time }

// UnmarshalText reads RFC 3339.
func (i *Instant) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return fmt.Errorf("%q is not a time such as \"2026-11-29T13:00:00Z\"", text)
	}
	i.Time = t
	return nil
}

// Default sets the overlap.
func (r *Rotation) Default() { r.Overlap.Duration = 24 * time.Hour }

// listed are the attributes in which schemes have their secrets.
var listed = []string{"secrets", "password", "keys", "jwks"}

// rotation takes what it says of its secrets out of a verify block.
func rotation(whole hcl.Body, ctx *block.Context) (r *Rotation, rest *hclsyntax.Body, diags hcl.Diagnostics) {
	r = &Rotation{}
	body, ok := whole.(*hclsyntax.Body)
	if !ok {
		body = &hclsyntax.Body{}
	}
	own, others := *body, *body
	own.Attributes, own.Blocks, others.Attributes = hclsyntax.Attributes{}, nil, maps.Clone(body.Attributes)
	for _, name := range []string{"rotated", "overlap"} {
		if a := body.Attributes[name]; a != nil {
			own.Attributes[name] = a
			delete(others.Attributes, name)
		}
	}
	return r, &others, block.Decode(&own, ctx, r)
}

// begin decodes body by scheme with the first secret only.
func (r *Rotation) begin(body *hclsyntax.Body, scheme Scheme, ctx *block.Context, at hcl.Range) hcl.Diagnostics {
	if r.Rotated.IsZero() {
		return nil
	}
	refuse := func(detail string) hcl.Diagnostics {
		return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Invalid rotated", Detail: detail, Subject: &at}}
	}
	first := *body
	first.Attributes = maps.Clone(body.Attributes)
	n := 0
	for _, name := range listed {
		a := first.Attributes[name]
		if a == nil {
			continue
		}
		list, ok := a.Expr.(*hclsyntax.TupleConsExpr)
		if !ok {
			continue
		}
		one, short := *a, *list
		short.Exprs = list.Exprs[:min(len(list.Exprs), 1)]
		one.Expr = &short
		first.Attributes[name], n = &one, len(list.Exprs)
	}
	if n < 2 {
		return refuse("It says since when the secrets after the first are out of use: write the list of them with the new one first.")
	}
	var diags hcl.Diagnostics
	r.current, diags = scheme(&first, ctx)
	return diags
}

// verify is the verdict on a request. What a secret has signed that is not in use
// any more is marked, and refused when the overlap is over.
func (w *Webhook) verify(ctx context.Context, req *Request) Verdict {
	v := w.decide(ctx, req)
	if v.Result == Accepted && w.askable(req.Body) {
		v.Result, v.EventID = BadSignature, ""
		v.Why = "the body holds nothing but what a handshake signs for anybody who asks, so its signature says nothing"
	}
	v.Proof.Scheme = cmp.Or(v.Proof.Scheme, w.Verify[0].Kind)
	return v
}

func (w *Webhook) decide(ctx context.Context, req *Request) Verdict {
	r := w.rotation
	if r == nil || r.current == nil {
		return w.check.Verify(ctx, req)
	}
	if v := r.current.Verify(ctx, req); v.Result == Accepted || v.Result == Stale || v.Result == Unsigned || v.Proof.Key != "" {
		return v // what the first key has signed and is refused all the same, no other key makes good
	}
	v := w.check.Verify(ctx, req)
	if v.Result != Accepted && v.Result != Stale || req.Received.Before(r.Rotated.Time) {
		return v
	}
	v.Proof.Late = true
	if end := r.Rotated.Add(r.Overlap.Duration); !req.Received.Before(end) {
		v.Result, v.EventID = BadSignature, ""
		v.Why = fmt.Sprintf("signed with the old key %s, which was accepted until %s", v.Proof.Key, end.UTC().Format(time.RFC3339))
	}
	return v
}

// OldKey is a request that was signed with a key that is not in use any more.
type OldKey struct {
	Webhook string
	Key     string // its fingerprint
	Refused bool   // its overlap is over
}

// oldKeys remembers of which old keys it was told, so that an alarm is not one for
// each request.
type oldKeys struct {
	mu   sync.Mutex
	told map[OldKey]time.Time
}

// again is how often an alarm about one old key is repeated.
const again = time.Hour

// tellOldKey tells of a verdict on what an old key has signed.
func (in *Inbox) tellOldKey(hook *Webhook, v Verdict) {
	if !v.Proof.Late {
		return
	}
	k := OldKey{hook.Name, v.Proof.Key, v.Result == BadSignature}
	in.opt.Observer.oldKey(k)
	if !k.Refused {
		return
	}
	in.oldKeys.mu.Lock()
	last, known := in.oldKeys.told[k]
	due := !known || time.Since(last) >= again
	if due {
		if in.oldKeys.told == nil {
			in.oldKeys.told = map[OldKey]time.Time{}
		}
		in.oldKeys.told[k] = time.Now()
	}
	in.oldKeys.mu.Unlock()
	if due {
		in.opt.Observer.trouble("verifying a webhook", fmt.Errorf("webhook %q: a request was %s; the provider, or somebody else, still uses it", hook.Name, v.Why))
	}
}
