// Package path is credential "path": a token in front of the path, as Telegram
// has it (/bot<token>/sendMessage).
package path

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
)

// Feature returns the feature.
func Feature(live *credential.Live) policy.Feature {
	return policy.Feature{Name: "credential", Kind: "path", New: func() policy.Block { return &Block{live: live} }}
}

// Block is a credential "path" block.
type Block struct {
	Token  []block.Secret `hcl:"token"`                                           // newest first
	Prefix *block.Expr    `hcl:"prefix,optional" scope:"credential" encode:"url"` // one segment

	credential.Rotation

	live *credential.Live
}

// token answers the one name that the prefix may use.
type token string

// Lookup returns the token.
func (t token) Lookup(ref *block.Ref) block.Value {
	if ref.Name != "token" {
		return block.Value{}
	}
	return block.Value{Kind: block.String, Str: string(t)}
}

// Check wants one segment that holds the token. Telegram's is the default.
func (b *Block) Check() error {
	if b.Prefix == nil {
		var err error
		if b.Prefix, err = block.ParseURLExpr(`"/bot${token}"`, "credential"); err != nil {
			return fmt.Errorf("make the default prefix: %w", err)
		}
	}
	sample, ok := b.Prefix.String(token("T0KEN"))
	if !ok || !strings.HasPrefix(sample, "/") || strings.Count(sample, "/") != 1 || strings.Count(sample, "T0KEN") != 1 || strings.ContainsAny(sample, "?#") {
		return block.At("prefix", "the prefix is one segment with the token in it, such as \"/bot${token}\"")
	}
	return b.Rotation.Check()
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	sample, _ := b.Prefix.String(token("T0KEN"))
	form := strings.Replace(sample, "T0KEN", "*", 1)
	return b.live.Stage(s, credential.Kind{
		Name: "path", Summary: "token in the path, " + strings.Replace(form, "*", "…", 1),
		Slot: policy.Slot{In: policy.InPath, Name: form}, Values: b.Token, On: b.On,
		Put: func(r *http.Request, _ *policy.Exchange, value string, _ []string) error {
			prefix, _ := b.Prefix.String(token(value))
			policy.SetPath(r.URL, prefix+policy.DropSegment(r.URL.EscapedPath(), form)) // the application's own goes
			return nil
		},
	}), nil
}
