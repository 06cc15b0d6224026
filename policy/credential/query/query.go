// Package query is credential "query": a value in a parameter of the query.
package query

import (
	"net/http"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
)

// Feature returns the feature.
func Feature(live *credential.Live) policy.Feature {
	return policy.Feature{Name: "credential", Kind: "query", New: func() policy.Block { return &Block{live: live} }}
}

// Block is a credential "query" block.
type Block struct {
	Name  string         `hcl:"name"`
	Value []block.Secret `hcl:"value"` // newest first

	credential.Rotation

	live *credential.Live
}

// Check refuses an empty name.
func (b *Block) Check() error {
	if b.Name == "" {
		return block.At("name", "the parameter needs a name")
	}
	return b.Rotation.Check()
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	return b.live.Stage(s, credential.Kind{
		Name: "query", Summary: "value in query parameter " + b.Name,
		Slot: policy.Slot{In: policy.InQuery, Name: b.Name}, Values: b.Value, On: b.On,
		Put: func(r *http.Request, _ *policy.Exchange, value string, _ []string) error {
			policy.SetQuery(r.URL, b.Name, value)
			return nil
		},
	}), nil
}
