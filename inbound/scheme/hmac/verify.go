package hmac

import (
	"context"
	"crypto/hmac"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"strings"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
)

// minKey is the length in bytes under which a key is refused: an HMAC "works"
// with an empty one. Senders choose the length, and some published examples are
// as short as this.
const minKey = 3

// verification makes g, whose Check has passed, ready to run.
func (g *Grammar) verification() *inbound.Verification {
	m := g.Message
	v := &inbound.Verification{
		Verify:   g.verify,
		Ready:    func() error { _, err := g.keys(); return err },
		Keys:     g.keys,
		Sign:     g.sign,
		Headers:  g.names(),
		BodyOnly: m == nil || !m.Reads("header") && !m.Reads("query") && !m.Reads("url"),
		NeedsURL: m != nil && m.Reads("url"),
	}
	if g.Timestamp != "" {
		v.Headers = append(v.Headers, g.Timestamp)
	}
	return v
}

// keys returns the keys that can be used now, and what is wrong with the others.
func (g *Grammar) keys() (keys [][]byte, err error) {
	values, err := inbound.Reveal(g.Secrets, minKey)
	for _, v := range values {
		key, bad := g.SecretEncoding.decode(strings.TrimPrefix(v, g.SecretPrefix))
		if bad != nil || len(key) < minKey {
			err = errors.Join(err, fmt.Errorf("a secret is no %s key of at least %d bytes", g.SecretEncoding, minKey))
			continue
		}
		keys = append(keys, key)
	}
	return keys, err
}

func (g *Grammar) verify(_ context.Context, r *inbound.Request) inbound.Verdict {
	keys, err := g.keys()
	v := g.decide(r, keys)
	if v.Result == inbound.BadSignature && err != nil {
		// What is well formed may be signed with the very key that we cannot read.
		if _, no := g.read(r); no == nil {
			v.Result, v.Err = inbound.Unavailable, err
		}
	}
	return v
}

// decide is a pure function of the request and the keys.
func (g *Grammar) decide(r *inbound.Request, keys [][]byte) inbound.Verdict {
	p, no := g.read(r)
	if no != nil {
		return inbound.Verdict{Result: no.result, Why: no.why}
	}
	best := inbound.Verdict{}
	for i := range p.groups {
		c := &p.groups[i]
		if len(c.signatures) == 0 {
			continue
		}
		v := g.judge(r, c, keys)
		if v.EventID = p.id; v.Result == inbound.Accepted || v.Result == inbound.Stale || best.Why == "" {
			best = v
		}
		if v.Result == inbound.Accepted {
			break
		}
	}
	return best
}

// judge decides about one group.
func (g *Grammar) judge(r *inbound.Request, c *group, keys [][]byte) inbound.Verdict {
	s := &signed{Names: inbound.Names{Request: r, Timestamp: c.timestamp}, group: c}
	v := inbound.Verdict{Timestamp: c.timestamp}
	if g.Time != nil {
		v.Timestamp, _ = g.Time.String(&s.Names)
	}
	if g.dated() {
		var err error
		if v.Proof.Signed, err = claim.Time(g.Unit, v.Timestamp); err != nil {
			v.Why = fmt.Sprintf("the timestamp %.64q is not written in %s", v.Timestamp, g.Unit)
			return v
		}
	}
	if no := g.clear(s); no != nil {
		v.Why = no.why
		return v
	}
	g.trace(s)
	key := g.match(s, keys)
	if url := g.unescape(r.URL); key == nil && url != r.URL {
		written := *r
		written.URL = url
		s.Request = &written
		key = g.match(s, keys)
	}
	if key == nil {
		v.Why = fmt.Sprintf("none of %d secrets makes any of %d signatures of this message: another secret, or other bytes than were signed", len(keys), len(c.signatures))
		return v
	}
	v.Result, v.Proof.Key = inbound.Accepted, inbound.Fingerprint(key)
	if off := r.Received.Sub(v.Proof.Signed); g.dated() && off.Abs() > g.tolerance() {
		v.Result = inbound.Stale
		v.Why = fmt.Sprintf("signed at %s, %s from now, and %s are tolerated", v.Proof.Signed.UTC().Format(time.RFC3339), off.Abs().Round(time.Second), g.tolerance())
	}
	return v
}

// mac is what signatures are made with under one key.
type mac struct {
	hash.Hash
	key string
}

// mac returns one under this key, with nothing written to it: the last one, if it can,
// because to begin an HMAC costs as much as a short body.
func (g *Grammar) mac(key []byte) *mac {
	if m, ok := g.macs.Get().(*mac); ok && m.key == string(key) {
		m.Reset()
		return m
	}
	if g.SecretIn == InMessage {
		return &mac{g.Algorithm.New(), string(key)}
	}
	return &mac{hmac.New(g.Algorithm.New, key), string(key)}
}

// match compares every signature with what every key makes, and takes as long
// whichever of them matches. nil is none.
func (g *Grammar) match(s *signed, keys [][]byte) []byte {
	at := -1
	for i, key := range keys {
		s.secret = key
		m := g.mac(key)
		if !g.write(m, s) {
			return nil
		}
		sum, same := m.Sum(nil), 0
		g.macs.Put(m)
		for _, signature := range s.group.signatures {
			same |= subtle.ConstantTimeCompare(sum, signature)
		}
		at = subtle.ConstantTimeSelect(same, i, at)
	}
	if at < 0 {
		return nil
	}
	return keys[at]
}
