// Package admin serves what people and orchestrators look at: health, metrics,
// the API and a page.
package admin

import (
	"net"
	"net/netip"

	"github.com/postern-proxy/postern/config/block"
)

// Config is the admin block.
type Config struct {
	Listen string       `hcl:"listen,optional"`
	Token  block.Secret `hcl:"token,optional"` // demanded of everything but health
	Pprof  bool         `hcl:"pprof,optional"` // serve /debug/pprof
}

// Default listens on loopback, without a token.
func (c *Config) Default() { c.Listen = "127.0.0.1:8082" }

// Check refuses an address that others can reach without a token (claim C26).
func (c *Config) Check() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return block.At("listen", "%q is not HOST:PORT", c.Listen)
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) && c.Token.IsZero() {
		return block.At("listen", "%q can be reached from other machines, so a token is needed", c.Listen)
	}
	return nil
}
