// Package adyen verifies webhooks of Adyen's payments: each item of the body has a
// signature over eight of its fields. The others are not covered, so events are
// marked partial.
package adyen

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
)

// Block is the body of a verify "adyen_payments" block.
type Block struct {
	Secrets []block.Secret `hcl:"secrets"` // the HMAC key, in hex
}

const (
	minKey   = 16   // bytes
	maxItems = 1000 // of one body
)

// Scheme decodes a verify "adyen_payments" block.
func Scheme(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
	b := &Block{}
	if diags := block.Decode(body, ctx, b); diags.HasErrors() {
		return nil, diags
	}
	ring := &claim.Ring[[]byte]{Secrets: b.Secrets, Parse: parse}
	return &inbound.Verification{
		Verify:   func(_ context.Context, r *inbound.Request) inbound.Verdict { return verify(r, ring) },
		Ready:    func() error { _, err := ring.Keys(); return err },
		BodyOnly: true,
		// Adyen takes any 2xx, and in older settings this text (facts of 2026-11).
		Reply: &inbound.Answer{Body: []byte("[accepted]")},
	}, nil
}

func parse(text string) ([]byte, error) {
	key, err := hex.DecodeString(text)
	if err != nil || len(key) < minKey {
		return nil, fmt.Errorf("it is no key of at least %d bytes in hex", minKey)
	}
	return key, nil
}

// An item is what is signed of one notification.
type item struct {
	message, signature []byte
}

func verify(r *inbound.Request, ring *claim.Ring[[]byte]) inbound.Verdict {
	items, err := read(r.Body)
	if errors.Is(err, errUnsigned) {
		return inbound.Verdict{Result: inbound.Unsigned, Why: err.Error()}
	} else if err != nil {
		return claim.Bad("%v", err)
	}
	keys, err := ring.Keys()
	v := inbound.Verdict{Result: inbound.Accepted, Proof: inbound.Proof{Partial: true}}
	for i, it := range items {
		match := 0
		for _, k := range keys {
			mac := hmac.New(sha256.New, k.Key)
			mac.Write(it.message)
			if subtle.ConstantTimeCompare(mac.Sum(nil), it.signature) == 1 {
				match, v.Proof.Key = 1, k.Fingerprint
			}
		}
		switch {
		case match == 1:
		case err != nil:
			return claim.Unsure(err)
		default:
			return claim.Bad("the signature of item %d is not that of any of the %d secrets over its eight fields", i, len(keys))
		}
	}
	return v
}

var errUnsigned = errors.New("an item has no additionalData.hmacSignature")

// read reads the items of a body
// (docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures;
// the fields as Adyen/adyen-node-api-library, hmacValidator, has them, 2026-11).
func read(body []byte) (items []item, err error) {
	o, err := claim.Read(body)
	if err != nil {
		return nil, fmt.Errorf("the body: %w", err)
	}
	list := o.List("notificationItems")
	if len(list) == 0 || len(list) > maxItems {
		return nil, fmt.Errorf("the body has %d notificationItems", len(list))
	}
	for _, raw := range list {
		wrap, err := claim.Read(raw)
		if err != nil {
			return nil, err
		}
		n, err := wrap.Object("NotificationRequestItem")
		if err != nil {
			return nil, err
		}
		it, err := readItem(n)
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	return items, nil
}

func readItem(n claim.Object) (item, error) {
	amount, err := n.Object("amount")
	if err != nil {
		return item{}, err
	}
	more, err := n.Object("additionalData")
	if err != nil {
		return item{}, err
	}
	coded := more.Text("hmacSignature")
	if coded == "" {
		return item{}, errUnsigned
	}
	signature, err := claim.Base64.Decode(coded)
	if err != nil {
		return item{}, fmt.Errorf("hmacSignature is not Base64: %w", err)
	}
	fields := []string{
		n.Text("pspReference"), n.Text("originalReference"), n.Text("merchantAccountCode"), n.Text("merchantReference"),
		amount.Text("value"), amount.Text("currency"), n.Text("eventCode"), n.Text("success"),
	}
	for i, f := range fields {
		// Nothing is escaped. The merchant's own reference may hold a colon, because
		// with none in the others what is signed can still be read in one way only.
		if i != 3 && strings.Contains(f, ":") {
			return item{}, fmt.Errorf("%.80q holds a colon, which divides the signed fields", f)
		}
	}
	return item{[]byte(strings.Join(fields, ":")), signature}, nil
}
