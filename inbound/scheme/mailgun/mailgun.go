// Package mailgun verifies webhooks of Mailgun, whose signature stands in the body
// and covers a timestamp and a token, and nothing of the event: it is marked partial.
// A token that has been seen with one body is refused with another.
package mailgun

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
)

// Block is the body of a verify "mailgun" block.
type Block struct {
	Secrets   []block.Secret `hcl:"secrets"` // the webhook signing key
	Tolerance block.Duration `hcl:"tolerance,optional"`
}

// Default is longer than Mailgun goes on trying, which is about eight hours (facts of
// 2026-11; that a repeat is signed anew is not verified).
func (b *Block) Default() { b.Tolerance.Duration = 12 * time.Hour }

// Check implements [block.Checker].
func (b *Block) Check() error {
	if b.Tolerance.Duration <= 0 {
		return block.At("tolerance", "tolerance must be more than nothing")
	}
	return nil
}

const (
	minKey    = 8      // bytes
	maxTokens = 50_000 // that are remembered, of those that were rightly signed
	maxToken  = 128    // bytes
)

type verifier struct {
	*Block
	seen *lru.Cache[string, [sha256.Size]byte] // body by token
}

// Scheme decodes a verify "mailgun" block.
func Scheme(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
	b := &Block{}
	if diags := block.Decode(body, ctx, b); diags.HasErrors() {
		return nil, diags
	}
	seen, _ := lru.New[string, [sha256.Size]byte](maxTokens)
	x := &verifier{b, seen}
	return &inbound.Verification{
		Verify: x.verify, Sign: x.sign, BodyOnly: true,
		Ready: func() error { _, err := inbound.Reveal(b.Secrets, minKey); return err },
	}, nil
}

// read reads what is claimed (documentation.mailgun.com, Securing Webhooks; facts of
// 2026-11).
func read(body []byte) (stamp, token, signature string, err error) {
	o, err := claim.Read(body)
	if err != nil {
		return "", "", "", err
	}
	s, err := o.Object("signature")
	return s.Text("timestamp"), s.Text("token"), s.Text("signature"), err
}

// sign puts a signature of now, over a token of its own, into a body that has none.
func (x *verifier) sign(r *inbound.Request) error {
	secrets, err := inbound.Reveal(x.Secrets, minKey)
	if len(secrets) == 0 {
		return err
	}
	var whole map[string]json.RawMessage
	if json.Unmarshal(r.Body, &whole) != nil || whole == nil {
		return errors.New("the body is no JSON object")
	}
	if whole["signature"] != nil {
		return nil
	}
	stamp, token := strconv.FormatInt(r.Received.Unix(), 10), strings.ReplaceAll(uuid.NewString(), "-", "")
	mac := hmac.New(sha256.New, []byte(secrets[0]))
	mac.Write([]byte(stamp + token))
	if whole["signature"], err = json.Marshal(map[string]string{"timestamp": stamp, "token": token, "signature": hex.EncodeToString(mac.Sum(nil))}); err != nil {
		return err
	}
	r.Body, err = json.Marshal(whole)
	return err
}

func (x *verifier) verify(_ context.Context, r *inbound.Request) inbound.Verdict {
	stamp, token, coded, err := read(r.Body)
	switch {
	case err != nil:
		return claim.Bad("the body: %v", err)
	case coded == "":
		return inbound.Verdict{Result: inbound.Unsigned, Why: "the body has no signature.signature"}
	case token == "" || len(token) > maxToken || strings.Trim(token, "0123456789abcdefABCDEF") != "":
		return claim.Bad("signature.token is not made of hex digits, so what is signed could be read in two ways")
	}
	signature, bad := claim.Hex.Decode(coded)
	at, late := claim.Time(inbound.Seconds, stamp)
	if err := errors.Join(bad, late); err != nil {
		return claim.Bad("%v", err)
	}
	secrets, err := inbound.Reveal(x.Secrets, minKey)
	match, key := 0, ""
	for _, s := range secrets {
		mac := hmac.New(sha256.New, []byte(s))
		mac.Write([]byte(stamp + token))
		if subtle.ConstantTimeCompare(mac.Sum(nil), signature) == 1 {
			match, key = 1, inbound.Fingerprint([]byte(s))
		}
	}
	switch {
	case match != 1 && err != nil:
		return claim.Unsure(err)
	case match != 1:
		return claim.Bad("the signature is not that of any of the %d secrets over timestamp and token", len(secrets))
	}
	v := claim.Fresh(inbound.Verdict{
		Result: inbound.Accepted, Timestamp: stamp, EventID: token,
		Proof: inbound.Proof{Key: key, Signed: at, Partial: true},
	}, at, r.Received, x.Tolerance.Duration)
	if v.Result != inbound.Accepted {
		return v
	}
	sum := sha256.Sum256(r.Body)
	if before, seen, _ := x.seen.PeekOrAdd(token, sum); seen && before != sum {
		v = claim.Bad("the token has been used for another body")
		v.Proof.Key = key
	}
	return v
}
