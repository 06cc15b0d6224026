// Package header is credential "header": a value in a header of the provider's
// own, such as X-Api-Key.
package header

import (
	"net/http"

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

	credential.Rotation

	live *credential.Live
}

// Check refuses names that are no header, or not the policy's to set.
func (b *Block) Check() error {
	if err := policy.CheckHeader(b.Name); err != nil {
		return block.At("name", "%w", err)
	}
	return b.Rotation.Check()
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	name := http.CanonicalHeaderKey(b.Name)
	return b.live.Stage(s, credential.Kind{
		Name: "header", Summary: "value in header " + b.Name,
		Slot: policy.Slot{In: policy.InHeader, Name: name}, Values: b.Value, On: b.On,
		Put: func(r *http.Request, _ *policy.Exchange, value string, _ []string) error {
			policy.SetHeader(r.Header, name, value)
			return nil
		},
	}), nil
}
