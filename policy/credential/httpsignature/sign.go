package httpsignature

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// Canonical names of headers.
const (
	signatureHeader = "Signature"
	inputHeader     = "Signature-Input"
	digestHeader    = "Content-Digest"
	dateHeader      = "Date"
)

// sign signs one attempt.
func (b *Block) sign(r *http.Request, x *policy.Exchange, secret, keyID string) error {
	signer, err := b.signer(secret)
	if err != nil {
		return err
	}
	now := b.clock.Now()
	empty, err := b.prepare(r, x, now)
	if err != nil {
		return err
	}
	length := x.Outgoing().Len()
	if len(r.Trailer) > 0 {
		length = -1 // it will not be announced
	}
	t := b.texts.Get().(*texts)
	defer b.texts.Put(t)
	if err := b.write(t, r, length, empty, keyID, now); err != nil {
		return err
	}
	signature, err := signer(t.base)
	if err != nil {
		return fmt.Errorf("sign by %s: %w", b.Alg, err)
	}
	policy.SetHeader(r.Header, inputHeader, string(t.input))
	policy.SetHeader(r.Header, signatureHeader, member(b.Label, signature))
	return nil
}

// texts are what one attempt writes.
type texts struct {
	base  []byte // what is signed (RFC 9421 §2.5)
	input []byte // Signature-Input
}

// prepare puts what is signed and is not the application's to say, and reports
// whether there is no body.
func (b *Block) prepare(r *http.Request, x *policy.Exchange, now time.Time) (empty bool, err error) {
	if _, has := r.Header[dateHeader]; !has && b.covers(date) {
		policy.SetHeader(r.Header, dateHeader, now.UTC().Format(http.TimeFormat))
	}
	length := x.Outgoing().Len()
	announce := length < 0 && b.covers(contentLength)
	if length == 0 || b.Digest == None && !announce {
		return length == 0, nil
	}
	body, err := x.Outgoing().Bytes()
	if errors.Is(err, policy.ErrTooLarge) {
		err = &policy.Denial{
			Code: policy.BodyTooLarge, Stage: "credential", Detail: "this provider wants a digest or the length of the body signed, and the body is longer than retry.buffer",
			Hint: "Send a shorter body, or raise retry.buffer of this provider.", Err: err,
		}
	}
	if err != nil {
		return false, err
	}
	if announce {
		x.Send = policy.NewBody(nil, 0, int64(len(body)))
		x.Send.Replace(body)
	}
	if len(body) > 0 && b.Digest != None {
		policy.SetHeader(r.Header, digestHeader, member(string(b.Digest), b.Digest.of(body)))
	}
	return len(body) == 0, nil
}

func (b *Block) covers(name string) bool {
	return slices.ContainsFunc(b.Components, func(c Component) bool { return c.name == name })
}

// write writes t. The last line of the base is what Signature-Input says.
func (b *Block) write(t *texts, r *http.Request, length int64, empty bool, keyID string, now time.Time) (err error) {
	t.base, t.input = t.base[:0], append(append(t.input[:0], b.Label...), "=("...)
	start := len(t.input) - 1
	for i := range b.Components {
		c := &b.Components[i]
		value, ok := c.value(r, length)
		if !ok && empty && c.ofBody() {
			continue
		}
		if !ok {
			return &policy.Denial{
				Code: policy.BadRequest, Stage: "credential", Detail: "the signature covers " + c.String() + ", which the request does not have, or more than once",
				Hint: "Send it, or take it out of components of credential \"http_signature\".",
			}
		}
		t.base = append(append(t.base, c.id...), ": "...)
		t.base = append(append(t.base, value...), '\n')
		if len(t.input) > start+1 {
			t.input = append(t.input, ' ')
		}
		t.input = append(t.input, c.id...)
	}
	if t.input, err = b.appendParameters(append(t.input, ')'), keyID, now); err != nil {
		return err
	}
	t.base = append(append(t.base, `"@signature-params": `...), t.input[start:]...)
	return nil
}

// member is one of a Dictionary of RFC 8941 §3.2 whose value is a Byte Sequence.
func member(name string, value []byte) string {
	out := make([]byte, 0, len(name)+3+base64.StdEncoding.EncodedLen(len(value)))
	out = base64.StdEncoding.AppendEncode(append(append(out, name...), "=:"...), value)
	return string(append(out, ':'))
}
