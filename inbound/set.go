package inbound

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/signing"
)

// Set is the inbound part of one policy: immutable, and swapped as a whole.
type Set struct {
	config  Config
	hooks   []*Webhook // by name
	byPath  map[string]*Webhook
	byName  map[string]*Webhook
	targets map[string]target
}

type target struct {
	hook    *Webhook
	deliver *Deliver
}

// NewSet puts decoded webhooks together. Names and paths must be unique.
func NewSet(c Config, hooks []*Webhook) (*Set, hcl.Diagnostics) {
	s := &Set{config: c, hooks: slices.Clone(hooks), byPath: map[string]*Webhook{}, byName: map[string]*Webhook{}, targets: map[string]target{}}
	slices.SortStableFunc(s.hooks, func(a, b *Webhook) int { return cmp.Compare(a.Name, b.Name) })
	var diags hcl.Diagnostics
	refuse := func(w *Webhook, format string, args ...any) {
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Invalid webhook", Detail: fmt.Sprintf(format, args...), Subject: &w.Range})
	}
	names := map[string]*Webhook{}
	for _, w := range hooks {
		if first := names[w.Name]; first != nil {
			refuse(w, "There is another webhook %q at %s.", w.Name, first.Range)
			continue
		}
		names[w.Name] = w
		if first := s.byPath[w.Path]; first != nil {
			refuse(w, "The path %s belongs to webhook %q at %s.", w.Path, first.Name, first.Range)
			continue
		}
		s.byPath[w.Path], s.byName[w.Name] = w, w
		if w.check != nil && w.check.NeedsURL && c.PublicURL == "" {
			refuse(w, "Its signature covers the public URL: set public_url in the inbound block.")
		}
		if w.check != nil && w.check.NeedsPeer && (c.TLS == nil || c.TLS.ClientCA == "") {
			refuse(w, "It is verified by the sender's certificate: set tls with client_ca in the inbound block.")
		}
		for _, d := range w.Deliver {
			s.targets[w.target(d)] = target{w, d}
		}
	}
	return s, diags
}

// Webhooks lists the webhooks, by name.
func (s *Set) Webhooks() []*Webhook { return s.hooks }

// Ready reports which secrets of verifications and signatures cannot be used
// now. Such a webhook answers 503 and loses nothing.
func (s *Set) Ready() error {
	var errs []error
	for _, w := range s.hooks {
		if w.check != nil && w.check.Ready != nil {
			if err := w.check.Ready(); err != nil {
				errs = append(errs, fmt.Errorf("webhook %q: %w", w.Name, err))
			}
		}
		for _, d := range w.Deliver {
			if _, err := signing.Keys(d.Sign); err != nil {
				errs = append(errs, fmt.Errorf("webhook %q: sign: %w", w.Name, err))
			}
			if err := d.TLS.Ready(); err != nil {
				errs = append(errs, fmt.Errorf("webhook %q: tls: %w", w.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}
