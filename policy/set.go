package policy

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
)

// A Set is a compiled policy. It is immutable; a reload makes a new one.
type Set struct {
	exact    map[string]*Provider // by host, or host:port
	suffixes []suffix             // longest first
	byName   map[string]*Provider
	names    []string // in the order of the files
}

type suffix struct {
	dot  string // ".example.com"
	port string // "" for the default ones
	p    *Provider
}

// A Provider is a compiled provider block.
type Provider struct {
	Name     string
	Hosts    []Host   // as written
	Upstream *url.URL // dialled instead of the host that was asked for; nil is that host
	Listen   string   // own port, "" if none

	whole  *Plan
	routes []routed   // most specific first
	labels []*Pattern // of endpoints and routes, most specific first
}

type routed struct {
	pattern *Pattern
	plan    *Plan
}

// Match is the answer of [Provider.Match].
type Match struct {
	Plan     *Plan
	Endpoint string // label: a pattern of the configuration, or "other"
}

// Other is the endpoint label of what no pattern names.
const Other = "other"

// Find returns the provider that owns a normalised host ("api.stripe.com",
// lower case, no trailing dot) and port, or nil. A host that is written without
// a port is owned on 443 and 80.
func (s *Set) Find(host, port string) *Provider {
	if standard(port) {
		if p := s.exact[host]; p != nil {
			return p
		}
	}
	if p := s.exact[net.JoinHostPort(host, port)]; p != nil {
		return p
	}
	for _, x := range s.suffixes {
		if strings.HasSuffix(host, x.dot) && len(host) > len(x.dot) && (x.port == port || x.port == "" && standard(port)) {
			return x.p
		}
	}
	return nil
}

// Provider returns the provider of that name, or nil.
func (s *Set) Provider(name string) *Provider { return s.byName[name] }

// Providers lists the names, in the order of the files.
func (s *Set) Providers() []string { return s.names }

// Match returns the plan and the endpoint label of a request. escapedPath is
// the path as it goes over the wire. A path that could be read in two ways is a
// [Denial] if the ways lead to different plans.
func (p *Provider) Match(method, escapedPath string) (Match, error) {
	plan := p.plan(method, escapedPath)
	if Ambiguous(escapedPath) {
		for again, reading := 0, canonical(escapedPath); again < 3; again, reading = again+1, canonical(reading) { // some servers decode twice
			if p.plan(method, reading) != plan {
				return Match{plan, Other}, &Denial{
					Code: BadRequest, Stage: "route", Detail: "the path can be read in two ways, and they fall under different rules",
					Hint: "Send the path without encoded separators, dot segments, empty segments or parameters.",
				}
			}
		}
		return Match{plan, Other}, nil
	}
	for _, l := range p.labels {
		if l.Match(method, escapedPath) {
			return Match{plan, l.Text}, nil
		}
	}
	return Match{plan, Other}, nil
}

func (p *Provider) plan(method, escapedPath string) *Plan {
	for _, r := range p.routes {
		if r.pattern.Match(method, escapedPath) {
			return r.plan
		}
	}
	return p.whole
}

// Places reports whether each account of the provider may have a host of its
// own.
func (p *Provider) Places() bool { return p.whole.Places }

// Plans lists the provider's own plan and those of its routes.
func (p *Provider) Plans() []*Plan {
	plans := []*Plan{p.whole}
	for _, r := range p.routes {
		plans = append(plans, r.plan)
	}
	return plans
}

// Labels lists every endpoint label, [Other] last.
func (p *Provider) Labels() (labels []string) {
	for _, l := range p.labels {
		labels = append(labels, l.Text)
	}
	return append(labels, Other)
}

// Ready lists, as warnings, what is wrong with the secrets of stages, each at its
// block.
func (s *Set) Ready() (diags hcl.Diagnostics) {
	for _, name := range s.names {
		for _, plan := range s.byName[name].Plans() {
			for _, st := range plan.Stages {
				if st.Ready == nil {
					continue
				}
				if err := st.Ready(); err != nil {
					at := st.Ranges[len(st.Ranges)-1]
					diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "Unusable " + st.Name, Detail: block.Sentence(err.Error()), Subject: &at})
				}
			}
		}
	}
	return unique(diags)
}

// add gives h to p. It fails if another host of the set covers the same.
func (s *Set) add(h Host, p *Provider) error {
	wild, isWild := strings.CutPrefix(h.key(), "*")
	taken := func(other *Provider) error {
		return fmt.Errorf("%s belongs to provider %q already", h, other.Name)
	}
	if !isWild {
		for _, known := range append(sharing(h), h) {
			if other := s.exact[known.key()]; other != nil {
				return taken(other)
			}
		}
		s.exact[h.key()] = p
		return nil
	}
	port := h.Port()
	dot := strings.TrimSuffix(wild, ":"+port)
	for _, x := range s.suffixes {
		if x.dot == dot && (x.port == port || standard(x.port) && standard(port) && (x.port == "" || port == "")) {
			return taken(x.p)
		}
	}
	s.suffixes = append(s.suffixes, suffix{dot, port, p})
	slices.SortStableFunc(s.suffixes, func(a, b suffix) int { return len(b.dot) - len(a.dot) })
	return nil
}

// sharing lists the other spellings that own a part of what h owns: without a
// port a host is owned on the standard ones.
func sharing(h Host) []Host {
	switch port := h.Port(); {
	case port == "":
		return []Host{h + ":443", h + ":80"}
	case standard(port):
		return []Host{Host(strings.TrimSuffix(string(h), ":"+port))}
	}
	return nil
}

// standard reports whether a host without a port is owned on that one.
func standard(port string) bool { return port == "" || port == "443" || port == "80" }
