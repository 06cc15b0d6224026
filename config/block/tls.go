package block

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// TLS is the tls block of a listener.
type TLS struct {
	Cert     Path `hcl:"cert"`
	Key      Path `hcl:"key"`
	ClientCA Path `hcl:"client_ca,optional"` // demands client certificates of these authorities
}

// Load reads the files, for a server that speaks the protocols (ALPN, RFC 7301),
// the preferred one first.
func (t *TLS) Load(protocols ...string) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(string(t.Cert), string(t.Key))
	if err != nil {
		return nil, fmt.Errorf("load the certificate of a listener: %w", err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: protocols}
	if t.ClientCA == "" {
		return c, nil
	}
	pem, err := os.ReadFile(string(t.ClientCA))
	if err != nil {
		return nil, fmt.Errorf("load client_ca: %w", err)
	}
	c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("load client_ca: %s holds no certificate", t.ClientCA)
	}
	return c, nil
}
