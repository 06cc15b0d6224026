// Package bearer is credential "bearer": a token in Authorization (RFC 6750 §2.1).
package bearer

import (
	"net/http"
	"strings"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
)

// Feature returns the feature.
func Feature(live *credential.Live) policy.Feature {
	return policy.Feature{Name: "credential", Kind: "bearer", New: func() policy.Block { return &Block{live: live} }}
}

// Block is a credential "bearer" block.
type Block struct {
	Token  []block.Secret `hcl:"token"` // newest first
	Scheme string         `hcl:"scheme,optional"`

	credential.Rotation

	live *credential.Live
}

// Default is the scheme of RFC 6750.
func (b *Block) Default() {
	b.Scheme = "Bearer"
	b.Rotation.Default()
}

// Check refuses a scheme that is more than one word.
func (b *Block) Check() error {
	if b.Scheme == "" || strings.ContainsFunc(b.Scheme, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == ',' || c == '"' }) {
		return block.At("scheme", "%q is not a word such as \"Bearer\" or \"token\"", b.Scheme)
	}
	return b.Rotation.Check()
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	return b.live.Stage(s, credential.Kind{
		Name: "bearer", Summary: b.Scheme + " token in Authorization",
		Slot: policy.Slot{In: policy.InHeader, Name: "Authorization"}, Values: b.Token, On: b.On,
		Put: func(r *http.Request, _ *policy.Exchange, value string, _ []string) error {
			policy.SetHeader(r.Header, "Authorization", b.Scheme+" "+value)
			return nil
		},
	}), nil
}
