package inbound

import (
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/postern-proxy/postern/config/block"
)

// Config is the inbound block.
type Config struct {
	Listen    string     `hcl:"listen,optional"`
	PublicURL string     `hcl:"public_url,optional"` // what schemes that sign the URL sign
	TLS       *block.TLS `hcl:"tls,block"`
}

// Default sets the listener's address.
func (c *Config) Default() { c.Listen = "127.0.0.1:8081" }

// Check implements [block.Checker].
func (c *Config) Check() error {
	var errs []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, block.At("listen", "listen must be an address with a port, such as %q", "127.0.0.1:8081"))
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			errs = append(errs, block.At("public_url", "public_url must be an http or https URL without query, such as %q", "https://hooks.example.com"))
		}
	}
	return errors.Join(errs...)
}

// publicURL is the URL that a provider posted to, given path and query as sent.
func (c *Config) publicURL(uri string) string {
	if c.PublicURL == "" {
		return ""
	}
	return strings.TrimSuffix(c.PublicURL, "/") + uri
}
