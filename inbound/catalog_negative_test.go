package inbound_test

import (
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	scheme "github.com/postern-proxy/postern/inbound/scheme/hmac"
)

// forged is a request that must be refused.
type forged struct {
	what   string
	header http.Header
	uri    string
	body   string
}

const secret = "a secret of some length"

// forgeries spoils one request that is rightly signed in every way that applies to
// the grammar (facts on negative cases; C35, C36, C39).
func (s *signature) forgeries() (all []forged) {
	now := s.stamp(time.Now())
	body := s.content(now)
	good := func() (http.Header, string) { return s.sign(secret, now, body) }
	h, uri := good()
	add := func(what string, h http.Header, uri, body string) { all = append(all, forged{what, h, uri, body}) }
	edit := func(what string, f func(http.Header)) { h, uri := good(); f(h); add(what, h, uri, body) }
	signed := func(what, key, stamp, body string) { h, uri := s.sign(key, stamp, body); add(what, h, uri, body) }

	add("a flipped byte", h, uri, strings.Replace(body, "evt_1", "evt_2", 1))
	add("a newline more", h, uri, body+"\n")
	add("serialised anew", h, uri, strings.Replace(body, ":", ": ", 1))
	add("no body", h, uri, "")
	signed("another tenant's secret", "another tenant's secret of some length", now, body)
	signed("a secret with a newline", secret+"\n", now, body)
	signed("an empty secret", "", now, body)
	if s.g.Message != nil && s.g.Message.Reads("url") {
		add("another URL", h, uri+"?x=1", body)
	}
	for _, name := range s.covered() {
		edit("without "+name, func(h http.Header) { h.Del(name) })
		edit("with an empty "+name, func(h http.Header) { h.Set(name, "") })
		edit("with two "+name, func(h http.Header) { h.Add(name, id) })
		edit("with another "+name, func(h http.Header) { h.Set(name, "msg_2") })
	}
	all = append(all, s.forgedTimes()...)
	if s.place() == "" {
		add("without the parameter", h, "/hook", body)
		add("two parameters", h, uri+"&"+strings.SplitN(uri, "?", 2)[1], body)
		return all
	}
	return append(all, s.forgedHeaders(now, body)...)
}

// forgedHeaders spoils the header of the signature.
func (s *signature) forgedHeaders(now, body string) (all []forged) {
	_, uri := s.sign(secret, now, body)
	right, place := s.sum(secret, now, body, uri), s.place()
	wrong := s.encode(make([]byte, s.hash()().Size()))
	set := func(what string, values ...string) {
		h, uri := s.sign(secret, now, body)
		h[http.CanonicalHeaderKey(place)] = values
		all = append(all, forged{what, h, uri, body})
	}
	good := s.around(now, right)
	set("no header at all")
	set("an empty header", "")
	set("twice the same header", good, good)
	set("good, then bad", good, s.around(now, wrong))
	set("bad, then good", s.around(now, wrong), good)
	set("a wrong signature", s.around(now, wrong))
	set("truncated", s.around(now, right[:len(right)/2]))
	set("one character short", s.around(now, right[:len(right)-1]))
	set("nothing but what stands around", s.around(now, ""))
	set("far too long", s.around(now, right+strings.Repeat("0", 9000)))
	set("hundreds of signatures", s.around(now, append(repeat(wrong, 300), right)...))
	if s.g.Separator != "" {
		set("the right one behind ten others", s.around(now, append(repeat(wrong, 10), right)...))
	}
	if s.g.Prefix != "" {
		set("without its prefix", strings.Replace(good, s.g.Prefix, "", 1))
		set("another version", strings.Replace(good, s.g.Prefix, "z"+s.g.Prefix, 1))
	}
	if s.g.Field != "" {
		set("an unknown scheme only", strings.Replace(good, s.g.Field+s.g.Assign, "z"+s.g.Field+s.g.Assign, 1))
	}
	for what, text := range s.otherEncodings(right) {
		set(what, s.around(now, text))
	}
	return all
}

func repeat(s string, n int) (all []string) {
	for range n {
		all = append(all, s)
	}
	return all
}

// otherEncodings write the right signature as this scheme does not.
func (s *signature) otherEncodings(right string) map[string]string {
	if s.g.Encoding == scheme.Hex {
		raw, _ := hex.DecodeString(right)
		return map[string]string{"Base64 for hex": base64.StdEncoding.EncodeToString(raw), "hex with 0x": "0x" + right}
	}
	out := map[string]string{}
	if s.g.Encoding == scheme.Base64 {
		raw, _ := base64.StdEncoding.DecodeString(right)
		out["hex for Base64"] = hex.EncodeToString(raw)
		if strings.HasSuffix(right, "=") {
			out["without padding"] = strings.TrimRight(right, "=")
		}
		if other := base64.URLEncoding.EncodeToString(raw); other != right {
			out["in the URL's alphabet"] = other
		}
	} else if s.g.Encoding == scheme.Base64URL {
		raw, _ := base64.RawURLEncoding.DecodeString(right)
		out["hex for Base64"] = hex.EncodeToString(raw)
	}
	return out
}

// forgedTimes are rightly signed at times that are none, or wrong, and requests
// whose time was changed.
func (s *signature) forgedTimes() (all []forged) {
	if !s.dated() {
		return nil
	}
	now := s.stamp(time.Now())
	times := map[string]string{
		"too old": s.stamp(time.Now().Add(-s.tolerance() - 2*time.Second)), "too far ahead": s.stamp(time.Now().Add(s.tolerance() + time.Minute)),
		"negative": "-" + now, "of the other unit": s.otherUnit(),
	}
	if s.g.Time == nil {
		times["with a sign"], times["not a number"], times["a fraction"], times["beyond all numbers"] = "+"+now, "now", now+".5", strings.Repeat("9", 30)
	}
	for what, stamp := range times {
		body := s.content(stamp)
		h, uri := s.sign(secret, stamp, body)
		all = append(all, forged{"a timestamp " + what, h, uri, body})
	}
	if s.g.Timestamp == "" {
		return all
	}
	for what, values := range map[string][]string{"absent": nil, "empty": {""}, "there twice": {now, now}, "another": {s.stamp(time.Now().Add(-time.Second))}} {
		body := s.content(now)
		h, uri := s.sign(secret, now, body)
		h[http.CanonicalHeaderKey(s.g.Timestamp)] = values
		all = append(all, forged{"a timestamp that is " + what, h, uri, body})
	}
	return append(all, s.movedBorders(now)...)
}

// movedBorders leave the bytes that are signed and move what is the timestamp's into
// its neighbours, and the other way round (C39).
func (s *signature) movedBorders(now string) (all []forged) {
	body := s.content(now)
	move := func(what, stamp, text string) {
		h, uri := s.sign(secret, now, body)
		h.Set(s.g.Timestamp, stamp)
		all = append(all, forged{what, h, uri, text})
	}
	move("the end of the timestamp moved into the body", now[:len(now)-1], now[len(now)-1:]+body)
	move("the beginning of the timestamp moved into the body", now[1:], body+now[:1])
	move("the beginning of the body moved into the timestamp", now+body[:1], body[1:])
	move("the end of the body moved into the timestamp", body[len(body)-1:]+now, body[:len(body)-1])
	for _, name := range s.covered() {
		h, uri := s.sign(secret, now, body)
		h.Set(name, id[:len(id)-1])
		h.Set(s.g.Timestamp, id[len(id)-1:]+now)
		all = append(all, forged{"the end of " + name + " moved into the timestamp", h, uri, body})
	}
	return all
}

func (s *signature) otherUnit() string {
	if s.g.Unit == inbound.Seconds {
		return (&signature{g: &scheme.Grammar{Unit: inbound.Millis}}).stamp(time.Now())
	}
	return (&signature{g: &scheme.Grammar{Unit: inbound.Seconds}}).stamp(time.Now())
}

// TestC35CatalogNegativeCases: nothing that is spoilt is stored, whatever the
// scheme, the operator is told why, and the sender is not.
func TestC35CatalogNegativeCases(t *testing.T) {
	for _, s := range signatures(t) {
		t.Run(s.name, func(t *testing.T) {
			b := serve(t, mustLoad(t, s.source(""), s.environ()...))
			now := s.stamp(time.Now())
			body := s.content(now)
			right := s.sum(secret, now, body, "/hook")
			all := s.forgeries()
			if len(all) < 9 {
				t.Fatalf("only %d requests were spoilt", len(all))
			}
			for i, f := range all {
				got := b.post(f.uri, f.body, f.header)
				r := b.last(i + 1)
				if got.status != 401 || r.Result != "bad_signature" && r.Result != "unsigned" && r.Result != "stale" {
					t.Errorf("%s: %d %s, want 401", f.what, got.status, r.Result)
				}
				if got.body != "signature not accepted\n" && got.body != "" {
					t.Errorf("%s: the answer tells %q", f.what, got.body)
				}
				if r.Why == "" || strings.Contains(r.Why, right) || strings.Contains(r.Why, secret) {
					t.Errorf("%s: the operator is told %q", f.what, r.Why)
				}
			}
			if n := len(b.stored()); n != 0 {
				t.Fatalf("%d spoilt requests were stored", n)
			}
			h, uri := s.sign(secret, now, body)
			if got := b.send(http.MethodPost, uri, io.MultiReader(strings.NewReader(strings.Repeat("x", 70<<10))), h); got.status != 413 {
				t.Errorf("a body that is too large, sent chunked: %d", got.status)
			}
			if got := b.send(http.MethodPut, uri, strings.NewReader(body), h); got.status != 405 {
				t.Errorf("a wrong method: %d", got.status)
			}
			for what, want := range map[string]string{"the request unspoilt": "accepted", "a replay of it": "duplicate"} {
				if got := b.post(uri, body, h); got.status != 200 || what == "a replay of it" && len(b.stored()) != 1 {
					t.Errorf("%s: %d, want %s", what, got.status, want)
				}
			}
		})
	}
}
