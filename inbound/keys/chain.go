package keys

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"time"

	"golang.org/x/time/rate"
)

// maxChain is how many certificates one source may publish together.
const maxChain = 10

// Certificate returns the certificate at raw, which a request names: it is in the
// place, valid now, issued by an authority that is trusted, and for one of the
// names. limit bounds how many new ones are fetched.
func (f *Fetcher) Certificate(ctx context.Context, raw string, at Place, limit *rate.Limiter, names ...string) (*x509.Certificate, error) {
	u, err := at.Find(raw)
	if err != nil {
		return nil, err
	}
	v, err := f.certs.get(ctx, u.String(), time.Time{}, func(ctx context.Context) ([]*x509.Certificate, time.Duration, error) {
		if !f.certs.knows(u.String()) && !limit.Allow() {
			return nil, 0, errBusy
		}
		text, life, err := f.get(ctx, u)
		if err != nil {
			return nil, 0, err
		}
		chain, err := parseChain(text)
		if err != nil {
			return nil, 0, fmt.Errorf("what is at %s: %w", u.Redacted(), err)
		}
		return f.complete(ctx, chain, at), life, nil
	})
	if err != nil {
		return nil, err
	}
	return f.trusted(v.v, names)
}

// trusted decides anew each time: validity ends while a certificate is kept.
func (f *Fetcher) trusted(chain []*x509.Certificate, names []string) (*x509.Certificate, error) {
	leaf := chain[0]
	named := false
	for _, n := range names {
		named = named || leaf.VerifyHostname(n) == nil || leaf.Subject.CommonName == n
	}
	if !named {
		return nil, fmt.Errorf("it is for %q, not for the provider: %w", leaf.Subject.CommonName, ErrChain)
	}
	if err := f.verify(chain); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChain, err)
	}
	return leaf, nil
}

func (f *Fetcher) verify(chain []*x509.Certificate) error {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: f.opt.Issuers, Intermediates: between, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

// complete adds the links that a chain lacks, from where its certificates say that
// their issuers are (RFC 5280, 4.2.2.1). What cannot be had is left out: the chain
// is not trusted then.
func (f *Fetcher) complete(ctx context.Context, chain []*x509.Certificate, at Place) []*x509.Certificate {
	for range 2 {
		if at.Issuers == nil || f.verify(chain) == nil {
			break
		}
		link := f.issuer(ctx, chain[len(chain)-1], at)
		if link == nil {
			break
		}
		chain = append(chain, link)
	}
	return chain
}

func (f *Fetcher) issuer(ctx context.Context, c *x509.Certificate, at Place) *x509.Certificate {
	for _, raw := range c.IssuingCertificateURL {
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Port() != "" || u.RawQuery != "" || !whole(at.Issuers, u.Host) {
			continue
		}
		text, _, err := f.get(ctx, u)
		if err != nil {
			continue
		}
		if link, err := parseChain(text); err == nil && c.CheckSignatureFrom(link[0]) == nil {
			return link[0]
		}
	}
	return nil
}

// parseChain reads certificates in PEM, the leaf first, or one in DER.
func parseChain(text []byte) (chain []*x509.Certificate, err error) {
	if c, err := x509.ParseCertificate(text); err == nil {
		return []*x509.Certificate{c}, nil
	}
	for len(chain) < maxChain {
		var p *pem.Block
		if p, text = pem.Decode(text); p == nil {
			break
		}
		c, err := x509.ParseCertificate(p.Bytes)
		if p.Type != "CERTIFICATE" || err != nil {
			return nil, errors.New("it holds what is no certificate")
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errors.New("it holds no certificate")
	}
	return chain, nil
}
