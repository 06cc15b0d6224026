// Package header is credential "header": a value in a header of the provider's
// own, such as X-Api-Key.
package header

import (
	"net/http"

	"golang.org/x/net/http/httpguts"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
)

// Feature returns the feature.
func Feature(live *credential.Live) policy.Feature {
	return policy.Feature{Name: "credential", Kind: "header", New: func() policy.Block { return &Block{live: live} }}
}

// Block is a credential "header" block.
type Block struct {
	Name  string         `hcl:"name"`
	Value []block.Secret `hcl:"value"` // newest first

	live *credential.Live
}

// Check refuses names that are no header, or not the policy's to set.
func (b *Block) Check() error {
	if !httpguts.ValidHeaderFieldName(b.Name) {
		return block.At("name", "%q is not a header name", b.Name)
	}
	switch http.CanonicalHeaderKey(b.Name) {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Te", "Upgrade":
		return block.At("name", "%s frames the message and carries no credential", b.Name)
	}
	return nil
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	name := http.CanonicalHeaderKey(b.Name)
	return b.live.Stage(s, credential.Kind{
		Name: "header", Summary: "value in header " + b.Name,
		Slot: policy.Slot{In: policy.InHeader, Name: name}, Values: b.Value,
		Put: func(r *http.Request, _ *policy.Exchange, value string, _ []string) error {
			r.Header[name] = []string{value}
			return nil
		},
	}), nil
}
