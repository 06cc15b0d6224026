package policy

import "net/url"

// A Set is a compiled policy. It is immutable; a reload makes a new one.
type Set struct {
	exact    map[string]*Provider
	suffixes []suffix // longest first
	byName   map[string]*Provider
	names    []string // in the order of the files
}

// A Provider is a compiled provider block.
type Provider struct {
	Name     string
	Hosts    []Host   // as written
	Upstream *url.URL // dialled instead of the host that was asked for; nil is that host
	Listen   string   // own port, "" if none

	whole     *Plan
	routes    []routed // most specific first
	endpoints []labelled
}

// Find returns the provider that owns a normalised host ("api.stripe.com",
// lower case, no trailing dot, no port) and port, or nil.
func (s *Set) Find(host, port string) *Provider { return nil }

// Provider returns the provider of that name, or nil.
func (s *Set) Provider(name string) *Provider { return s.byName[name] }

// Providers lists the names, in the order of the files.
func (s *Set) Providers() []string { return s.names }

// Match returns the plan and the endpoint label of a request. escapedPath is
// the path as it goes over the wire. A path that could be read in two ways
// (claim C6) is a [Denial] if a path rule decides about it.
func (p *Provider) Match(method, escapedPath string) (Match, error) { return Match{}, nil }
