// Package apple verifies App Store Server Notifications, version 2: the body is a
// token that brings the chain of certificates of the key it is signed by, up to a
// root of Apple's that is pinned.
package apple

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"slices"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
)

// Block is the body of a verify "apple" block.
type Block struct {
	BundleID  []string       `hcl:"bundle_id"` // of the apps whose notifications are taken
	Tolerance block.Duration `hcl:"tolerance,optional"`
}

// Default is longer than Apple goes on trying: 1, 12, 24, 48 and 72 hours, each after the
// attempt before, are 157 hours
// (developer.apple.com/documentation/appstoreservernotifications/responding-to-app-store-server-notifications,
// read 2026-11-30; that a repeat is signed anew is not verified).
func (b *Block) Default() { b.Tolerance.Duration = 7 * 24 * time.Hour }

// Check implements [block.Checker].
func (b *Block) Check() error {
	var errs []error
	if len(b.BundleID) == 0 || slices.Contains(b.BundleID, "") {
		errs = append(errs, block.At("bundle_id", "bundle_id must list the apps whose notifications are taken: Apple signs those of all apps by the same key"))
	}
	if b.Tolerance.Duration <= 0 {
		errs = append(errs, block.At("tolerance", "tolerance must be more than nothing"))
	}
	return errors.Join(errs...)
}

// Trust is which chains are taken.
type Trust struct {
	Roots *x509.CertPool
	// Leaf and Intermediate are extensions that certificates have which are for this
	// purpose; others below the same root are given to every developer.
	Leaf, Intermediate asn1.ObjectIdentifier
}

// Apple is the trust of Apple Root CA - G3 (root.go), with the extensions that
// apple/app-store-server-library-node demands (jws_verification.ts, facts of 2026-11).
func Apple() Trust {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(rootG3))
	return Trust{roots, asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 11, 1}, asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 2, 1}}
}

// Scheme returns the scheme apple over a trust.
func Scheme(trust Trust) inbound.Scheme {
	return func(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
		b := &Block{}
		if diags := block.Decode(body, ctx, b); diags.HasErrors() {
			return nil, diags
		}
		return &inbound.Verification{Verify: func(_ context.Context, r *inbound.Request) inbound.Verdict { return b.verify(r, trust) }, BodyOnly: true}, nil
	}
}

func (b *Block) verify(r *inbound.Request, trust Trust) inbound.Verdict {
	o, err := claim.Read(r.Body)
	if err != nil {
		return claim.Bad("the body: %v", err)
	}
	text := o.Text("signedPayload")
	if text == "" {
		return inbound.Verdict{Result: inbound.Unsigned, Why: "the body has no signedPayload"}
	}
	if err := claim.Compact(text); err != nil {
		return claim.Bad("signedPayload: %v", err)
	}
	sig, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return claim.Bad("signedPayload is no token that is signed with ES256: %v", err)
	}
	leaf, err := trust.leaf(sig.Signatures[0].Header, r.Received)
	if err != nil {
		return claim.Bad("the certificates of signedPayload: %v", err)
	}
	payload, err := sig.Verify(leaf.PublicKey)
	if err != nil {
		return claim.Bad("signedPayload is not signed by the key of its certificate")
	}
	v := b.read(payload, leaf, r.Received)
	v.Proof.Partial = len(o) > 1 // what stands beside the token is nobody's
	return v
}

// leaf is the certificate that a header brings, if its chain is taken.
func (t Trust) leaf(h jose.Header, now time.Time) (*x509.Certificate, error) {
	chains, err := h.Certificates(x509.VerifyOptions{Roots: t.Roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return nil, err
	}
	for _, chain := range chains {
		if _, ok := chain[0].PublicKey.(*ecdsa.PublicKey); ok && len(chain) == 3 && marked(chain[0], t.Leaf) && marked(chain[1], t.Intermediate) {
			return chain[0], nil
		}
	}
	return nil, errors.New("they are genuine, and not for notifications of the App Store")
}

func marked(c *x509.Certificate, id asn1.ObjectIdentifier) bool {
	for _, e := range c.Extensions {
		if e.Id.Equal(id) {
			return true
		}
	}
	return false
}

// read checks what the token says (developer.apple.com/documentation/appstoreservernotifications/responsebodyv2decodedpayload,
// facts of 2026-11).
func (b *Block) read(payload []byte, leaf *x509.Certificate, received time.Time) inbound.Verdict {
	o, err := claim.Read(payload)
	if err != nil {
		return claim.Bad("what signedPayload holds: %v", err)
	}
	bundle := ""
	for _, name := range []string{"data", "summary", "externalPurchaseToken", "appData"} {
		in, err := o.Object(name)
		if err != nil {
			return claim.Bad("what signedPayload holds: %v", err)
		}
		if id := in.Text("bundleId"); id != "" {
			bundle = id
		}
	}
	if !slices.Contains(b.BundleID, bundle) {
		return claim.Bad("the notification is about the app %.200q", bundle)
	}
	at, err := claim.Time(inbound.Millis, o.Text("signedDate"))
	if err != nil {
		return claim.Bad("signedDate: %v", err)
	}
	if o.Text("notificationUUID") == "" {
		return claim.Bad("what signedPayload holds has no notificationUUID")
	}
	v := inbound.Verdict{Result: inbound.Accepted, Timestamp: o.Text("signedDate"), EventID: o.Text("notificationUUID"), Proof: inbound.Proof{
		Key: inbound.Fingerprint(leaf.RawSubjectPublicKeyInfo), Signed: at,
	}}
	return claim.Fresh(v, at, received, b.Tolerance.Duration)
}
