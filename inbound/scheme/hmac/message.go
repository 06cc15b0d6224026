package hmac

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"strings"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
)

// signed answers the names of a message about one group of a request.
type signed struct {
	inbound.Names
	group  *group
	secret []byte
}

// Bytes implements [block.BytesSource].
func (s *signed) Bytes(ref *block.Ref) ([]byte, bool) {
	switch ref.Name {
	case "secret":
		return s.secret, true
	case "field":
		found, n := "", 0
		for _, f := range s.group.fields {
			if f[0] == ref.Key {
				found, n = f[1], n+1
			}
		}
		return []byte(found), n == 1
	case "raw_body_sha256":
		sum := sha256.Sum256(s.Body)
		return hex.AppendEncode(nil, sum[:]), true
	case "raw_body_sha256_base64":
		sum := sha256.Sum256(s.Body)
		return base64.StdEncoding.AppendEncode(nil, sum[:]), true
	}
	return s.Names.Bytes(ref)
}

// holdsHeader reports whether the message holds this header.
func holdsHeader(m *block.Template, name string) bool {
	for _, r := range m.Refs() {
		if r.Name == "header" && http.CanonicalHeaderKey(r.Key) == http.CanonicalHeaderKey(name) {
			return true
		}
	}
	return false
}

// clear refuses a message that could be read in two ways: a part that the sender
// chooses and that holds the text that ends it, or a body behind the URL whose
// beginning may stand in the query (C39).
func (g *Grammar) clear(s *signed) *refusal {
	if g.Message == nil {
		return nil
	}
	parts := g.Message.Parts()
	for i, part := range parts {
		if part.Ref == nil || i+1 == len(parts) {
			continue
		}
		next := parts[i+1]
		switch name := part.Ref.Name; name {
		case "header", "query", "field":
			v, ok := s.Bytes(part.Ref)
			if !ok {
				return bad("%s %q, which is signed, is not there exactly once", name, part.Ref.Key)
			}
			if end := string(next.Literal); end != "" && strings.Contains(string(v), end) {
				return bad("%s %q holds %q, which ends it in the signed message", name, part.Ref.Key, end)
			}
		case "url":
			if isBody(next.Ref) && strings.ContainsAny(s.URL, "{}[]\"<> ") {
				return bad("the URL holds what no URL holds, and the body follows it in the signed message")
			}
		}
	}
	if g.SecretIn == InMessage && parts[len(parts)-1].Ref == nil || g.SecretIn == InMessage && parts[len(parts)-1].Ref.Name != "secret" {
		// A plain hash that begins with the secret can be continued by whoever has one
		// (length extension), with bytes that are in no JSON text.
		if !block.ValidJSON(s.Body) {
			return bad("the body is no JSON: a hash that does not end with the secret says nothing about it")
		}
	}
	return nil
}

// unescape writes out those escapes of a URL that the sender may have written out.
func (g *Grammar) unescape(url string) string {
	if g.Unescaped == "" || !strings.Contains(url, "%") {
		return url
	}
	var b strings.Builder
	for i := 0; i < len(url); i++ {
		if url[i] == '%' && i+2 < len(url) {
			if c, err := hex.DecodeString(url[i+1 : i+3]); err == nil && strings.IndexByte(g.Unescaped, c[0]) >= 0 {
				b.WriteByte(c[0])
				i += 2
				continue
			}
		}
		b.WriteByte(url[i])
	}
	return b.String()
}

// write writes what is signed; false if a part of it is missing.
func (g *Grammar) write(to hash.Hash, s *signed) bool {
	if g.Message == nil {
		to.Write(s.Body)
		return true
	}
	return g.Message.WriteTo(to, s) == nil
}
