// Package sns verifies messages of Amazon SNS: a signature over some fields of the
// body, by the key of a certificate that the message names.
//
// Read sns.go for the decision, message.go for what is signed, confirm.go for
// subscriptions.
package sns

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"regexp"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"golang.org/x/time/rate"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
	"github.com/postern-proxy/postern/inbound/keys"
)

// Block is the body of a verify "sns" block.
type Block struct {
	Topics    []string       `hcl:"topics"`            // ARNs of the topics whose messages are taken
	Versions  []string       `hcl:"versions,optional"` // of signatures: "1" is SHA-1, "2" is SHA-256
	Tolerance block.Duration `hcl:"tolerance,optional"`
	Confirm   bool           `hcl:"confirm,optional"` // subscriptions to these topics are confirmed
}

// Default takes both versions: a topic signs with SHA-1 until it is told otherwise. A
// message bears the time when it was published, and is sent again for up to an hour
// (docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html, looked up
// 2026-11-30), so the last repeat is a little older than that.
func (b *Block) Default() { b.Versions, b.Tolerance.Duration = []string{"1", "2"}, 2*time.Hour }

var arn = regexp.MustCompile(`^arn:aws(-[a-z-]+)?:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]{1,256}$`)

// Check implements [block.Checker].
func (b *Block) Check() error {
	var errs []error
	if len(b.Topics) == 0 {
		errs = append(errs, block.At("topics", "topics must list the ARNs whose messages are taken: anybody can have SNS sign messages of a topic of their own"))
	}
	for _, t := range b.Topics {
		if !arn.MatchString(t) {
			errs = append(errs, block.At("topics", "%q is no ARN of a topic, such as %q", t, "arn:aws:sns:us-west-2:123456789012:MyTopic"))
		}
	}
	for _, v := range b.Versions {
		if v != "1" && v != "2" {
			errs = append(errs, block.At("versions", "there are versions %q and %q", "1", "2"))
		}
	}
	if len(b.Versions) == 0 {
		errs = append(errs, block.At("versions", "versions must not be empty"))
	}
	if b.Tolerance.Duration <= 0 {
		errs = append(errs, block.At("tolerance", "tolerance must be more than nothing"))
	}
	return errors.Join(errs...)
}

// Trust says where certificates and confirmations are, and whose they are.
type Trust struct {
	Certificates, Confirmations keys.Place
	// Names are what a certificate has to be for one of, given the host it is at.
	Names func(host string) []string
}

// Amazon is the trust of docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html,
// 2026-11. The certificates' names are as awsdocs/amazon-sns-developer-guide#7 has
// seen them. That the file holds the leaf alone is not verified: what is missing is
// fetched from the authority that Amazon runs.
func Amazon() Trust {
	host := regexp.MustCompile(`^sns\.[a-z]{2}(-[a-z0-9]+)+\.amazonaws\.com(\.cn)?$`)
	return Trust{
		Certificates: keys.Place{
			Host: host, Path: regexp.MustCompile(`^/SimpleNotificationService-[0-9A-Za-z]{1,64}\.pem$`),
			Issuers: regexp.MustCompile(`^crt\.[a-z0-9-]+\.amazontrust\.com$`),
		},
		Confirmations: keys.Place{Host: host, Path: regexp.MustCompile(`^/$`), Query: true},
		Names:         func(host string) []string { return []string{"sns.amazonaws.com", "sns.amazonaws.com.cn", host} },
	}
}

type verifier struct {
	*Block
	keys  *keys.Fetcher
	trust Trust
	limit *rate.Limiter // of certificates that were not seen before
}

// Scheme returns the scheme sns over f.
func Scheme(f *keys.Fetcher, trust Trust) inbound.Scheme {
	return func(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
		b := &Block{}
		if diags := block.Decode(body, ctx, b); diags.HasErrors() {
			return nil, diags
		}
		x := &verifier{b, f, trust, keys.Strangers()}
		v := &inbound.Verification{Verify: x.verify, BodyOnly: true}
		if b.Confirm {
			v.Handshake = x.confirm
		}
		return v, nil
	}
}

func (x *verifier) verify(ctx context.Context, r *inbound.Request) inbound.Verdict {
	m, err := read(r.Body)
	if err != nil {
		return claim.Bad("%v", err)
	}
	if m["Signature"] == "" {
		return inbound.Verdict{Result: inbound.Unsigned, Why: "the message has no Signature; with raw delivery SNS signs nothing"}
	}
	// What can be told without the network is told first.
	hash := map[string]crypto.Hash{"1": crypto.SHA1, "2": crypto.SHA256}[m["SignatureVersion"]]
	if hash == 0 || !slices.Contains(x.Versions, m["SignatureVersion"]) {
		return claim.Bad("the SignatureVersion %.20q is not taken", m["SignatureVersion"])
	}
	if !slices.Contains(x.Topics, m["TopicArn"]) {
		return claim.Bad("the topic %.300q is not among the topics of the policy", m["TopicArn"])
	}
	signed, err := m.signed()
	if err != nil {
		return claim.Bad("%v", err)
	}
	signature, err := claim.Base64.Decode(m["Signature"])
	if err != nil {
		return claim.Bad("the Signature is not Base64: %v", err)
	}
	at, err := claim.Time(inbound.RFC3339, m["Timestamp"])
	if err != nil {
		return claim.Bad("%v", err)
	}
	u, err := x.trust.Certificates.Find(m["SigningCertURL"])
	if err != nil {
		return claim.Bad("SigningCertURL: %v", err)
	}
	cert, err := x.keys.Certificate(ctx, u.String(), x.trust.Certificates, x.limit, x.trust.Names(u.Hostname())...)
	if errors.Is(err, keys.ErrUnknown) || errors.Is(err, keys.ErrChain) {
		return claim.Bad("SigningCertURL: %v", err)
	} else if err != nil {
		return claim.Unsure(err)
	}
	pub, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok || rsa.VerifyPKCS1v15(pub, hash, claim.Algorithm{Hash: hash}.Sum(signed), signature) != nil {
		return claim.Bad("the signature is not that of the certificate at %s over these fields", u)
	}
	v := inbound.Verdict{Result: inbound.Accepted, Timestamp: m["Timestamp"], EventID: m["MessageId"], Proof: inbound.Proof{
		Key: inbound.Fingerprint(cert.RawSubjectPublicKeyInfo), Signed: at, Partial: m.more(),
	}}
	return claim.Fresh(v, at, r.Received, x.Tolerance.Duration)
}
