package admin

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/postern-proxy/postern/config/block"
)

// Config is the admin block.
type Config struct {
	Listen string       `hcl:"listen,optional"`
	Names  []string     `hcl:"names,optional"` // host names it may be called by, besides that of listen, localhost and addresses
	Token  block.Secret `hcl:"token,optional"` // demanded of everything but health
	Pprof  bool         `hcl:"pprof,optional"` // serve /debug/pprof
	TLS    *block.TLS   `hcl:"tls,block"`
}

// Default listens on loopback, without a token.
func (c *Config) Default() { c.Listen = "127.0.0.1:8082" }

// Check refuses an address that others can reach without a token (claim C26),
// and a debugger without one (C29).
func (c *Config) Check() error {
	var errs []error
	switch _, _, err := net.SplitHostPort(c.Listen); {
	case err != nil:
		errs = append(errs, block.At("listen", "%q is not HOST:PORT", c.Listen))
	case !c.local() && c.Token.IsZero():
		errs = append(errs, block.At("listen", "%q can be reached from other machines, so a token is needed", c.Listen))
	}
	if c.Pprof && c.Token.IsZero() {
		errs = append(errs, block.At("pprof", "it shows what is in memory, so a token is needed"))
	}
	for _, name := range c.Names {
		if strings.ContainsAny(name, "/:*@ ") || name == "" {
			errs = append(errs, block.At("names", "%q is not a host name without a port", name))
		}
	}
	return errors.Join(errs...)
}

// local reports whether only this machine can reach the listener.
func (c *Config) local() bool {
	host, _, _ := net.SplitHostPort(c.Listen)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// leastToken is how long a token has to be, in bytes: it is the only defence
// against somebody who guesses.
const leastToken = 16

// token is the one that requests have to bring, "" if none.
func (c *Config) token() (string, error) {
	if c.Token.IsZero() {
		return "", nil
	}
	token, err := c.Token.Reveal()
	if err != nil {
		return "", fmt.Errorf("read the admin token: %w", err)
	}
	if len(token) < leastToken {
		return "", fmt.Errorf("the admin token, %v, is shorter than %d bytes", c.Token, leastToken)
	}
	return token, nil
}
