package inbound

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/postern-proxy/postern/config/block"
)

// Handshake is a handshake block of a verify block: a request that is no event, and
// what its sender wants to hear. It is answered and never stored.
type Handshake struct {
	Name   string      `hcl:"name,label"`
	Range  hcl.Range   `hcl:",def_range"`
	Method string      `hcl:"method,optional"`
	Signed *bool       `hcl:"signed,optional"` // whether it is signed as events are: those that are posted are, unless it is said
	When   *block.Expr `hcl:"when,optional" scope:"webhook" type:"bool"`

	Token     []block.Secret `hcl:"token,optional"`                     // what the sender has to know
	Presented *block.Expr    `hcl:"presented,optional" scope:"webhook"` // where it presents it

	Sign *block.Template `hcl:"sign,optional" scope:"webhook"`      // signed with the key of the webhook: signature.* in the answer
	Hash *block.Template `hcl:"hash,optional" scope:"confirmation"` // its SHA-256, which may be about the token: hash.* in the answer

	Learn *block.Expr `hcl:"learn,optional" scope:"webhook"` // the secret that it brings
	Into  block.Path  `hcl:"into,optional"`                  // and the file into which that goes

	Status int                    `hcl:"status,optional"`
	Header map[string]*block.Expr `hcl:"header,optional" scope:"answer"`
	Body   *block.Expr            `hcl:"body,optional" scope:"answer"`

	keys func() ([][]byte, error)
}

const (
	maxEcho   = 4 << 10 // bytes of an answer that reflects a request
	maxSigned = 512     // bytes of what a sender has signed
	minToken  = 8       // bytes of a token
)

// Default sets what most providers do.
func (h *Handshake) Default() { h.Method, h.Status = http.MethodPost, http.StatusOK }

// Check implements [block.Checker].
func (h *Handshake) Check() error {
	var errs []error
	refuse := func(attr, format string, args ...any) { errs = append(errs, block.At(attr, format, args...)) }
	post := h.Method == http.MethodPost
	switch {
	case !slices.Contains([]string{http.MethodPost, http.MethodGet, http.MethodHead, http.MethodOptions}, h.Method):
		refuse("method", "method must be POST, GET, HEAD or OPTIONS")
	case h.Signed != nil && !post:
		refuse("signed", "signed is for what is posted; nothing else is signed")
	case post && h.When == nil:
		refuse("when", "when is required: it tells the handshake from events")
	}
	switch tokens := len(h.Token) > 0; {
	case h.dormant():
	case (h.Learn != nil) != (h.Into != ""):
		refuse("into", "into names the file for the secret that learn says: neither is of use without the other")
	case h.Learn != nil && !tokens:
		refuse("learn", "a secret is taken only from who presents a token: anybody could give one otherwise")
	case tokens && h.Presented == nil:
		refuse("token", "token needs presented, which says where the sender presents it")
	case !tokens && h.Presented != nil:
		refuse("token", "the sender presents a token: write handshake %q { token = [env(\"TOKEN\")] } into the verify block", h.Name)
	}
	if h.Hash != nil && h.Hash.Reads("token") && len(h.Token) == 0 {
		refuse("hash", "the hash is about the token, and there is none")
	}
	if h.Status < 200 || h.Status > 299 {
		refuse("status", "status must be between 200 and 299")
	}
	for name := range h.Header {
		if !answerable(name) {
			refuse("header", "%s is not for a handshake to set", name)
		}
	}
	for _, x := range h.answers() {
		if h.Sign == nil && (x.Reads("signature.hex") || x.Reads("signature.base64")) || h.Hash == nil && (x.Reads("hash.hex") || x.Reads("hash.base64")) {
			refuse("body", "the answer holds a signature or a hash: say of what with sign or hash")
		}
	}
	return errors.Join(errs...)
}

// dormant reports whether h brings a secret and the policy does not want it.
func (h *Handshake) dormant() bool { return h.Learn != nil && h.Into == "" && len(h.Token) == 0 }

// answerable reports whether an answer may set the header: none that makes it
// another kind of answer.
func answerable(name string) bool {
	return keepable(name) && !slices.ContainsFunc([]string{"Content-Type", "Content-Encoding", "Location", "Refresh", "Retry-After", "X-Content-Type-Options"}, func(n string) bool { return strings.EqualFold(n, name) })
}

func (h *Handshake) answers() (list []*block.Expr) {
	for _, x := range h.Header {
		list = append(list, x)
	}
	if h.Body != nil {
		list = append(list, h.Body)
	}
	return list
}

// Reply is a reply block of a verify block: what the provider wants to hear of what
// is taken.
type Reply struct {
	Status int    `hcl:"status,optional"`
	Type   string `hcl:"type,optional"`
	Body   string `hcl:"body,optional"`
	Quiet  bool   `hcl:"quiet,optional"` // a refusal has no body either
}

// Default sets an empty 200.
func (r *Reply) Default() { r.Status, r.Type = http.StatusOK, "text/plain; charset=utf-8" }

// Check implements [block.Checker].
func (r *Reply) Check() error {
	switch {
	case r.Status < 200 || r.Status > 299:
		return block.At("status", "status must be between 200 and 299")
	case r.Type != "text/plain; charset=utf-8" && r.Type != "application/json":
		return block.At("type", "type must be %q or %q", "text/plain; charset=utf-8", "application/json")
	}
	return nil
}

// WithHandshakes makes a scheme take handshake and reply blocks beside its own
// attributes.
func WithHandshakes(s Scheme) Scheme {
	return func(body hcl.Body, ctx *block.Context) (*Verification, hcl.Diagnostics) {
		var b struct {
			Handshakes []*Handshake `hcl:"handshake,block"`
			Reply      *Reply       `hcl:"reply,block"`
			Rest       hcl.Body     `hcl:",remain"`
		}
		diags := block.Decode(body, ctx, &b)
		v, more := s(b.Rest, ctx)
		if diags = append(diags, more...); diags.HasErrors() {
			return v, diags
		}
		b.Handshakes = slices.DeleteFunc(b.Handshakes, (*Handshake).dormant)
		for _, h := range b.Handshakes {
			if h.keys = v.Keys; h.Sign != nil && v.Keys == nil {
				diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Invalid handshake", Detail: "It signs its answer, and this kind of verification has no key to sign with.", Subject: &h.Range})
			}
			if h.Method != http.MethodPost && !slices.Contains(v.Methods, h.Method) {
				v.Methods = append(v.Methods, h.Method)
			}
		}
		v.Handshakes = append(v.Handshakes, b.Handshakes...)
		if r := b.Reply; r != nil {
			v.Reply, v.Quiet = &Answer{Status: r.Status, Header: http.Header{"Content-Type": {r.Type}}, Body: []byte(r.Body)}, r.Quiet
		}
		return v, diags
	}
}

// met is what came of a request that is a handshake.
type met struct {
	handshake string
	answer    Answer
	result    Result // Accepted, or why it is not answered
	why       string
	err       error
}

// meet answers r if one of the webhook's handshakes is what it is; nil if it is
// none. v is what verification said, nil before it.
func (w *Webhook) meet(r *Request, v *Verdict) *met {
	for _, h := range w.candidates(r, v) {
		if m := h.meet(&Names{Request: r}, v); m != nil {
			m.handshake = h.Name
			return m
		}
	}
	return nil
}

// candidates are the handshakes that r may be: whether it is one is known when its
// answer can be made. v is as in meet.
func (w *Webhook) candidates(r *Request, v *Verdict) (all []*Handshake) {
	for _, h := range w.check.Handshakes {
		signed := h.Method == http.MethodPost && (h.Signed == nil || *h.Signed)
		if h.Method == r.Method && signed == (v != nil) && (h.When == nil || h.When.True(&Names{Request: r})) {
			all = append(all, h)
		}
	}
	return all
}

func (h *Handshake) meet(names *Names, v *Verdict) *met {
	tokens, no := h.tokens(names)
	if no != nil {
		return no
	}
	a := &confirmation{Names: names}
	if len(tokens) > 0 {
		a.token = tokens[0]
	}
	if h.Sign != nil {
		if no := h.sign(a, v); no != nil {
			return no
		}
	}
	if h.Hash != nil {
		sum := sha256.New()
		if err := h.Hash.WriteTo(sum, a); err != nil {
			return refused("the answer cannot be hashed: %v", err)
		}
		a.hash = sum.Sum(nil)
	}
	m := h.answer(a)
	if m == nil || m.result != Accepted || h.Learn == nil {
		return m
	}
	secret, _ := h.Learn.String(a)
	if no := learn(secret, string(h.Into)); no != nil {
		return no
	}
	m.why = "its secret is in " + string(h.Into)
	return m
}

func refused(format string, args ...any) *met {
	return &met{result: BadSignature, why: fmt.Sprintf(format, args...)}
}

// known compares in the same time, whatever the lengths.
func known(want, got string) bool {
	a, b := sha256.Sum256([]byte(want)), sha256.Sum256([]byte(got))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// tokens checks what the sender has to know.
func (h *Handshake) tokens(names *Names) (tokens []string, no *met) {
	if len(h.Token) == 0 {
		return nil, nil
	}
	tokens, err := Reveal(h.Token, minToken)
	presented, _ := h.Presented.String(names)
	match := false
	for _, t := range tokens {
		match = known(t, presented) || match
	}
	switch {
	case match:
		return tokens, nil
	case err != nil && presented != "":
		return nil, &met{result: Unavailable, err: err}
	}
	return nil, refused("handshake %q: what %s presents is not the token", h.Name, h.Presented.Source())
}

// signable is what may be signed for a sender: no character of a JSON object.
const signable = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~+/="

// askable reports whether a stranger could have had a body signed by asking the
// question of a handshake. Such a body is no event, whoever has signed it.
func (w *Webhook) askable(body []byte) bool {
	return len(body) <= maxSigned && len(bytes.Trim(body, signable)) == 0 && slices.ContainsFunc(w.check.Handshakes, func(h *Handshake) bool {
		return h.Sign != nil && (h.Method != http.MethodPost || h.Signed != nil && !*h.Signed)
	})
}

// sign signs with the key that signed the request, or else the first. What is
// signed has letters, digits and a few signs only, and a body of these alone is no
// event, so that nobody can have one signed.
func (h *Handshake) sign(a *confirmation, v *Verdict) *met {
	keys, err := h.keys()
	if len(keys) == 0 {
		return &met{result: Unavailable, err: err}
	}
	key := keys[0]
	for _, k := range keys {
		if v != nil && Fingerprint(k) == v.Proof.Key {
			key = k
		}
	}
	var text strings.Builder
	if err := h.Sign.WriteTo(&text, a); err != nil {
		return refused("handshake %q: what is to be signed is not there: %v", h.Name, err)
	}
	if text.Len() == 0 || text.Len() > maxSigned || strings.Trim(text.String(), signable) != "" {
		return refused("handshake %q: only up to %d letters, digits and - _ . ~ + / = are signed for a sender", h.Name, maxSigned)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text.String()))
	a.signature = mac.Sum(nil)
	return nil
}

// answer makes the answer; nil if a part of it is missing, because then it is
// another request than it seemed.
func (h *Handshake) answer(a *confirmation) *met {
	m := &met{result: Accepted, answer: Answer{Status: h.Status, Header: http.Header{}}}
	size := 0
	for name, x := range h.Header {
		v, ok := x.String(a)
		if !ok {
			return nil
		}
		m.answer.Header.Set(name, v)
		size += len(v)
	}
	if h.Body != nil {
		v, err := h.Body.Eval(a)
		text, ok := v.Text()
		if err != nil || !ok {
			return nil
		}
		if v.Kind == block.JSON {
			m.answer.Header.Set("Content-Type", "application/json")
		}
		m.answer.Body = []byte(text)
		size += len(text)
	}
	if size > maxEcho {
		return refused("handshake %q: the answer has %d bytes, and at most %d are given back", h.Name, size, maxEcho)
	}
	return m
}

// confirmation answers the names of an answer.
type confirmation struct {
	*Names
	token           string
	signature, hash []byte
}

// Bytes implements [block.BytesSource].
func (c *confirmation) Bytes(ref *block.Ref) ([]byte, bool) {
	switch ref.Name {
	case "token":
		return []byte(c.token), c.token != ""
	case "signature.hex":
		return hex.AppendEncode(nil, c.signature), c.signature != nil
	case "signature.base64":
		return base64.StdEncoding.AppendEncode(nil, c.signature), c.signature != nil
	case "hash.hex":
		return hex.AppendEncode(nil, c.hash), c.hash != nil
	case "hash.base64":
		return base64.StdEncoding.AppendEncode(nil, c.hash), c.hash != nil
	}
	return c.Names.Bytes(ref)
}

// Lookup implements [block.Source].
func (c *confirmation) Lookup(ref *block.Ref) block.Value {
	if name, _, _ := strings.Cut(ref.Name, "."); name == "signature" || name == "hash" {
		if b, ok := c.Bytes(ref); ok {
			return block.Value{Kind: block.String, Str: string(b)}
		}
		return block.Value{}
	}
	return c.Names.Lookup(ref)
}
