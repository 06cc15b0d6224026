// Package hmac is credential "hmac": requests signed with a shared secret. It is
// declarative: what is signed, and where the results go, are templates written
// byte for byte.
//
//	hmac.go      the blocks
//	encoding.go  algorithms, encodings, and how a timestamp is written
//	check.go     which name may stand where
//	sign.go      one attempt: what is put, in which order
//	names.go     what the names of a template stand for
//	query.go     the forms of a query
package hmac

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
)

// Feature returns the feature. It signs what the other kinds have put.
func Feature(live *credential.Live) policy.Feature {
	return policy.Feature{Name: "credential", Kind: "hmac", Last: true, New: func() policy.Block { return &Block{live: live} }}
}

// Block is a credential "hmac" block.
type Block struct {
	Secret         []block.Secret          `hcl:"secret"` // newest first
	SecretEncoding credential.KeyEncoding  `hcl:"secret_encoding,optional"`
	KeyID          []block.Secret          `hcl:"key_id,optional" literal:"allowed"` // one, or one for each secret
	Values         map[string]block.Secret `hcl:"values,optional" literal:"allowed"` // what else the templates need

	Message   *block.Template `hcl:"message" scope:"signing"`
	Algorithm Algorithm       `hcl:"algorithm,optional"`
	Encoding  Encoding        `hcl:"encoding,optional"`            // of the signature
	Key       *block.Template `hcl:"key,optional" scope:"signing"` // of the signature, where it is not the secret itself
	Parts     []*Part         `hcl:"part,block"`

	Unit    Unit           `hcl:"unit,optional"`    // of timestamp and expires
	Expires block.Duration `hcl:"expires,optional"` // how long after timestamp
	Nonce   Nonce          `hcl:"nonce,optional"`

	Fields block.Templates `hcl:"fields,optional" scope:"signing"` // of the body
	Query  block.Templates `hcl:"query,optional" scope:"signing"`
	Header block.Templates `hcl:"header,optional" scope:"signing"`

	Requests []policy.Pattern `hcl:"requests,optional"` // that are signed; all if none

	credential.Rotation

	live  *credential.Live
	clock *credential.Clock
	names []string // of Values
	early []place  // what is put before signing, in this order
	late  []place  // and what holds the signature
	pool  sync.Pool
}

// Part is a part block: a text with a name, or its hash, or its MAC.
type Part struct {
	Name      string          `hcl:"name,label"`
	Message   *block.Template `hcl:"message" scope:"signing"`
	Algorithm Algorithm       `hcl:"algorithm,optional"`           // none is the text itself
	Key       *block.Template `hcl:"key,optional" scope:"signing"` // makes the hash a MAC
	Encoding  Encoding        `hcl:"encoding,optional"`
	Methods   []string        `hcl:"methods,optional"`   // the part of other requests is empty
	WithBody  bool            `hcl:"with_body,optional"` // the part of a request without a body is empty
	Most      block.Size      `hcl:"most,optional"`      // bytes of the message that count

	late bool // it needs the signature
}

// Nonce is what makes a nonce.
type Nonce string

// The nonces: a UUID of version 4 (RFC 9562), or the timestamp, made greater than
// the one before.
const (
	UUID   Nonce = "uuid"
	Rising Nonce = "rising"
)

// UnmarshalText accepts uuid and rising.
func (n *Nonce) UnmarshalText(text []byte) error {
	switch v := Nonce(text); v {
	case UUID, Rising:
		*n = v
		return nil
	}
	return fmt.Errorf("unknown nonce %q: use uuid or rising", text)
}

// place is where a template goes.
type place struct {
	in   policy.SlotKind
	name string
	text *block.Template
}

// Default sets what most providers do.
func (b *Block) Default() {
	b.SecretEncoding, b.Algorithm, b.Encoding, b.Nonce = credential.UTF8, Algorithm{"sha256", sha256.New}, Hex, UUID
	_ = b.Unit.UnmarshalText([]byte("s")) // is one
	b.Rotation.Default()
}

// Check implements [block.Checker].
func (p *Part) Check() error {
	if p.Encoding == "" {
		if p.Encoding = Hex; p.Algorithm.new == nil {
			p.Encoding = Raw
		}
	}
	switch {
	case p.Key != nil && p.Algorithm.new == nil:
		return block.At("key", "a key needs an algorithm")
	case p.Most < 0 || p.Most > 0 && p.Algorithm.new == nil:
		return block.At("most", "most is for what an algorithm reads")
	}
	return nil
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	b.clock = b.live.Clock(s.Provider)
	b.pool.New = func() any { return newAttempt(b) }
	k := credential.Kind{
		Name: "hmac", Summary: b.summary(), Values: b.Secret, On: b.On, Signs: true, Stays: true, Public: b.public(),
		Put: func(r *http.Request, x *policy.Exchange, value string, also []string) error {
			a := b.pool.Get().(*attempt)
			defer b.pool.Put(a)
			return a.sign(r, x, value, also)
		},
		Echo: func(_ string, also []string) []string { return b.secretOnes(also) },
	}
	for _, p := range slices.Concat(b.early, b.late) {
		slot := policy.Slot{In: p.in, Name: p.name}
		if p.in == policy.InHeader {
			slot.Name = http.CanonicalHeaderKey(p.name)
		}
		k.Slots = append(k.Slots, slot)
	}
	for _, name := range b.names {
		k.Also = append(k.Also, b.Values[name])
	}
	if len(b.KeyID) == 1 {
		k.Also = append(k.Also, b.KeyID[0])
	} else {
		k.Pairs = b.KeyID
	}
	if len(b.Requests) > 0 {
		k.Skip = func(r *http.Request) bool { return !b.covers(r) }
	}
	return b.live.Stage(s, k), nil
}

// covers reports whether the request is to be signed.
func (b *Block) covers(r *http.Request) bool {
	path := r.URL.EscapedPath()
	return slices.ContainsFunc(b.Requests, func(p policy.Pattern) bool { return p.Match(r.Method, path) })
}

// public reports whether nothing that goes into the request is a secret.
func (b *Block) public() bool {
	return credential.Public(b.KeyID...) && credential.Public(slices.Collect(maps.Values(b.Values))...)
}

// secretOnes are the values among also that the policy does not write out, and
// that go into the request as they are.
func (b *Block) secretOnes(also []string) (out []string) {
	for i, name := range b.names {
		if !credential.Public(b.Values[name]) {
			out = append(out, also[i])
		}
	}
	if !credential.Public(b.KeyID...) {
		out = append(out, also[len(b.names)])
	}
	return out
}

func (b *Block) summary() string {
	var read, put []string
	for _, r := range b.Message.Refs() {
		name := r.Name
		if r.Key != "" {
			name += "." + r.Key
		}
		read = append(read, name)
	}
	for _, p := range b.late {
		put = append(put, string(p.in)+" "+p.name)
	}
	return fmt.Sprintf("HMAC-%s of %s, in %s", strings.ToUpper(b.Algorithm.name), strings.Join(read, ", "), strings.Join(put, ", "))
}

// Check implements [block.Checker].
func (b *Block) Check() error {
	b.names = slices.Sorted(maps.Keys(b.Values))
	c := &checker{b: b, parts: map[string]*Part{}}
	c.attributes()
	c.templates()
	return errors.Join(append(c.errs, b.Rotation.Check())...)
}
