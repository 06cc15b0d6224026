// Package graph verifies change notifications of Microsoft Graph: each item repeats
// the secret that its subscription was made with, and one that brings the data of
// the resource comes with tokens.
package graph

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
	"github.com/postern-proxy/postern/inbound/jws"
	"github.com/postern-proxy/postern/inbound/keys"
)

// Block is the body of a verify "client_state" block.
type Block struct {
	Secrets  []block.Secret `hcl:"secrets"`           // the clientState of the subscriptions
	Tenant   string         `hcl:"tenant,optional"`   // id of the directory, where tokens are to be checked
	Audience []string       `hcl:"audience,optional"` // the ids of one's own application
}

const (
	minState = 8    // bytes
	maxItems = 1000 // of one body
	maxToken = 16   // that a body may bring
)

var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// Check implements [block.Checker].
func (b *Block) Check() error {
	if (b.Tenant == "") != (len(b.Audience) == 0) {
		return errors.New("tenant and audience go together: both say which tokens are taken")
	}
	if b.Tenant != "" && !guid.MatchString(b.Tenant) {
		return block.At("tenant", "tenant must be the id of a directory, such as %q", "72f988bf-86f1-41af-91ab-2d7cd011db47")
	}
	return nil
}

// publisher is the application that sends notifications
// (learn.microsoft.com/graph/change-notifications-with-resource-data, facts of 2026-11).
const publisher = "0bf30f3b-4a52-48df-9a82-234910c4a086"

type verifier struct {
	*Block
	from   jws.Source
	expect jws.Expect
}

// Scheme returns the scheme client_state over f.
func Scheme(f *keys.Fetcher) inbound.Scheme {
	return func(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
		b := &Block{}
		if diags := block.Decode(body, ctx, b); diags.HasErrors() {
			return nil, diags
		}
		x := &verifier{b, jws.Fetched(f, "https://login.microsoftonline.com/"+b.Tenant+"/discovery/v2.0/keys"), jws.Expect{
			Issuers:  []string{"https://login.microsoftonline.com/" + b.Tenant + "/v2.0", "https://sts.windows.net/" + b.Tenant + "/"},
			Audience: b.Audience, Client: publisher, Dated: true,
		}}
		return &inbound.Verification{Verify: x.verify, Sign: x.sign, BodyOnly: true, Ready: func() error { _, err := inbound.Reveal(b.Secrets, minState); return err }}, nil
	}
}

// read reads the states of the items, and the tokens.
func read(body []byte) (states, tokens []string, rich bool, err error) {
	o, err := claim.Read(body)
	if err != nil {
		return nil, nil, false, err
	}
	items := o.List("value")
	if len(items) == 0 || len(items) > maxItems {
		return nil, nil, false, fmt.Errorf("it has %d items", len(items))
	}
	for _, raw := range items {
		item, err := claim.Read(raw)
		if err != nil {
			return nil, nil, false, err
		}
		states = append(states, item.Text("clientState"))
		rich = rich || item["encryptedContent"] != nil
	}
	list := o.List("validationTokens")
	if len(list) > maxToken {
		return nil, nil, false, fmt.Errorf("it has %d tokens", len(list))
	}
	for _, raw := range list {
		var t string
		if err := json.Unmarshal(raw, &t); err != nil {
			return nil, nil, false, errors.New("validationTokens holds what is no token")
		}
		tokens = append(tokens, t)
	}
	return states, tokens, rich, nil
}

// sign gives each item that has none the first secret.
func (x *verifier) sign(r *inbound.Request) error {
	secrets, err := inbound.Reveal(x.Secrets, minState)
	if len(secrets) == 0 {
		return err
	}
	var whole map[string]json.RawMessage
	var items []map[string]json.RawMessage
	if json.Unmarshal(r.Body, &whole) != nil || json.Unmarshal(whole["value"], &items) != nil {
		return errors.New("the body has no list of objects called value")
	}
	state, _ := json.Marshal(secrets[0]) // a text
	for _, item := range items {
		if item != nil && item["clientState"] == nil {
			item["clientState"] = state
		}
	}
	if whole["value"], err = json.Marshal(items); err != nil {
		return err
	}
	r.Body, err = json.Marshal(whole)
	return err
}

func (x *verifier) verify(ctx context.Context, r *inbound.Request) inbound.Verdict {
	states, tokens, rich, err := read(r.Body)
	if err != nil {
		return claim.Bad("the body: %v", err)
	}
	secrets, err := inbound.Reveal(x.Secrets, minState)
	v := inbound.Verdict{Result: inbound.Accepted, Proof: inbound.Proof{Partial: true}}
	for i, state := range states {
		if state == "" {
			return inbound.Verdict{Result: inbound.Unsigned, Why: fmt.Sprintf("item %d has no clientState", i)}
		}
		got, match := sha256.Sum256([]byte(state)), 0
		for _, s := range secrets {
			want := sha256.Sum256([]byte(s))
			if subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
				match, v.Proof.Key = 1, inbound.Fingerprint([]byte(s))
			}
		}
		switch {
		case match == 1:
		case err != nil:
			return claim.Unsure(err)
		default:
			return claim.Bad("the clientState of item %d is none of the %d secrets", i, len(secrets))
		}
	}
	if x.Tenant == "" {
		return v
	}
	if rich && len(tokens) == 0 {
		return claim.Bad("items bring encryptedContent, and the body no validationTokens")
	}
	for _, t := range tokens {
		payload, tv := jws.Open(ctx, t, "RS256", x.from)
		if tv.Result == inbound.Accepted {
			tv = x.expect.Check(tv, payload, r)
		}
		if tv.Result != inbound.Accepted {
			return tv
		}
	}
	return v
}
