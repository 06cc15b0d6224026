package jws

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
)

// Leeway is how far clocks may differ where a token says when it holds.
const Leeway = time.Minute

// usualAge is how old a token may be that says when it was issued and not when it ends.
const usualAge = 5 * time.Minute

// Expect is what the claims of a token have to be.
type Expect struct {
	Issuers  []string          // any of them; empty for any
	Audience []string          // any of them; empty for any
	Client   string            // in azp or appid, as Entra ID writes it; "" for any
	Claims   map[string]string // each of them, as text
	MaxAge   time.Duration     // since iat, which has to be there; 0 for no bound but exp, and usualAge without that
	Dated    bool              // exp or iat has to be there
	Body     *BodyHash
}

// BodyHash is the claim that a digest of the body is in.
type BodyHash struct {
	Claim     string
	Algorithm claim.Algorithm
	Encoding  claim.Encoding
}

// Claims are those of one token.
type Claims map[string]any

// Read reads the claims of a token that has been verified.
func Read(payload []byte) (Claims, error) {
	var c Claims
	if err := json.Unmarshal(payload, &c); err != nil || c == nil {
		return nil, fmt.Errorf("the token holds no claims")
	}
	return c, nil
}

// Check completes the verdict on a token that has been verified.
func (e *Expect) Check(v inbound.Verdict, payload []byte, r *inbound.Request) inbound.Verdict {
	c, err := Read(payload)
	if err != nil {
		return claim.Bad("%v", err)
	}
	if len(e.Issuers) > 0 && !slices.Contains(e.Issuers, c.text("iss")) {
		return claim.Bad("the token is issued by %.100q", c.text("iss"))
	}
	if len(e.Audience) > 0 && !slices.ContainsFunc(c.list("aud"), func(a string) bool { return slices.Contains(e.Audience, a) }) {
		return claim.Bad("the token is for %.100q", c.list("aud"))
	}
	if e.Client != "" && c.text("azp") != e.Client && (c.text("appid") != e.Client || c["azp"] != nil) {
		return claim.Bad("the token was given to %.100q", c.text("azp")+c.text("appid"))
	}
	for _, name := range slices.Sorted(maps.Keys(e.Claims)) {
		if got, want := c.text(name), e.Claims[name]; got != want {
			return claim.Bad("the claim %s is %.100q", name, got)
		}
	}
	v.Proof.Partial = e.Body == nil
	if e.Body != nil && !e.Body.matches(c.text(e.Body.Claim), r.Body) {
		return claim.Bad("the claim %s is not the digest of this body", e.Body.Claim)
	}
	return e.dates(v, c, r.Received)
}

func (b *BodyHash) matches(text string, body []byte) bool {
	sum, err := b.Encoding.Decode(text)
	if err != nil && b.Encoding == claim.Base64 { // some leave the padding out
		sum, err = base64.RawStdEncoding.Strict().DecodeString(text)
	}
	return err == nil && subtle.ConstantTimeCompare(sum, b.Algorithm.Sum(body)) == 1
}

// dates decides about when the token holds.
func (e *Expect) dates(v inbound.Verdict, c Claims, received time.Time) inbound.Verdict {
	issued, hasIssued := c.time("iat")
	ends, hasEnd := c.time("exp")
	begins, hasBegin := c.time("nbf")
	_, wrote := c["exp"]
	stale := func(format string, args ...any) inbound.Verdict {
		v.Result, v.Why = inbound.Stale, fmt.Sprintf(format, args...)
		return v
	}
	v.Proof.Signed = issued
	age := e.MaxAge
	if age == 0 && !hasEnd {
		age = usualAge
	}
	switch {
	case wrote && !hasEnd:
		return claim.Bad("the claim exp is no time")
	case e.MaxAge > 0 && !hasIssued:
		return claim.Bad("the token does not say when it was issued")
	case e.Dated && !hasIssued && !hasEnd:
		return claim.Bad("the token says neither when it was issued nor when it ends")
	case hasEnd && !received.Before(ends.Add(Leeway)):
		return stale("the token ended %s before it was received", received.Sub(ends).Round(time.Second))
	case hasBegin && received.Before(begins.Add(-Leeway)):
		return stale("the token does not hold yet: it begins %s later", begins.Sub(received).Round(time.Second))
	case hasIssued && received.Before(issued.Add(-max(Leeway, e.MaxAge))):
		return stale("the token was issued %s after it was received", issued.Sub(received).Round(time.Second))
	case hasIssued && age > 0 && received.Sub(issued) > age:
		return stale("the token was issued %s ago, and at most %s are allowed", received.Sub(issued).Round(time.Second), age)
	}
	return v
}

// text is a claim as text: of a string, a number or a bool.
func (c Claims) text(name string) string {
	switch v := c[name].(type) {
	case string:
		return v
	case bool, float64:
		return fmt.Sprint(v)
	}
	return ""
}

func (c Claims) list(name string) (out []string) {
	switch v := c[name].(type) {
	case string:
		return []string{v}
	case []any:
		for _, one := range v {
			if s, ok := one.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

// time reads a NumericDate (RFC 7519, section 2).
func (c Claims) time(name string) (time.Time, bool) {
	f, ok := c[name].(float64)
	if !ok || !(f > 0 && f < 1<<33) {
		return time.Time{}, false
	}
	return time.Unix(int64(f), 0), true
}
