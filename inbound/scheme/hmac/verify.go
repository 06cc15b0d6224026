package hmac

import (
	"context"
	"crypto/hmac"
	"crypto/subtle"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
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
		Headers:  []string{g.Header},
		BodyOnly: m == nil || !m.Reads("header") && !m.Reads("query") && !m.Reads("url"),
		NeedsURL: m != nil && m.Reads("url"),
	}
	if g.Timestamp != "" {
		v.Headers = append(v.Headers, g.Timestamp)
	}
	if g.challenge != nil {
		v.Handshake = g.challenge.answer
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
		if _, claim := g.read(r.Header); claim == inbound.Accepted {
			v.Result, v.Err = inbound.Unavailable, err
		}
	}
	return v
}

// decide is a pure function of the request and the keys.
func (g *Grammar) decide(r *inbound.Request, keys [][]byte) inbound.Verdict {
	p, result := g.read(r.Header)
	v := inbound.Verdict{Result: result, Timestamp: p.timestamp, EventID: p.id}
	if result != inbound.Accepted {
		return v
	}
	at, timed := time.Time{}, p.timestamp != ""
	if timed {
		var ok bool
		if at, ok = parseTime(g.Unit, p.timestamp); !ok {
			v.Result = inbound.BadSignature
			return v
		}
	}
	switch {
	case !g.signed(r, p, keys):
		v.Result = inbound.BadSignature
	case timed && r.Received.Sub(at).Abs() > g.Tolerance.Duration:
		v.Result = inbound.Stale
	}
	return v
}

// signed compares every signature with what every key makes, and takes as long
// whichever of them matches.
func (g *Grammar) signed(r *inbound.Request, p presented, keys [][]byte) bool {
	names := &inbound.Names{Request: r, Timestamp: p.timestamp}
	match := 0
	for _, key := range keys {
		mac := hmac.New(g.Algorithm.new, key)
		if g.Message == nil {
			mac.Write(r.Body)
		} else if err := g.Message.WriteTo(mac, names); err != nil {
			return false
		}
		sum := mac.Sum(nil)
		for _, s := range p.signatures {
			match |= subtle.ConstantTimeCompare(sum, s)
		}
	}
	return match == 1
}

// parseTime reads a timestamp: digits only, or RFC 3339.
func parseTime(u inbound.Unit, s string) (time.Time, bool) {
	if u == inbound.RFC3339 {
		t, err := time.Parse(time.RFC3339Nano, s)
		return t, err == nil
	}
	if len(s) > 16 {
		return time.Time{}, false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return time.Time{}, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	if u == inbound.Millis {
		return time.UnixMilli(n), true
	}
	return time.Unix(n, 0), true
}

func (c *challenge) answer(r *inbound.Request) (inbound.Answer, bool) {
	names := &inbound.Names{Request: r}
	if kind, _ := names.Lookup(&block.Ref{Name: "body", Path: c.path}).Text(); kind != c.value {
		return inbound.Answer{}, false
	}
	text, ok := names.Lookup(&block.Ref{Name: "body", Path: c.echo}).Text()
	return inbound.Answer{Body: []byte(text)}, ok
}
