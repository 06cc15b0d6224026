package upstream

import (
	"net/netip"
	"slices"
)

// A special is a range that is not the public internet.
type special struct {
	prefix netip.Prefix
	why    string
	never  bool // no policy opens it
}

func ranges(never bool, why string, prefixes ...string) (list []special) {
	for _, p := range prefixes {
		list = append(list, special{netip.MustParsePrefix(p), why, never})
	}
	return list
}

// metadata is where clouds hand out credentials to whoever asks: link-local as
// a whole, and the addresses outside of it (AWS, Google, Azure, Alibaba, Oracle,
// Scaleway, OpenStack).
var metadata = ranges(true, "is where a cloud keeps its metadata and credentials",
	"169.254.0.0/16", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32",
	"fd00:ec2::/32", "fd20:ce::/32", "fd00:42::42/128", "fe80::a9fe:a9fe/128")

// special4 is the IANA IPv4 Special-Purpose Address Registry, with multicast
// and what is reserved.
var special4 = join(
	metadata,
	ranges(true, "means this host (RFC 791)", "0.0.0.0/8"),
	ranges(true, "is multicast (RFC 5771)", "224.0.0.0/4"),
	ranges(true, "is broadcast (RFC 919)", "255.255.255.255/32"),
	ranges(false, "is loopback (RFC 1122)", "127.0.0.0/8"),
	ranges(false, "is private (RFC 1918)", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
	ranges(false, "is shared address space (RFC 6598)", "100.64.0.0/10"),
	ranges(false, "is for protocol assignments (RFC 6890)", "192.0.0.0/24"),
	ranges(false, "is for documentation (RFC 5737)", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"),
	ranges(false, "is for AS112 and multicast relays (RFC 7534, 7535, 7450)", "192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24"),
	ranges(false, "is a 6to4 relay (RFC 7526)", "192.88.99.0/24"),
	ranges(false, "is for benchmarks (RFC 2544)", "198.18.0.0/15"),
	ranges(false, "is reserved (RFC 1112)", "240.0.0.0/4"),
)

// special6 is the IANA IPv6 Special-Purpose Address Registry. What is in no
// range and not in 2000::/3 is not assigned, and refused as well.
var special6 = join(
	metadata,
	ranges(true, "means this host (RFC 4291)", "::/128"),
	ranges(true, "is multicast (RFC 4291)", "ff00::/8"),
	ranges(false, "is loopback (RFC 4291)", "::1/128"),
	ranges(false, "is private (RFC 4193)", "fc00::/7"),
	ranges(false, "is link-local (RFC 4291)", "fe80::/10"),
	ranges(false, "is site-local (RFC 3879)", "fec0::/10"),
	ranges(false, "is for local translation (RFC 8215)", "64:ff9b:1::/48"),
	ranges(false, "is discard-only (RFC 6666)", "100::/64", "100:0:0:1::/64"),
	ranges(false, "is for protocol assignments, Teredo among them (RFC 2928, 4380)", "2001::/23"),
	ranges(false, "is 6to4 (RFC 7526)", "2002::/16"),
	ranges(false, "is for documentation (RFC 3849, 9637)", "2001:db8::/32", "3fff::/20"),
	ranges(false, "is for AS112 (RFC 7534)", "2620:4f:8000::/48"),
	ranges(false, "is for segment routing (RFC 9602)", "5f00::/16"),
	ranges(false, "holds an IPv4 address in a way no longer used (RFC 4291, 2765)", "::/8"),
)

// Prefixes that are read and not only refused.
var (
	global6  = netip.MustParsePrefix("2000::/3")
	nat64    = netip.MustParsePrefix("64:ff9b::/96")
	nat64own = netip.MustParsePrefix("64:ff9b:1::/48")
	teredo   = netip.MustParsePrefix("2001::/32")
	sixToOld = netip.MustParsePrefix("2002::/16")
	oldForms = netip.MustParsePrefix("::/80") // compatible ::a.b.c.d, and mapped
	siit     = netip.MustParsePrefix("::ffff:0:0:0/96")
	thisNet  = netip.MustParsePrefix("0.0.0.0/8")
)

func join(lists ...[]special) (all []special) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// kind finds why an address is special, nil if it is not. What the address may
// embed is asked separately.
func kind(a netip.Addr) *special {
	if nat64.Contains(a) {
		return nil // goes to the IPv4 address in it
	}
	list := special6
	if a.Is4() {
		list = special4
	}
	for i := range list {
		if list[i].prefix.Contains(a) {
			return &list[i]
		}
	}
	if a.Is6() && !global6.Contains(a) {
		return &special{netip.PrefixFrom(a, 128), "is not assigned to anyone (RFC 4291)", false}
	}
	return nil
}

// embedded lists the IPv4 addresses that a translator, a tunnel or an old stack
// may read out of an IPv6 address: NAT64 (RFC 6052, with every prefix length
// that fits), 6to4, Teredo (server and client), ISATAP, compatible and SIIT.
func embedded(a netip.Addr) (list []netip.Addr) {
	if a.Is4() || a.IsLoopback() || a.IsUnspecified() {
		return nil
	}
	b := a.As16()
	at := func(i, j, k, l int) { list = append(list, netip.AddrFrom4([4]byte{b[i], b[j], b[k], b[l]})) }
	switch {
	case nat64.Contains(a), oldForms.Contains(a), siit.Contains(a):
		at(12, 13, 14, 15)
	case nat64own.Contains(a):
		at(12, 13, 14, 15)
		at(6, 7, 9, 10)
		at(7, 9, 10, 11)
		at(9, 10, 11, 12)
		list = slices.DeleteFunc(list, thisNet.Contains) // zeros of the other lengths
	case sixToOld.Contains(a):
		at(2, 3, 4, 5)
	case teredo.Contains(a):
		at(4, 5, 6, 7)
		list = append(list, netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}))
	}
	if b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe {
		at(12, 13, 14, 15)
	}
	return list
}
