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
	base, input, err := b.base(r, length, empty, keyID, now)
	if err != nil {
		return err
	}
	signature, err := signer(base)
	if err != nil {
		return fmt.Errorf("sign by %s: %w", b.Alg, err)
	}
	policy.SetHeader(r.Header, inputHeader, b.Label+"="+input)
	policy.SetHeader(r.Header, signatureHeader, b.Label+"="+bytesOf(signature))
	return nil
}

// prepare puts what is signed and is not the application's to say, and reports
// whether there is no body.
func (b *Block) prepare(r *http.Request, x *policy.Exchange, now time.Time) (empty bool, err error) {
	if _, has := field(r.Header, date); !has && b.covers(date) {
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
		policy.SetHeader(r.Header, digestHeader, string(b.Digest)+"="+bytesOf(b.Digest.of(body)))
	}
	return len(body) == 0, nil
}

func (b *Block) covers(name string) bool {
	return slices.ContainsFunc(b.Components, func(c Component) bool { return c.name == name })
}

// base is what is signed (RFC 9421 §2.5), and its last line without its name:
// what Signature-Input says.
func (b *Block) base(r *http.Request, length int64, empty bool, keyID string, now time.Time) (base []byte, input string, err error) {
	base, list := make([]byte, 0, 1024), append(make([]byte, 0, 256), '(')
	for i := range b.Components {
		c := &b.Components[i]
		value, ok := c.value(r, length)
		if !ok && empty && c.ofBody() {
			continue
		}
		if !ok {
			return nil, "", &policy.Denial{
				Code: policy.BadRequest, Stage: "credential", Detail: "the signature covers " + c.String() + ", which the request does not have, or more than once",
				Hint: "Send it, or take it out of components of credential \"http_signature\".",
			}
		}
		base = append(append(base, c.id...), ": "...)
		base = append(append(base, value...), '\n')
		if len(list) > 1 {
			list = append(list, ' ')
		}
		list = append(list, c.id...)
	}
	if list, err = b.appendParameters(append(list, ')'), keyID, now); err != nil {
		return nil, "", err
	}
	return append(append(base, `"@signature-params": `...), list...), string(list), nil
}

// bytesOf is a Byte Sequence of RFC 8941 §3.3.5.
func bytesOf(p []byte) string { return ":" + base64.StdEncoding.EncodeToString(p) + ":" }
