package inbound

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/postern-proxy/postern/backoff"
	"github.com/postern-proxy/postern/config/block"
)

// Webhook is a webhook block: one path, who may post to it, and where it goes.
type Webhook struct {
	Name     string
	Range    hcl.Range   // of the block's head
	Catalog  string      `hcl:"catalog,optional"`
	Path     string      `hcl:"path"`
	Provider string      `hcl:"provider,optional"`
	MaxBody  block.Size  `hcl:"max_body,optional"` // larger ones are refused with 413
	Keep     []string    `hcl:"headers,optional"`  // kept and delivered beside the content headers
	Verify   []*Verify   `hcl:"verify,block"`
	Event    *EventNames `hcl:"event,block"`
	Deliver  []*Deliver  `hcl:"deliver,block"`
	Retry    *Retry      `hcl:"retry,block"`

	// Horizon is how long after its receipt the id of an event is known at least; 0 is
	// as long as is usual.
	Horizon block.Duration `hcl:"horizon,optional"`

	// RevokedBy says of an event that the provider has ended the account's grant.
	RevokedBy *block.Expr `hcl:"revoked_by,optional" scope:"event" type:"bool"`

	// Accept says of an event whether it is for the application at all.
	Accept *block.Expr `hcl:"accept,optional" scope:"event" type:"bool"`

	Schema       []*Schema     `hcl:"schema,block"`
	Latest       *Latest       `hcl:"latest,block"`
	Expect       *Expect       `hcl:"expect,block"`
	Reconcile    *Reconcile    `hcl:"reconcile,block"`
	Order        *Order        `hcl:"order,block"`
	Subscription *Subscription `hcl:"subscription,block"`

	check    *Verification
	rotation *Rotation
}

// Verify is a verify block; its label is the scheme, which decodes the rest.
type Verify struct {
	Kind  string    `hcl:"kind,label"`
	Range hcl.Range `hcl:",def_range"`
	Body  hcl.Body  `hcl:",remain"`
}

// EventNames is an event block: where the event says what it is.
type EventNames struct {
	ID      *block.Expr `hcl:"id,optional" scope:"items"`
	Type    *block.Expr `hcl:"type,optional" scope:"items"`
	Account *block.Expr `hcl:"account,optional" scope:"items"`
	Time    *block.Expr `hcl:"time,optional" scope:"items"`
	Key     *block.Expr `hcl:"key,optional" scope:"items"`
	Unit    Unit        `hcl:"unit,optional"`
	Split   *block.Expr `hcl:"split,optional" scope:"webhook"` // the list in the body of which each item is an event

	// Nested is a list in an item of which each is an event in its place; null where the
	// item itself is one.
	Nested *block.Expr `hcl:"nested,optional" scope:"items"`

	// Varies are the members of an event that differ between two sendings of it, such as
	// how often it was tried. Names of body, or of item where Split is given.
	Varies []*block.Expr `hcl:"varies,optional" scope:"items"`

	// Repeat is after how long at most the same bytes are another event, where there
	// is no id; 0 is never.
	Repeat block.Duration `hcl:"repeat,optional"`
}

// Unit is how a provider writes a time.
type Unit string

// The units.
const (
	Seconds Unit = "s"
	Millis  Unit = "ms"
	RFC3339 Unit = "rfc3339"
)

// UnmarshalText accepts s, ms and rfc3339.
func (u *Unit) UnmarshalText(text []byte) error {
	switch v := Unit(text); v {
	case Seconds, Millis, RFC3339:
		*u = v
		return nil
	}
	return fmt.Errorf("unknown unit %q: use s, ms or rfc3339", text)
}

// Retry is a retry block of a webhook.
type Retry struct {
	Attempts int      `hcl:"attempts,optional"`
	Backoff  *Backoff `hcl:"backoff,block"`
}

// Backoff is a backoff block of a webhook.
type Backoff struct {
	First  block.Duration `hcl:"first,optional"`
	Factor float64        `hcl:"factor,optional"`
	Max    block.Duration `hcl:"max,optional"`
	Jitter backoff.Jitter `hcl:"jitter,optional"`
}

// Default sets what a webhook has unless the block says otherwise.
func (w *Webhook) Default() { w.MaxBody = 5 << 20 }

// Default sets the unit.
func (e *EventNames) Default() { e.Unit = Seconds }

// Default sets the number of attempts.
func (r *Retry) Default() { r.Attempts = 8 }

// Default sets the delays.
func (b *Backoff) Default() {
	b.First.Duration, b.Factor, b.Max.Duration = time.Second, 2, time.Hour
}

// complete fills in the delays of a block that has none.
func (r *Retry) complete() {
	if r != nil && r.Backoff == nil {
		r.Backoff = &Backoff{}
		r.Backoff.Default()
	}
}

func (b *Backoff) delays() backoff.Backoff {
	return backoff.Backoff{First: b.First.Duration, Factor: b.Factor, Max: b.Max.Duration, Jitter: b.Jitter}
}

// Decode reads the body of the webhook block named name, whose head is at at.
// The result is ready for [NewSet] if there are no errors.
func Decode(name string, at hcl.Range, body *hclsyntax.Body, ctx *block.Context, schemes Schemes) (*Webhook, hcl.Diagnostics) {
	w := &Webhook{Name: name, Range: at}
	diags := block.Decode(labelTargets(body), ctx, w)
	if w.Event == nil {
		w.Event = &EventNames{}
		w.Event.Default()
	}
	if w.Retry == nil {
		w.Retry = &Retry{}
		w.Retry.Default()
	}
	w.Retry.complete()
	for _, d := range w.Deliver {
		d.Retry.complete()
	}
	if len(w.Verify) == 1 {
		diags = append(diags, w.verification(ctx, schemes)...)
	}
	return w, slices.Concat(diags, w.readable(), w.misplaced(), w.readSchemas(ctx, body))
}

// labelTargets gives deliver blocks without a label an empty one, because a
// schema knows no optional labels.
func labelTargets(body *hclsyntax.Body) *hclsyntax.Body {
	out := *body
	out.Blocks = slices.Clone(body.Blocks)
	for i, b := range out.Blocks {
		if b.Type == "deliver" && len(b.Labels) == 0 {
			named := *b
			named.Labels, named.LabelRanges = []string{""}, []hcl.Range{b.TypeRange}
			out.Blocks[i] = &named
		}
	}
	return &out
}

func (w *Webhook) verification(ctx *block.Context, schemes Schemes) hcl.Diagnostics {
	v := w.Verify[0]
	refuse := func(summary, detail string, where hcl.Range) hcl.Diagnostics {
		return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: &where}}
	}
	scheme := schemes[v.Kind]
	if scheme == nil {
		hint := fmt.Sprintf("docs/policy.md lists the %d that there are; verify %q describes any signature with a shared key.", len(schemes), "hmac")
		if s := block.Suggest(v.Kind, slices.Sorted(maps.Keys(schemes))); s != "" {
			hint = fmt.Sprintf("Did you mean %q?", s)
		}
		return refuse("Unknown verification", fmt.Sprintf("There is no verification %q. %s", v.Kind, hint), v.Range)
	}
	r, body, diags := rotation(v.Body, ctx)
	check, more := scheme(body, ctx)
	if diags = append(diags, more...); diags.HasErrors() {
		return diags
	}
	if diags = append(diags, r.begin(body, scheme, ctx, v.Range)...); diags.HasErrors() {
		return diags
	}
	w.rotation = r
	w.check = check
	if a := w.Event.Account; check.BodyOnly && a != nil && (a.Reads("header") || a.Reads("query")) {
		return append(diags, refuse("Invalid account", "The signature covers the body only: whoever replays a request could choose another account. Take it from the body.", a.Range())...)
	}
	if check.BodyOnly && w.unsigned(w.RevokedBy) {
		return append(diags, refuse("Invalid revoked_by", "The signature covers the body only: whoever replays a request could choose what makes it one that ends a grant. Take it from the body.", w.RevokedBy.Range())...)
	}
	diags = append(diags, w.forgeable()...)
	for _, h := range w.Keep {
		if slices.ContainsFunc(check.Headers, func(s string) bool { return strings.EqualFold(s, h) }) {
			return append(diags, refuse("Invalid headers", fmt.Sprintf("%s carries the signature and is never kept.", h), v.Range)...)
		}
	}
	return diags
}

// unsigned reports whether x reads what a signature over the body does not cover:
// by itself, or by a name of the event.
func (w *Webhook) unsigned(x *block.Expr) bool {
	if x == nil {
		return false
	}
	for name, from := range map[string]*block.Expr{"event.id": w.Event.ID, "event.type": w.Event.Type, "event.account": w.Event.Account, "event.time": w.Event.Time, "event.key": w.Event.Key} {
		if x.Reads(name) && w.unsigned(from) {
			return true
		}
	}
	return x.Reads("header") || x.Reads("query") || x.Reads("url")
}

// Targets lists the names of the deliver blocks as the store knows them.
func (w *Webhook) Targets() []string {
	names := make([]string, len(w.Deliver))
	for i, d := range w.Deliver {
		names[i] = w.target(d)
	}
	return names
}
