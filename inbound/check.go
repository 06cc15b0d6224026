package inbound

import (
	"errors"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
)

// Check implements [block.Checker].
func (w *Webhook) Check() error {
	var errs []error
	if strings.Contains(w.Name, "/") {
		errs = append(errs, errors.New("the name of a webhook must not hold a slash"))
	}
	if !strings.HasPrefix(w.Path, "/") || strings.ContainsAny(w.Path, "?#% ") || strings.Contains(w.Path, "//") {
		errs = append(errs, block.At("path", "path must begin with a slash and be plain, such as %q", "/"+w.Name))
	}
	if w.MaxBody <= 0 {
		errs = append(errs, block.At("max_body", "max_body must be more than nothing"))
	}
	if w.Horizon.Duration < 0 || w.Horizon.Duration > 10*365*24*time.Hour {
		errs = append(errs, block.At("horizon", "horizon must be at most ten years"))
	}
	switch len(w.Verify) {
	case 0:
		errs = append(errs, errors.New(`a verify block is required; write verify "none" {} to accept unsigned events`))
	case 1:
	default:
		errs = append(errs, block.At("verify", "only one verify block is allowed; several secrets go into its list"))
	}
	if w.RevokedBy != nil && w.Provider == "" {
		errs = append(errs, block.At("revoked_by", "revoked_by ends a grant at a provider: say whose webhook this is by provider"))
	}
	for _, h := range w.Keep {
		if !keepable(h) {
			errs = append(errs, block.At("headers", "%s cannot be kept: it is a credential, about the connection, or set by Postern", h))
		}
	}
	names := map[string]bool{}
	for _, d := range w.Deliver {
		switch {
		case names[d.Name] && d.Name == "":
			errs = append(errs, block.At("deliver", "two deliver blocks have no label: several targets need labels of their own, such as deliver \"orders\""))
		case names[d.Name]:
			errs = append(errs, block.At("deliver", "two deliver blocks have the label %q", d.Name))
		}
		names[d.Name] = true
	}
	if len(w.Deliver) == 0 {
		errs = append(errs, errors.New("a deliver block is required: it says where the events go"))
	}
	for _, err := range []error{w.checkOrder(), w.checkLatest()} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if len(w.Deliver) > MaxTargets {
		errs = append(errs, block.At("deliver", "at most %d deliver blocks are allowed", MaxTargets))
	}
	errs = append(errs, w.checkReconcile()...)
	if w.Subscription != nil && w.Provider == "" {
		errs = append(errs, block.At("subscription", "subscription asks a provider: say whose webhook this is by provider"))
	}
	return errors.Join(errs...)
}

// MaxTargets is how many deliver blocks a webhook may have.
const MaxTargets = 64

// Check implements [block.Checker].
func (e *EventNames) Check() error {
	if e.Split != nil && !e.Split.Exact() {
		return block.At("split", "split must name a list in the body, such as %q: what an expression makes is not what was signed", "body.events")
	}
	if e.Nested != nil && (e.Split == nil || !e.Nested.Exact() || !e.Nested.Reads("item")) {
		return block.At("nested", "nested must name a list in an item of split, such as %q: what an expression makes is not what was signed", "item.changes")
	}
	if err := e.checkVaries(); err != nil {
		return err
	}
	if e.Repeat.Duration < 0 || e.Repeat.Duration > 0 && e.Repeat.Duration < time.Second {
		return block.At("repeat", "repeat must be at least a second")
	}
	return nil
}

func (e *EventNames) checkVaries() error {
	of := "body"
	if e.Split != nil {
		of = "item"
	}
	for _, x := range e.Varies {
		refs := x.Refs()
		if len(refs) != 1 || !x.Exact() || refs[0].Name != of || refs[0].Path == "" {
			return block.At("varies", "varies must list members of an event, such as %s.attempt: what is cut out of it has to stand in it", of)
		}
	}
	return nil
}

// Check implements [block.Checker].
func (r *Retry) Check() error {
	if r.Attempts < 1 || r.Attempts > 1000 {
		return block.At("attempts", "attempts must be between 1 and 1000")
	}
	return nil
}

// Check implements [block.Checker].
func (b *Backoff) Check() error {
	if b.Factor < 1 {
		return block.At("factor", "factor must be at least 1")
	}
	if b.First.Duration > b.Max.Duration {
		return block.At("first", "first must not be longer than max, which is %s", b.Max)
	}
	return nil
}
