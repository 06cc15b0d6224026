package application

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"

	"github.com/postern-proxy/postern/config/block"
)

// TLS is the tls block of a place in the application: whom to believe there, and
// who calls. Everything is in PEM (RFC 7468) and read anew when it changes.
type TLS struct {
	CA   block.Secret `hcl:"ca,optional"`   // authorities, instead of those of the system
	Cert block.Secret `hcl:"cert,optional"` // the client's, and intermediate ones behind it
	Key  block.Secret `hcl:"key,optional"`
	Name string       `hcl:"server_name,optional"` // in the server's certificate, if that is not the host's
}

// Check implements [block.Checker].
func (t *TLS) Check() error {
	switch {
	case t.Cert.IsZero() != t.Key.IsZero():
		return errors.New("cert and key belong together")
	case t.CA.IsZero() && t.Cert.IsZero() && t.Name == "":
		return errors.New("an empty tls block says nothing: give ca, cert and key, or server_name")
	}
	return nil
}

// Ready reports what of it cannot be used now.
func (t *TLS) Ready() error {
	if t == nil {
		return nil
	}
	_, m, err := t.material()
	if err == nil {
		_, err = m.config()
	}
	return err
}

// material is what a tls block says at the moment.
type material struct{ ca, cert, key, name string }

// material returns it, and a sum that is the same while it is.
func (t *TLS) material() (sum [sha256.Size]byte, m material, err error) {
	h := sha256.New()
	for _, part := range []struct {
		from block.Secret
		into *string
	}{{t.CA, &m.ca}, {t.Cert, &m.cert}, {t.Key, &m.key}} {
		if !part.from.IsZero() {
			if *part.into, err = part.from.Reveal(); err != nil {
				return sum, m, err
			}
		}
		fmt.Fprintf(h, "%d:", len(*part.into))
		_, _ = io.WriteString(h, *part.into)
	}
	m.name = t.Name
	_, _ = io.WriteString(h, m.name)
	h.Sum(sum[:0])
	return sum, m, nil
}

func (m *material) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: m.name}
	if m.ca != "" {
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM([]byte(m.ca)) {
			return nil, errors.New("ca of the tls block holds no certificate in PEM")
		}
	}
	if m.cert != "" {
		pair, err := tls.X509KeyPair([]byte(m.cert), []byte(m.key))
		if err != nil {
			return nil, fmt.Errorf("cert and key of the tls block: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
