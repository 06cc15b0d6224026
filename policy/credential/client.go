package credential

import (
	"crypto"
	"errors"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/policy"
)

// Signing is the key of a client that shows who it is by a signature.
type Signing struct {
	Key   []block.Secret `hcl:"key,optional"` // PEM, newest first
	KeyID string         `hcl:"key_id,optional"`
	Alg   string         `hcl:"alg,optional"` // "" goes by the key
}

// Fits lists how a client's secrets and the way to show them do not fit.
func (k *Signing) Fits(s *Server) (errs []error) {
	switch s.Auth {
	case oauth.Basic, oauth.BasicRaw, oauth.Post, oauth.ClientSecretJWT:
		if len(s.ClientSecret) == 0 {
			errs = append(errs, block.At("client_secret", "%s needs the client's secret; write auth = \"none\" for a client that has none", s.Auth))
		}
	case oauth.TLS:
		if s.TLSCert.IsZero() {
			errs = append(errs, block.At("tls_cert", "tls needs the client's certificate: tls_cert and tls_key"))
		}
	case oauth.PrivateKeyJWT:
		if len(k.Key) == 0 {
			errs = append(errs, block.At("key", "private_key_jwt needs the client's private key"))
		}
	}
	if len(k.Key) > 0 && s.Auth != oauth.PrivateKeyJWT {
		errs = append(errs, block.At("key", "the key signs nothing: write auth = \"private_key_jwt\", or leave it out"))
	}
	return errs
}

// Clients runs ask with the client's credentials, the newest first, until the
// server does not say that it does not know them.
func (s *Server) Clients(k *Signing, ask func(*oauth.Client) (*oauth.Token, error)) (t *oauth.Token, err error) {
	id, err := reveal(s.ClientID)
	if err != nil {
		return nil, err
	}
	tries := max(1, len(s.ClientSecret), len(k.Key))
	for i := range tries {
		c := &oauth.Client{ID: id, KeyID: k.KeyID, Alg: k.Alg, Skew: time.Until(s.Now())}
		if i < len(s.ClientSecret) {
			if c.Secret, err = reveal(s.ClientSecret[i]); err != nil {
				return nil, err
			}
		}
		if i < len(k.Key) {
			if c.Key, err = s.live.Signer(k.Key[i]); err != nil {
				return nil, err
			}
		}
		t, err = ask(c)
		var o *oauth.Error
		if i+1 == tries || !errors.As(err, &o) || !o.ClientRefused() {
			return t, err
		}
	}
	return t, err
}

// Signer reads a private key. In a test of a policy any key stands in for it.
func (l *Live) Signer(s block.Secret) (crypto.Signer, error) {
	if s.StandsIn() {
		return l.standIn()
	}
	text, err := s.Reveal()
	if err != nil {
		return nil, err
	}
	key, err := oauth.ParsePrivateKey([]byte(text))
	if err != nil {
		return nil, &block.SecretError{Ref: s.String(), Err: err}
	}
	return key, nil
}

// certificate is the client's, nil if it has none. In a test of a policy it has
// none.
func (s *Server) certificate() (*policy.ClientCertificate, error) {
	if s.TLSCert.IsZero() || s.TLSCert.StandsIn() {
		return nil, nil
	}
	cert, err := s.TLSCert.Reveal()
	if err != nil {
		return nil, err
	}
	key, err := s.TLSKey.Reveal()
	if err != nil {
		return nil, err
	}
	c, err := policy.NewClientCertificate([]byte(cert), []byte(key))
	if err != nil {
		return nil, &block.SecretError{Ref: s.TLSCert.String(), Err: err}
	}
	return c, nil
}

// reveal refuses a value that could not be sent.
func reveal(s block.Secret) (string, error) {
	v, err := s.Reveal()
	if err == nil && strings.ContainsAny(v, "\r\n\x00") {
		err = &block.SecretError{Ref: s.String(), Err: errors.New("it holds a line break or a NUL byte")}
	}
	return v, err
}
