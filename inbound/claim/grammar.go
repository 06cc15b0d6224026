package claim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
)

// Grammar says where a signature by a key pair stands and what it covers. Schemes
// embed it in the body of their block.
type Grammar struct {
	Keys []block.Secret `hcl:"keys" literal:"allowed"` // public; several = rotation

	Header    string          `hcl:"header"`                           // where the signature stands
	Separator string          `hcl:"separator,optional"`               // between the elements of a list; "" for a single signature
	Prefix    string          `hcl:"prefix,optional"`                  // before each signature; an element without it is passed over
	Encoding  Encoding        `hcl:"encoding,optional"`                // of a signature
	Message   *block.Template `hcl:"message,optional" scope:"webhook"` // what is signed
	Timestamp string          `hcl:"timestamp,optional"`               // the header of the signed timestamp
	Unit      inbound.Unit    `hcl:"unit,optional"`
	Tolerance block.Duration  `hcl:"tolerance,optional"` // how far the timestamp may be from now, either way
	ID        string          `hcl:"id,optional"`        // a header with the event id, covered by the signature
}

// A Key tells whether a signature over a message was made by its other half.
type Key interface {
	Verify(message, signature []byte) bool
}

const (
	maxSignatures = 10  // in one header
	maxID         = 256 // bytes of a signed event id
)

// Default sets what most providers do.
func (g *Grammar) Default() {
	g.Encoding, g.Unit, g.Tolerance.Duration = Base64, inbound.Seconds, 5*time.Minute
}

// Check implements [block.Checker].
func (g *Grammar) Check() error {
	var errs []error
	refuse := func(attr, format string, args ...any) { errs = append(errs, block.At(attr, format, args...)) }
	if g.Header == "" {
		refuse("header", "header must name the header of the signature")
	}
	if g.Tolerance.Duration <= 0 {
		refuse("tolerance", "tolerance must be more than nothing")
	}
	switch {
	case g.Message == nil && g.Timestamp != "":
		refuse("message", `message is required with a timestamp, such as "${timestamp}.${raw_body}"`)
	case g.Message == nil && g.ID != "":
		refuse("id", "the body alone is signed, so anybody could change the id")
	case g.Message == nil:
	case g.Timestamp != "" && !g.Message.Reads("timestamp"):
		refuse("message", "the message does not hold the timestamp, so anybody could change it")
	case g.Timestamp == "" && g.Message.Reads("timestamp"):
		refuse("message", "the message holds a timestamp: say where it stands with timestamp")
	case !g.Message.Reads("raw_body"):
		refuse("message", "the message does not hold raw_body, so the event itself would not be verified")
	case g.ID != "" && !g.Message.Reads("header"):
		refuse("id", "the message does not hold this header, so anybody could change it")
	}
	if g.Message != nil && g.borderless() {
		refuse("message", "nothing stands behind a header or parameter, so that its end could pass for the beginning of what follows")
	}
	return errors.Join(errs...)
}

// borderless reports whether something that a sender chooses is followed directly
// by something else.
func (g *Grammar) borderless() bool {
	parts := g.Message.Parts()
	for i := range len(parts) - 1 {
		a, b := parts[i].Ref, parts[i+1].Ref
		if a != nil && b != nil && (a.Name == "header" || a.Name == "query" || a.Name == "raw_body" && b.Name != "timestamp" && b.Name != "url") {
			return true
		}
	}
	return false
}

// Verification makes g, whose Check has passed, ready to run; parse reads a public
// key.
func (g *Grammar) Verification(parse func(text string) (Key, error)) *inbound.Verification {
	ring := &Ring[Key]{Secrets: g.Keys, Parse: parse}
	m := g.Message
	v := &inbound.Verification{
		Verify:   func(_ context.Context, r *inbound.Request) inbound.Verdict { return g.verify(r, ring) },
		Ready:    func() error { _, err := ring.Keys(); return err },
		Headers:  []string{g.Header},
		BodyOnly: m == nil || !m.Reads("header") && !m.Reads("query") && !m.Reads("url"),
		NeedsURL: m != nil && m.Reads("url"),
	}
	if g.Timestamp != "" {
		v.Headers = append(v.Headers, g.Timestamp)
	}
	return v
}

// verify is a pure function of the request and the keys.
func (g *Grammar) verify(r *inbound.Request, ring *Ring[Key]) inbound.Verdict {
	header, v := One(r.Header, g.Header)
	if v.Result != inbound.Accepted {
		return v
	}
	signatures, v := g.signatures(header)
	if v.Result != inbound.Accepted {
		return v
	}
	if g.Timestamp != "" {
		stamp, bad := One(r.Header, g.Timestamp)
		if bad.Result != inbound.Accepted {
			return Bad("%s", bad.Why)
		}
		at, err := Time(g.Unit, stamp)
		if err != nil {
			return Bad("%v", err)
		}
		v.Timestamp, v.Proof.Signed = stamp, at
	}
	if g.ID != "" {
		id, bad := One(r.Header, g.ID)
		if bad.Result != inbound.Accepted {
			return Bad("%s", bad.Why)
		}
		// A dot is what divides a signed message: an id with one could be read in
		// two ways.
		if len(id) > maxID || strings.Contains(id, ".") {
			return Bad("the id %.40q is too long or holds a dot", id)
		}
		v.EventID = id
	}
	message, err := g.message(r, v.Timestamp)
	if err != nil {
		return Bad("what is signed cannot be put together: %v", err)
	}
	keys, err := ring.Keys()
	for _, k := range keys {
		for _, s := range signatures {
			if k.Key.Verify(message, s) {
				v.Proof.Key = k.Fingerprint
				if g.Timestamp == "" {
					return v
				}
				return Fresh(v, v.Proof.Signed, r.Received, g.Tolerance.Duration)
			}
		}
	}
	if err != nil { // it may be signed with the very key that we cannot read
		return Unsure(err)
	}
	return Bad("the signature is not that of any of the %d keys over these bytes", len(keys))
}

// signatures decodes those of a header.
func (g *Grammar) signatures(header string) (list [][]byte, v inbound.Verdict) {
	elements, why := []string{header}, "it does not begin with "+g.Prefix
	if g.Separator != "" {
		elements = strings.SplitN(header, g.Separator, maxSignatures+1)
	}
	if len(elements) > maxSignatures {
		return nil, Bad("the header %s holds more than %d signatures", g.Header, maxSignatures)
	}
	for _, e := range elements {
		coded, ok := strings.CutPrefix(strings.Trim(e, " \t"), g.Prefix)
		if !ok {
			continue
		}
		s, err := g.Encoding.Decode(coded)
		if err != nil {
			why = fmt.Sprintf("it is not written in %s: %v", g.Encoding, err)
			continue
		}
		list = append(list, s)
	}
	if len(list) == 0 {
		return nil, Bad("the header %s holds no signature: %s", g.Header, why)
	}
	return list, inbound.Verdict{Result: inbound.Accepted}
}

func (g *Grammar) message(r *inbound.Request, stamp string) ([]byte, error) {
	if g.Message == nil {
		return r.Body, nil
	}
	var b bytes.Buffer
	b.Grow(len(r.Body) + 256)
	if err := g.clear(r); err != nil {
		return nil, err
	}
	err := g.Message.WriteTo(&b, &inbound.Names{Request: r, Timestamp: stamp})
	return b.Bytes(), err
}

// clear refuses a message that could be read in two ways: a header or parameter that
// holds the text that ends it (C39).
func (g *Grammar) clear(r *inbound.Request) error {
	names, parts := &inbound.Names{Request: r}, g.Message.Parts()
	for i := range len(parts) - 1 {
		ref, end := parts[i].Ref, string(parts[i+1].Literal)
		if ref == nil || end == "" || ref.Name != "header" && ref.Name != "query" {
			continue
		}
		if v, ok := names.Bytes(ref); ok && strings.Contains(string(v), end) {
			return fmt.Errorf("%s %q holds %q, which ends it", ref.Name, ref.Key, end)
		}
	}
	return nil
}

// A Ring is the keys of a block, parsed once for each value that they have.
type Ring[K any] struct {
	Secrets []block.Secret
	Parse   func(text string) (K, error)
	parsed  atomic.Pointer[parsed[K]]
}

// A Named is a key and its name in records.
type Named[K any] struct {
	Key         K
	Fingerprint string
}

type parsed[K any] struct {
	values []string
	keys   []Named[K]
	err    error
}

// Keys returns the keys that can be used now, and what is wrong with the others.
func (r *Ring[K]) Keys() ([]Named[K], error) {
	values, err := inbound.Reveal(r.Secrets, 1)
	if err == nil {
		if p := r.parsed.Load(); p != nil && slices.Equal(p.values, values) {
			return p.keys, p.err
		}
	}
	p := &parsed[K]{values: values, err: err}
	for _, text := range values {
		k, bad := r.Parse(text)
		if bad != nil {
			p.err = errors.Join(p.err, fmt.Errorf("a key cannot be used: %w", bad))
			continue
		}
		p.keys = append(p.keys, Named[K]{k, inbound.Fingerprint([]byte(text))})
	}
	if err == nil {
		r.parsed.Store(p)
	}
	return p.keys, p.err
}
