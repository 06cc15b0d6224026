// Package paypal verifies webhooks of PayPal: a signature over a few headers and
// the CRC-32 of the body, by the key of a certificate that a header names.
//
// A CRC-32 is no digest: whoever has seen one signed request can make another body
// that has it. Its events are marked partial, and the window is short.
package paypal

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"hash/crc32"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"golang.org/x/time/rate"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
	"github.com/postern-proxy/postern/inbound/keys"
)

// Block is the body of a verify "paypal" block.
type Block struct {
	WebhookID []string       `hcl:"webhook_id"` // as PayPal gave it when the webhook was made; any of them
	Tolerance block.Duration `hcl:"tolerance,optional"`
}

// Default sets the tolerance.
func (b *Block) Default() { b.Tolerance.Duration = 5 * time.Minute }

// Check implements [block.Checker].
func (b *Block) Check() error {
	var errs []error
	for _, id := range b.WebhookID {
		if id == "" || strings.ContainsAny(id, "| \t\r\n") {
			errs = append(errs, block.At("webhook_id", "webhook_id must be as PayPal shows it, such as %q", "8PT597110X687430LKGECATA"))
		}
	}
	if len(b.WebhookID) == 0 {
		errs = append(errs, block.At("webhook_id", "webhook_id must not be empty"))
	}
	if b.Tolerance.Duration <= 0 {
		errs = append(errs, block.At("tolerance", "tolerance must be more than nothing"))
	}
	return errors.Join(errs...)
}

// The headers (developer.paypal.com/api/rest/webhooks/rest, facts of 2026-11).
const (
	signatureHeader = "Paypal-Transmission-Sig"
	idHeader        = "Paypal-Transmission-Id"
	timeHeader      = "Paypal-Transmission-Time"
	certHeader      = "Paypal-Cert-Url"
	algHeader       = "Paypal-Auth-Algo"
)

// Trust says where certificates are, and whose.
type Trust struct {
	Certificates keys.Place
	Names        []string
}

// PayPal is the trust of PayPal: the hosts are its API's; the names are those that other
// clients demand of its certificates (not verified at PayPal, 2026-11-29).
func PayPal() Trust {
	return Trust{
		Certificates: keys.Place{
			Host: regexp.MustCompile(`^api(-m)?(\.sandbox)?\.paypal\.com$`), Path: regexp.MustCompile(`^/v1/notifications/certs/CERT-[0-9A-Za-z-]{1,100}$`),
			Issuers: regexp.MustCompile(`^cacerts\.digicert\.com$`),
		},
		Names: []string{"messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com"},
	}
}

type verifier struct {
	*Block
	keys  *keys.Fetcher
	trust Trust
	limit *rate.Limiter // of certificates that were not seen before
}

// Scheme returns the scheme paypal over f.
func Scheme(f *keys.Fetcher, trust Trust) inbound.Scheme {
	return func(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
		b := &Block{}
		if diags := block.Decode(body, ctx, b); diags.HasErrors() {
			return nil, diags
		}
		x := &verifier{b, f, trust, keys.Strangers()}
		return &inbound.Verification{Verify: x.verify, BodyOnly: true, Headers: []string{signatureHeader, idHeader, timeHeader, certHeader, algHeader}}, nil
	}
}

func (x *verifier) verify(ctx context.Context, r *inbound.Request) inbound.Verdict {
	coded, v := claim.One(r.Header, signatureHeader)
	if v.Result != inbound.Accepted {
		return v
	}
	rest := map[string]string{}
	for _, name := range []string{idHeader, timeHeader, certHeader, algHeader} {
		value, bad := claim.One(r.Header, name)
		if bad.Result != inbound.Accepted {
			return claim.Bad("%s", bad.Why)
		}
		rest[name] = value
	}
	signature, err := claim.Base64.Decode(coded)
	if err != nil {
		return claim.Bad("the signature is not Base64: %v", err)
	}
	if rest[algHeader] != "SHA256withRSA" {
		return claim.Bad("the algorithm %.40q is not SHA256withRSA", rest[algHeader])
	}
	if strings.Contains(rest[idHeader]+rest[timeHeader], "|") {
		return claim.Bad("a header holds what divides the parts of the signed text")
	}
	at, err := claim.Time(inbound.RFC3339, rest[timeHeader])
	if err != nil {
		return claim.Bad("%v", err)
	}
	cert, err := x.keys.Certificate(ctx, rest[certHeader], x.trust.Certificates, x.limit, x.trust.Names...)
	if errors.Is(err, keys.ErrPlace) || errors.Is(err, keys.ErrUnknown) || errors.Is(err, keys.ErrChain) {
		return claim.Bad("%s: %v", certHeader, err)
	} else if err != nil {
		return claim.Unsure(err)
	}
	pub, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return claim.Bad("the certificate has no RSA key")
	}
	sum := strconv.FormatUint(uint64(crc32.ChecksumIEEE(r.Body)), 10)
	for _, id := range x.WebhookID {
		text := rest[idHeader] + "|" + rest[timeHeader] + "|" + id + "|" + sum
		if rsa.VerifyPKCS1v15(pub, crypto.SHA256, claim.SHA256().Sum([]byte(text)), signature) == nil {
			v = inbound.Verdict{Result: inbound.Accepted, Timestamp: rest[timeHeader], EventID: rest[idHeader], Proof: inbound.Proof{
				Key: inbound.Fingerprint(cert.RawSubjectPublicKeyInfo), Signed: at, Partial: true,
			}}
			return claim.Fresh(v, at, r.Received, x.Tolerance.Duration)
		}
	}
	return claim.Bad("the signature is not that of the certificate over these headers, the webhook_id and this body")
}
