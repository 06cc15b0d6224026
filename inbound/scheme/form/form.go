// Package form verifies webhooks whose signature covers the public URL and the
// fields of a form, sorted and run together, as Twilio and Mandrill sign.
//
// Nothing divides names from values in what is signed, so that whoever has a signed
// request can move the border between them: such events are marked partial. Where
// the body is no form, a parameter of the URL is its digest, and covers it wholly.
package form

import (
	"context"
	"crypto/hmac"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"mime"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
)

// Block is the body of a verify "form" block.
type Block struct {
	Secrets   []block.Secret  `hcl:"secrets"`
	Header    string          `hcl:"header"` // where the signature stands, in Base64
	Algorithm claim.Algorithm `hcl:"algorithm,optional"`
	Ports     bool            `hcl:"ports,optional"`     // the URL may be signed with or without its default port
	BodyHash  string          `hcl:"body_hash,optional"` // the parameter with the SHA-256 of a body that is no form, in hex
}

// minKey is the length in bytes under which a key is refused.
const minKey = 3

// maxFields is how many values a form may have.
const maxFields = 1000

// Default sets the algorithm of the providers that sign in this way.
func (b *Block) Default() { _ = b.Algorithm.UnmarshalText([]byte("sha1")) }

// Check implements [block.Checker].
func (b *Block) Check() error {
	if b.Header == "" {
		return block.At("header", "header must name the header of the signature")
	}
	return nil
}

// Scheme decodes a verify "form" block.
func Scheme(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
	b := &Block{}
	if diags := block.Decode(body, ctx, b); diags.HasErrors() {
		return nil, diags
	}
	return &inbound.Verification{
		Verify: b.verify, Headers: []string{b.Header}, NeedsURL: true, BodyOnly: false, Form: true, Sign: b.sign,
		Ready: func() error { _, err := inbound.Reveal(b.Secrets, minKey); return err },
	}, nil
}

func (b *Block) verify(_ context.Context, r *inbound.Request) inbound.Verdict {
	coded, v := claim.One(r.Header, b.Header)
	if v.Result != inbound.Accepted {
		return v
	}
	signature, err := claim.Base64.Decode(coded)
	if err != nil || len(signature) != b.Algorithm.Size() {
		return claim.Bad("the signature is no digest in Base64")
	}
	fields, partial, err := b.fields(r)
	if err != nil {
		return claim.Bad("%v", err)
	}
	urls := []string{r.URL}
	if b.Ports {
		urls = Ports(r.URL)
	}
	secrets, err := inbound.Reveal(b.Secrets, minKey)
	match, key := 0, ""
	for _, s := range secrets {
		for _, u := range urls {
			mac := hmac.New(b.Algorithm.New, []byte(s))
			mac.Write([]byte(u + fields))
			if subtle.ConstantTimeCompare(mac.Sum(nil), signature) == 1 {
				match, key = 1, inbound.Fingerprint([]byte(s))
			}
		}
	}
	switch {
	case match == 1:
		return inbound.Verdict{Result: inbound.Accepted, Proof: inbound.Proof{Key: key, Partial: partial}}
	case err != nil:
		return claim.Unsure(err)
	}
	return claim.Bad("the signature is not that of any of the %d secrets over %s and this form; is public_url what the provider was given?", len(secrets), r.URL)
}

// sign signs as the sender would, with the first secret.
func (b *Block) sign(r *inbound.Request) error {
	secrets, err := inbound.Reveal(b.Secrets, minKey)
	if len(secrets) == 0 {
		return err
	}
	fields, _, err := b.fields(r)
	if err != nil {
		return err
	}
	mac := hmac.New(b.Algorithm.New, []byte(secrets[0]))
	mac.Write([]byte(r.URL + fields))
	r.Header.Set(b.Header, base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return nil
}

// fields is what is signed behind the URL.
func (b *Block) fields(r *inbound.Request) (text string, partial bool, err error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	query, bad := url.ParseQuery(r.Query)
	if hash, there := query[b.BodyHash]; b.BodyHash != "" && bad == nil && there {
		sum, err := claim.Hex.Decode(hash[0])
		if len(hash) != 1 || err != nil || subtle.ConstantTimeCompare(sum, claim.SHA256().Sum(r.Body)) != 1 {
			return "", false, errors.New(b.BodyHash + " is not the digest of this body")
		}
		return "", false, nil
	}
	switch {
	case len(r.Body) == 0:
		return "", false, nil
	case kind != "application/x-www-form-urlencoded" || r.Header.Get("Content-Encoding") != "":
		return "", false, errors.New("the body is no form, and the URL holds no digest of it")
	}
	text, err = Sorted(r.Body)
	return text, true, err
}

// Sorted is the names and values of a form, sorted, each name before each of its
// values; a value that is there twice counts once
// (twilio.com/docs/usage/webhooks/webhooks-security, facts of 2026-11; twilio-node
// and twilio-python do so).
func Sorted(body []byte) (string, error) {
	if strings.Count(string(body), "&") >= maxFields {
		return "", errors.New("the form has too many fields")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || strings.Contains(string(body), ";") {
		return "", errors.New("the body is no form that can be read in one way")
	}
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		slices.Sort(form[name])
		for _, v := range slices.Compact(form[name]) {
			b.WriteString(name)
			b.WriteString(v)
		}
	}
	return b.String(), nil
}

// Ports are the ways to write a URL: as it is and, if its port is the default one
// of its scheme, with and without that.
func Ports(raw string) []string {
	scheme, rest, ok := strings.Cut(raw, "://")
	port := map[string]string{"https": ":443", "http": ":80"}[scheme]
	if !ok || port == "" {
		return []string{raw}
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	host := rest[:end]
	switch bare := strings.TrimSuffix(host, port); {
	case bare != host:
		return []string{raw, scheme + "://" + bare + rest[end:]}
	case strings.LastIndexByte(host, ':') > strings.LastIndexByte(host, ']'):
		return []string{raw} // another port
	}
	return []string{raw, scheme + "://" + host + port + rest[end:]}
}
