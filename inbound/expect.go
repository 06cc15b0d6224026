package inbound

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
)

// Expect is an expect block: for how long a webhook may be silent. Package oversight
// watches.
type Expect struct {
	Range  hcl.Range      `hcl:",def_range"`
	Every  block.Duration `hcl:"every,optional"`  // 0 if only the rhythm counts
	Learn  bool           `hcl:"learn,optional"`  // from the gaps of the past
	Factor float64        `hcl:"factor,optional"` // of the longest usual gap
}

// Default sets the factor.
func (e *Expect) Default() { e.Factor = 3 }

// Check implements [block.Checker].
func (e *Expect) Check() error {
	var errs []error
	if e.Every.Duration == 0 && !e.Learn {
		errs = append(errs, errors.New(`say how long it may be silent, by every = "1h" or learn = true`))
	}
	if e.Every.Duration < 0 || e.Every.Duration > 0 && e.Every.Duration < time.Second {
		errs = append(errs, block.At("every", "every must be a second at least"))
	}
	if e.Factor < 1 || e.Factor > 1000 {
		errs = append(errs, block.At("factor", "factor must be between 1 and 1000"))
	}
	return errors.Join(errs...)
}

// Subscription is a subscription block: whether the provider still has the hook.
// Package oversight asks.
type Subscription struct {
	Range    hcl.Range              `hcl:",def_range"`
	Every    block.Duration         `hcl:"every,optional"`
	Ask      *block.Expr            `hcl:"check" scope:"subscribed" encode:"path"` // path and query
	Header   map[string]*block.Expr `hcl:"header,optional" scope:"subscribed"`
	Host     *block.Expr            `hcl:"host,optional" scope:"subscribed"`
	Active   *block.Expr            `hcl:"active" scope:"subscribed" type:"bool"`
	Expires  *block.Expr            `hcl:"expires,optional" scope:"subscribed"`
	Unit     Unit                   `hcl:"unit,optional"`   // of expires and until
	Before   block.Duration         `hcl:"before,optional"` // its end: to renew it then, or to warn
	Accounts bool                   `hcl:"accounts,optional"`
	Params   map[string]string      `hcl:"params,optional"`
	Renew    *Renewal               `hcl:"renew,block"`
}

// Renewal is a renew block in a subscription block.
type Renewal struct {
	Method string         `hcl:"method,optional"`
	Path   *block.Expr    `hcl:"path" scope:"subscribed" encode:"path"`
	JSON   *block.Expr    `hcl:"json,optional" scope:"subscribed"`
	For    block.Duration `hcl:"for,optional"` // until is so long from now
}

// Default sets how often it is asked and how long before its end.
func (s *Subscription) Default() {
	s.Every.Duration, s.Before.Duration, s.Unit = time.Hour, 24*time.Hour, RFC3339
}

// Default sets the method.
func (r *Renewal) Default() { r.Method = "POST" }

// Check implements [block.Checker].
func (r *Renewal) Check() error {
	if r.Method != "POST" && r.Method != "PATCH" && r.Method != "PUT" {
		return block.At("method", "method must be POST, PATCH or PUT")
	}
	if r.JSON != nil && r.JSON.Reads("until") && r.For.Duration <= 0 {
		return block.At("json", `until is so far from now as for says: write for = "48h" or what the provider grants`)
	}
	return nil
}

// Check implements [block.Checker].
func (s *Subscription) Check() error {
	var errs []error
	if s.Every.Duration < time.Second {
		errs = append(errs, block.At("every", "every must be a second at least"))
	}
	if s.Before.Duration < 0 {
		errs = append(errs, block.At("before", "before must not be less than nothing"))
	}
	all := map[string][]*block.Expr{"check": {s.Ask}, "host": {s.Host}, "active": {s.Active}, "expires": {s.Expires}, "header": slices.Collect(maps.Values(s.Header))}
	if s.Renew != nil {
		all["renew"] = []*block.Expr{s.Renew.Path, s.Renew.JSON}
		if s.Expires == nil {
			errs = append(errs, block.At("renew", "renew needs to know when it is due: say by expires when the subscription ends"))
		}
	}
	return errors.Join(append(errs, missingParams(s.Params, all)...)...)
}
