// Package basic is credential "basic": a name and a password in Authorization
// (RFC 7617).
package basic

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
)

// Feature returns the feature.
func Feature(live *credential.Live) policy.Feature {
	return policy.Feature{Name: "credential", Kind: "basic", New: func() policy.Block { return &Block{live: live} }}
}

// Block is a credential "basic" block. A provider that wants its key as the
// name and no password (key + ":") has no password here.
type Block struct {
	Username block.Secret   `hcl:"username" literal:"allowed"`
	Password []block.Secret `hcl:"password,optional"` // newest first

	credential.Rotation

	live *credential.Live
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	k := credential.Kind{
		Name: "basic", Summary: "Basic in Authorization",
		Slot: policy.Slot{In: policy.InHeader, Name: "Authorization"}, Values: b.Password, Also: []block.Secret{b.Username}, On: b.On,
		Put: func(r *http.Request, _ *policy.Exchange, password string, also []string) error {
			return put(r, also[0], password)
		},
		Echo: func(password string, also []string) []string { // a name is no secret, and answers are full of them
			return []string{password, pair(also[0], password)}
		},
	}
	if len(b.Password) == 0 {
		k.Values, k.Also = []block.Secret{b.Username}, nil
		k.Put = func(r *http.Request, _ *policy.Exchange, name string, _ []string) error { return put(r, name, "") }
		k.Echo = func(name string, _ []string) []string { return []string{name, pair(name, "")} }
	}
	return b.live.Stage(s, k), nil
}

func put(r *http.Request, name, password string) error {
	if strings.Contains(name, ":") {
		return &policy.Denial{
			Code: policy.CredentialUnavailable, Stage: "credential", Detail: "the user name holds a colon, which Basic cannot carry (RFC 7617 §2)",
			Hint: "Put the part before the colon into username and the rest into password.",
		}
	}
	policy.SetHeader(r.Header, "Authorization", "Basic "+pair(name, password))
	return nil
}

func pair(name, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(name + ":" + password))
}
