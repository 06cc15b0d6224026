// Package mtls is credential "mtls": a client certificate, by which the provider
// knows who calls as soon as TLS is made (RFC 8446 §4.4.2). Calls with one have
// connections and TLS sessions of their own: package upstream sees to it.
//
//	mtls.go  the block and its stage
//	pair.go  which certificate is in use: the newest that is whole
package mtls

import (
	"fmt"
	"net/http"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// Feature returns the feature.
func Feature(live *Live) policy.Feature {
	return policy.Feature{Name: "credential", Kind: "mtls", New: func() policy.Block { return &Block{live: live} }}
}

// Block is a credential "mtls" block. Both are in PEM (RFC 7468).
type Block struct {
	Cert block.Secret `hcl:"cert"` // the certificate, and those of intermediate authorities behind it
	Key  block.Secret `hcl:"key"`

	live *Live
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	p := &pairs{Block: b, scope: s}
	return policy.Stage{
		Summary: "client certificate " + b.Cert.String(),
		Slots:   []policy.Slot{{In: policy.InTLS}},
		Ready:   p.ready,
		Keys:    p.states,
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
				x := policy.From(r.Context())
				use, err := p.take()
				if err != nil {
					return nil, err
				}
				x.Certificate = use.cert
				x.Carries(use.fingerprint)
				return next.RoundTrip(r)
			})
		},
	}, nil
}

func (p *pairs) missing(err error) error {
	do, why := block.Cure(err)
	return &policy.Denial{
		Code: policy.CredentialUnavailable, Stage: "credential", Detail: "the client certificate of this call is not available: " + err.Error(),
		Hint: "Where Postern runs, " + do + ": " + why + ".",
	}
}

func (p *pairs) unusable(err error) error {
	return &policy.Denial{
		Code: policy.CredentialUnavailable, Stage: "credential", Detail: fmt.Sprintf("the client certificate of this call cannot be used: %v (%v, %v)", err, p.Cert, p.Key),
		Hint: "Where Postern runs, put a valid certificate there and the key that belongs to it, both in PEM: files are read anew when they change.",
	}
}
