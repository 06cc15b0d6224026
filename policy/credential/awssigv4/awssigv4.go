// Package awssigv4 is credential "aws_sigv4": requests to AWS, and to what speaks
// like it, signed with Signature Version 4
// (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html). Canonical form and
// signature are made by AWS's own signer; what is here decides what it is given.
//
//	awssigv4.go  the block
//	scope.go     which region and service a request is signed for
//	payload.go   what is signed of the body
//	role.go      temporary keys of a role, for a web identity
//	sign.go      one attempt
package awssigv4

import (
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
)

const kind = "aws_sigv4"

// Feature returns the feature. It signs what the other kinds have put.
func Feature(live *credential.Live) policy.Feature {
	return policy.Feature{Name: "credential", Kind: kind, Last: true, New: func() policy.Block { return &Block{live: live} }}
}

// Block is a credential "aws_sigv4" block.
type Block struct {
	Region  string `hcl:"region,optional"` // "" is read from the request
	Service string `hcl:"service,optional"`

	AccessKeyID     block.Secret `hcl:"access_key_id,optional" literal:"allowed"`
	SecretAccessKey block.Secret `hcl:"secret_access_key,optional"`
	SessionToken    block.Secret `hcl:"session_token,optional"`

	Role

	live    *credential.Live
	clock   *credential.Clock
	signers *lru.Cache[keyed, *v4.Signer]
}

// keyed is what a signing key is derived from, but for the day. AWS's signer
// remembers one for each region and service, without end and whatever the secret:
// here each has a signer of its own, and only so many are kept.
type keyed struct{ id, secret, region, service string }

const keptSigners = 64

// Check wants a key, or a role and who it is assumed by.
func (b *Block) Check() error {
	errs := b.Role.wrong()
	static := !b.AccessKeyID.IsZero() || !b.SecretAccessKey.IsZero() || !b.SessionToken.IsZero()
	switch {
	case static && b.assumed():
		errs = append(errs, block.At("role_arn", "either a key is written, or a role and a web identity"))
	case !b.assumed() && b.AccessKeyID.IsZero():
		errs = append(errs, block.At("access_key_id", "access_key_id is needed, or role_arn and web_identity_token"))
	case !b.assumed() && b.SecretAccessKey.IsZero():
		errs = append(errs, block.At("secret_access_key", "secret_access_key is needed"))
	}
	for attr, name := range map[string]string{"region": b.Region, "service": b.Service} {
		if name != "" && !plain(name) {
			errs = append(errs, block.At(attr, "%q is not the name of a %s", name, attr))
		}
	}
	return errors.Join(errs...)
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	b.clock = b.live.Clock(s.Provider)
	var err error
	if b.signers, err = lru.New[keyed, *v4.Signer](keptSigners); err != nil {
		return policy.Stage{}, err
	}
	k := credential.Kind{Name: kind, Summary: b.summary(), Slots: slots, Signs: true, Skip: presigned}
	if b.assumed() {
		k.Source, k.Parts = b.source(s, b.live, b.Region), parts
		k.Put = func(r *http.Request, x *policy.Exchange, value string, _ []string) error {
			return b.sign(r, x, unpack(value))
		}
		k.Echo = func(value string, _ []string) []string { return []string{unpack(value).SessionToken} }
		return b.live.Stage(s, k), nil
	}
	k.Values, k.Also = []block.Secret{b.SecretAccessKey}, []block.Secret{b.AccessKeyID}
	if !b.SessionToken.IsZero() {
		k.Also = append(k.Also, b.SessionToken)
	}
	k.Put = func(r *http.Request, x *policy.Exchange, secret string, also []string) error {
		c := aws.Credentials{AccessKeyID: also[0], SecretAccessKey: secret}
		if len(also) > 1 {
			c.SessionToken = also[1]
		}
		return b.sign(r, x, c)
	}
	// The secret does not leave, and an access key id is none: only a session token
	// is both.
	k.Stays, k.Public = true, b.SessionToken.IsZero()
	k.Echo = func(_ string, also []string) []string { return also[1:] }
	return b.live.Stage(s, k), nil
}

// slots are what is put into a request, and taken out of it first.
var slots = []policy.Slot{{In: policy.InHeader, Name: authorization}, {In: policy.InHeader, Name: amzDate}, {In: policy.InHeader, Name: amzToken}}

func (b *Block) summary() string {
	from := func(name, what string) string {
		if name == "" {
			return what + " of the request"
		}
		return what + " " + name
	}
	text := "AWS Signature Version 4, " + from(b.Region, "region") + ", " + from(b.Service, "service")
	if b.assumed() {
		text += ", as " + b.RoleARN
	}
	return text
}
