package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/postern-proxy/postern/config/block"
)

// Config is the proxy block: what HTTPS_PROXY points at.
type Config struct {
	Listen          string     `hcl:"listen,optional"`
	Unmatched       string     `hcl:"unmatched,optional"` // hosts no provider names: "tunnel" or "deny"; "" is tunnel on loopback, deny elsewhere
	Trust           block.Path `hcl:"trust,optional"`     // folder shared with applications
	CA              block.Path `hcl:"ca,optional"`        // folder of the authority's private key
	PrivateNetworks []string   `hcl:"private_networks,optional"`
	Clients         []Client   `hcl:"client,block"`
	TLS             *block.TLS `hcl:"tls,block"`
}

// Default implements [block.Defaulter].
func (c *Config) Default() {
	c.Listen, c.Trust, c.CA = "127.0.0.1:8080", "trust", "ca"
}

// Check implements [block.Checker].
func (c *Config) Check() error {
	var errs []error
	if err := safeListen(c.Listen, c.Clients); err != nil {
		errs = append(errs, block.At("listen", "%v", err))
	}
	switch c.Unmatched {
	case "", "tunnel", "deny":
	default:
		errs = append(errs, block.At("unmatched", `is either "tunnel" or "deny"`))
	}
	for _, n := range c.PrivateNetworks {
		if p, err := netip.ParsePrefix(n); err != nil || p != p.Masked() {
			errs = append(errs, block.At("private_networks", "%q is not a network such as 10.0.0.0/8", n))
		}
	}
	names := map[string]bool{}
	for _, client := range c.Clients {
		switch {
		case client.Name == "" || strings.ContainsAny(client.Name, "+:") || strings.IndexFunc(client.Name, notVisible) >= 0:
			errs = append(errs, fmt.Errorf("client %q: a name has no '+', ':' or space", client.Name))
		case names[client.Name]:
			errs = append(errs, fmt.Errorf("client %q is declared twice", client.Name))
		}
		names[client.Name] = true
	}
	return errors.Join(errs...)
}

// Networks are the private networks that may be dialled.
func (c *Config) Networks() []netip.Prefix {
	var out []netip.Prefix
	for _, n := range c.PrivateNetworks {
		if p, err := netip.ParsePrefix(n); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// Denies says whether hosts that no provider names are refused (C27).
func (c *Config) Denies() bool {
	if c.Unmatched == "" {
		return !loopback(c.Listen)
	}
	return c.Unmatched == "deny"
}

// safeListen refuses an address that others can reach, unless they have to
// prove who they are (C26).
func safeListen(address string, clients []Client) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%q is not HOST:PORT", address)
	}
	if len(clients) == 0 && !loopback(address) {
		return fmt.Errorf("%q can be reached from other machines, so a client has to be declared", address)
	}
	return nil
}

// loopback reports whether only this machine can reach an address to listen on.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
