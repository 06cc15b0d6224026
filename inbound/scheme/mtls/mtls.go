// Package mtls verifies webhooks by the certificate that their sender shows when
// the connection is made. The listener has verified it by then (tls.client_ca of
// the inbound block); here it is whose it is.
package mtls

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
)

// Block is the body of a verify "mtls" block.
type Block struct {
	CommonName []string `hcl:"common_name,optional"` // of the subject; any of them
	DNS        []string `hcl:"dns,optional"`         // alternative names; any of them
	URI        []string `hcl:"uri,optional"`
	Email      []string `hcl:"email,optional"`
}

// Check implements [block.Checker].
func (b *Block) Check() error {
	all := slices.Concat(b.CommonName, b.DNS, b.URI, b.Email)
	if len(all) == 0 {
		return errors.New("common_name, dns, uri or email is required: it says which of the authority's certificates may post here")
	}
	if slices.Contains(all, "") {
		return errors.New("a name must not be empty")
	}
	return nil
}

// Scheme decodes a verify "mtls" block.
func Scheme(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
	b := &Block{}
	if diags := block.Decode(body, ctx, b); diags.HasErrors() {
		return nil, diags
	}
	return &inbound.Verification{Verify: b.verify, NeedsPeer: true}, nil
}

func (b *Block) verify(_ context.Context, r *inbound.Request) inbound.Verdict {
	c := r.Peer
	if c == nil {
		return inbound.Verdict{Result: inbound.Unsigned, Why: "the sender has shown no certificate"}
	}
	if !b.names(c) {
		return claim.Bad("the certificate is for %.100q %.200q, whose events are not taken here", c.Subject.CommonName, strings.Join(c.DNSNames, " "))
	}
	return inbound.Verdict{Result: inbound.Accepted, Proof: inbound.Proof{Key: inbound.Fingerprint(c.RawSubjectPublicKeyInfo)}}
}

// names reports whether one of each kind of name that the block has is c's.
func (b *Block) names(c *x509.Certificate) bool {
	uris := make([]string, len(c.URIs))
	for i, u := range c.URIs {
		uris[i] = fmt.Sprint(u)
	}
	for _, kind := range []struct{ want, has []string }{
		{b.CommonName, []string{c.Subject.CommonName}}, {b.DNS, c.DNSNames}, {b.URI, uris}, {b.Email, c.EmailAddresses},
	} {
		if len(kind.want) > 0 && !slices.ContainsFunc(kind.has, func(n string) bool { return slices.Contains(kind.want, n) }) {
			return false
		}
	}
	return true
}
