package policy

import "net/http"

// StaticSet is a set with one provider per host, named like it, whose plan is
// the given round tripper. It is for tests of what comes before the stages.
func StaticSet(hosts map[string]http.RoundTripper) *Set {
	s := &Set{exact: map[string]*Provider{}, byName: map[string]*Provider{}}
	for h, rt := range hosts {
		p := &Provider{Name: h, Hosts: []Host{Host(h)}, whole: &Plan{Provider: h, Buffer: 1 << 20, next: rt}}
		s.exact[h], s.byName[h] = p, p
		s.names = append(s.names, h)
	}
	return s
}
