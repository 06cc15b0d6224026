package inbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/postern-proxy/postern/config/block"
)

// Config is the inbound block.
type Config struct {
	Listen    string `hcl:"listen,optional"`
	PublicURL string `hcl:"public_url,optional"` // what schemes that sign the URL sign
	TLS       *TLS   `hcl:"tls,block"`
}

// TLS is the tls block of the inbound listener.
type TLS struct {
	Cert     block.Path `hcl:"cert"`
	Key      block.Path `hcl:"key"`
	ClientCA block.Path `hcl:"client_ca,optional"` // demands client certificates of these authorities
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

// Load reads the certificate and, if client certificates are demanded, their
// authorities.
func (t *TLS) Load() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(string(t.Cert), string(t.Key))
	if err != nil {
		return nil, fmt.Errorf("load the inbound certificate: %w", err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if t.ClientCA != "" {
		pem, err := os.ReadFile(string(t.ClientCA))
		if err != nil {
			return nil, fmt.Errorf("load the inbound client authorities: %w", err)
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("load the inbound client authorities: %s holds no certificate", t.ClientCA)
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}
