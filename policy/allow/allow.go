// Package allow is the stage that lets only the named calls leave.
package allow

import (
	"fmt"
	"net/http"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// Feature returns the feature.
func Feature() policy.Feature {
	return policy.Feature{Name: "allow", New: func() policy.Block { return new(Block) }}
}

// Block is an allow block.
type Block struct {
	Requests []policy.Pattern `hcl:"requests"` // "METHOD /path" or "/path"
	Mode     policy.Mode      `hcl:"mode,optional"`
}

// Default enforces.
func (b *Block) Default() { b.Mode = policy.Enforce }

// Check refuses a pattern that is there twice.
func (b *Block) Check() error {
	if p := policy.Duplicate(b.Requests); p != nil {
		return block.At("requests", "%q matches the same requests as one before it", p.Text)
	}
	return nil
}

// Stage compiles the block.
func (b *Block) Stage(policy.Scope) (policy.Stage, error) {
	return policy.Stage{
		Summary: fmt.Sprintf("%d patterns, %s", len(b.Requests), b.Mode),
		Admit:   b.admit,
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
				if err := b.admit(r); err != nil {
					return nil, err
				}
				return next.RoundTrip(r)
			})
		},
	}, nil
}

func (b *Block) admit(r *http.Request) error {
	err := b.check(r)
	if err != nil && b.Mode != policy.Enforce {
		policy.From(r.Context()).Note("allow", "would_refuse", r.Method+" "+r.URL.EscapedPath())
		return nil
	}
	return err
}

func (b *Block) check(r *http.Request) error {
	path := r.URL.EscapedPath()
	if policy.Ambiguous(path) {
		return &policy.Denial{
			Code: policy.BadRequest, Stage: "allow", Detail: "the path can be read in two ways, and a path rule decides about it",
			Hint: "Send the path without encoded separators, dot segments, empty segments or parameters.",
		}
	}
	for i := range b.Requests {
		if b.Requests[i].Match(r.Method, path) {
			return nil
		}
	}
	return &policy.Denial{
		Code: policy.NotAllowed, Stage: "allow", Detail: fmt.Sprintf("%s %s is not among the calls that the policy allows", r.Method, path),
		Hint: fmt.Sprintf("If the application needs this call, add %q to allow.requests of this provider.", r.Method+" "+path),
	}
}
