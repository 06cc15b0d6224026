// Package httpsignature is credential "http_signature": requests signed as HTTP
// Message Signatures (RFC 9421), with the digest of the body as RFC 9530 has it.
//
//	httpsignature.go  the block
//	component.go      what of a request is signed
//	parameter.go      what is said of the signature
//	key.go            keys and algorithms
//	sign.go           one attempt
package httpsignature

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
)

const kind = "http_signature"

// Feature returns the feature. It signs what the other kinds have put.
func Feature(live *credential.Live) policy.Feature {
	return policy.Feature{Name: "credential", Kind: kind, Last: true, New: func() policy.Block { return &Block{live: live} }}
}

// Block is a credential "http_signature" block.
type Block struct {
	Key         []block.Secret         `hcl:"key"`                               // newest first
	KeyEncoding credential.KeyEncoding `hcl:"key_encoding,optional"`             // of a shared secret
	KeyID       []block.Secret         `hcl:"key_id,optional" literal:"allowed"` // one, or one for each key
	Alg         Alg                    `hcl:"alg"`

	Components []Component `hcl:"components,optional"`
	Digest     Digest      `hcl:"digest,optional"`

	Parameters []Parameter    `hcl:"parameters,optional"` // in this order; none is created, and those that have a value
	Expires    block.Duration `hcl:"expires,optional"`    // how long after created
	Tag        string         `hcl:"tag,optional"`
	Label      string         `hcl:"label,optional"`

	credential.Rotation

	live    *credential.Live
	clock   *credential.Clock
	signers *lru.Cache[string, signer] // by key
	texts   sync.Pool
}

// Default covers what RFC 9421 §7.2 wants covered: method, address and body.
func (b *Block) Default() {
	b.KeyEncoding, b.Digest, b.Label = credential.UTF8, SHA256, "sig1"
	b.Components = []Component{plain("@method"), plain("@target-uri"), plain(contentDigest)}
	b.Rotation.Default()
}

// Check implements [block.Checker].
func (b *Block) Check() error {
	errs := []error{b.Rotation.Check()}
	refuse := func(attr, format string, args ...any) { errs = append(errs, block.At(attr, format, args...)) }
	if len(b.Components) == 0 {
		refuse("components", "a signature that covers nothing protects nothing")
	}
	for i, c := range b.Components {
		if slices.Contains(b.Components[:i], c) {
			refuse("components", "%s is there twice", c)
		}
	}
	if n := len(b.KeyID); n > 1 && n != len(b.Key) {
		refuse("key_id", "%d ids do not go with %d keys: write one for all, or one for each", n, len(b.Key))
	}
	if b.Alg != HMAC && b.KeyEncoding != credential.UTF8 {
		refuse("key_encoding", "a private key is PEM; only the key of hmac-sha256 has an encoding")
	}
	if !isKey(b.Label) {
		refuse("label", "%q is no label: write a lower-case letter, then letters, digits, \"_\", \"-\", \".\" or \"*\" (RFC 8941 section 3.1.2)", b.Label)
	}
	if !printable(b.Tag) {
		refuse("tag", "a tag is printable ASCII")
	}
	if b.Expires.Duration < 0 {
		refuse("expires", "a signature that has expired is good for nothing")
	}
	return errors.Join(append(errs, b.parameters())...)
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	b.clock = b.live.Clock(s.Provider)
	var err error
	if b.signers, err = lru.New[string, signer](len(b.Key) + 1); err != nil { // one of an older policy may be in use
		return policy.Stage{}, err
	}
	b.texts.New = func() any { return new(texts) }
	k := credential.Kind{
		Name: kind, Summary: b.summary(), Slots: slots, Values: b.Key, On: b.On,
		Signs: true, Stays: true, Public: credential.Public(b.KeyID...),
		Put: func(r *http.Request, x *policy.Exchange, value string, also []string) error {
			return b.sign(r, x, value, strings.Join(also, "")) // there is one, or none
		},
		Echo: func(_ string, also []string) []string {
			if credential.Public(b.KeyID...) {
				return []string{}
			}
			return also
		},
	}
	if len(b.KeyID) > 1 {
		k.Pairs = b.KeyID
	} else {
		k.Also = b.KeyID
	}
	return b.live.Stage(s, k), nil
}

// slots are what is put into a request, and taken out of it first.
var slots = []policy.Slot{{In: policy.InHeader, Name: signatureHeader}, {In: policy.InHeader, Name: inputHeader}}

func (b *Block) summary() string {
	var covered []string
	for _, c := range b.Components {
		covered = append(covered, c.String())
	}
	return "HTTP message signature, " + string(b.Alg) + " of " + strings.Join(covered, ", ")
}
