package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
)

// Rules are what a policy says about addresses. The zero value lets public
// addresses through and nothing else.
type Rules struct {
	Private []netip.Prefix   // may be dialled although they are special: private_networks
	Self    []netip.AddrPort // our own listeners; an unspecified address stands for every local one
}

// A Guard decides which addresses may be dialled. It asks at the moment of
// connecting, about the address that is connected to, so that no name, redirect
// or second answer of a resolver gets around it. The proxy variables of the
// environment are not read.
//
// All special-purpose addresses are refused, in every form that embeds them
// too, unless [Rules] or the policy's own words allow them. Cloud metadata,
// multicast, "this host" and our own listeners are refused even then.
type Guard struct {
	// Resolve looks a name up; nil is the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

	rules atomic.Pointer[Rules]
}

// Set replaces the rules. Connections that exist stay.
func (g *Guard) Set(r Rules) { g.rules.Store(&r) }

// Allow reports with a [*Refused] that a request may not make us dial addr.
func (g *Guard) Allow(addr netip.AddrPort) error { return g.check(addr.String(), addr, false) }

// DialContext connects to an address that a request, a response or a resolver
// chose. All addresses a name resolves to have to be allowed, or none is tried.
func (g *Guard) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return g.dial(ctx, network, addr, false)
}

// DialerFor returns a dialer for addresses that are written in the policy, such
// as an upstream or a deliver.to: exactly these, each "host:port", may be
// private, or resolve to private addresses. It treats all others like
// [Guard.DialContext].
func (g *Guard) DialerFor(named ...string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	exact := make(map[string]bool, len(named))
	for _, n := range named {
		exact[n] = true
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return g.dial(ctx, network, addr, exact[addr])
	}
}

// check decides about one address of host. named says that the policy itself
// names the host.
func (g *Guard) check(host string, addr netip.AddrPort, named bool) error {
	rules := g.rules.Load()
	if rules == nil {
		rules = new(Rules)
	}
	ip := addr.Addr().Unmap()
	refuse := func(why, cure string) error { return &Refused{host, addr.Addr(), why, cure} }
	if ip.Zone() != "" {
		return refuse("has a zone", "")
	}
	if rules.self(netip.AddrPortFrom(ip, addr.Port())) {
		return refuse("is a listener of Postern itself", "")
	}
	for _, a := range append(embedded(ip), ip) {
		k := kind(a)
		switch {
		case k == nil:
		case k.never:
			return refuse(k.why, "")
		case named, rules.private(a):
		default:
			own := netip.PrefixFrom(a, a.BitLen())
			return refuse(k.why, `If this is meant, add "`+own.String()+`" to private_networks in the proxy block, or name the address as the provider's upstream.`)
		}
	}
	return nil
}

func (r *Rules) private(a netip.Addr) bool {
	for _, p := range r.Private {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// self reports whether a connection to addr would reach one of our listeners.
func (r *Rules) self(addr netip.AddrPort) bool {
	for _, l := range r.Self {
		if l.Port() != addr.Port() {
			continue
		}
		if own := l.Addr().Unmap(); own == addr.Addr() || own.IsUnspecified() && local(addr.Addr()) {
			return true
		}
	}
	return false
}

// local reports whether an address is one of this machine's, and says yes if
// that cannot be found out.
func local(a netip.Addr) bool {
	if a.IsLoopback() || a.IsUnspecified() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, i := range addrs {
		if n, ok := i.(*net.IPNet); ok {
			if own, ok := netip.AddrFromSlice(n.IP); ok && own.Unmap() == a {
				return true
			}
		}
	}
	return false
}

func (g *Guard) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	look := g.Resolve
	if look == nil {
		look = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	addrs, err := look(ctx, host)
	if err == nil && len(addrs) == 0 {
		err = errors.New("the name has no address")
	}
	return addrs, err
}
