package idempotency

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-proxy/postern/policy"
)

// parts writes texts so that different lists never look alike.
type parts struct{ hash.Hash }

func (p parts) add(texts ...string) {
	var size [8]byte
	for _, t := range texts {
		binary.BigEndian.PutUint64(size[:], uint64(len(t)))
		p.Write(size[:])
		p.Write([]byte(t))
	}
}

// id stands for the key of a call in its scope: provider, client and account, what
// of a credential the policy puts and what the application itself sends, and
// whatever else says on whose behalf the call is. Those who differ in any of it
// know nothing of each other's keys.
func (b *Block) id(x *policy.Exchange, r *http.Request) ID {
	p := parts{sha256.New()}
	p.add("postern idempotency 1", x.Plan.Provider, x.Client, x.Account, x.Key.Value)
	for _, s := range x.Plan.Slots {
		p.add("slot", string(s.In), s.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if !b.behalf(name) || slices.ContainsFunc(x.Plan.Slots, func(s policy.Slot) bool { return s.In == policy.InHeader && s.Name == name }) {
			continue
		}
		p.add("header", name)
		for _, v := range r.Header[name] {
			p.add(policy.Principal(v))
		}
	}
	for _, pair := range policy.BehalfQuery(r.URL.RawQuery, x.Plan.Slots) {
		if pair[0] != b.Query {
			p.add("query", pair[0], pair[1])
		}
	}
	return ID(p.Sum(nil))
}

// behalf reports whether a header says who calls or on whose behalf. One that is
// taken for such keeps calls apart; one that is overlooked would bring them
// together, and is named by vary.
func (b *Block) behalf(name string) bool {
	if slices.ContainsFunc(b.Vary, func(v string) bool { return strings.EqualFold(v, name) }) {
		return true
	}
	return policy.Behalf(name) && !strings.EqualFold(name, b.Header)
}

// fingerprint is what a key was used for: method, host, path, query and body. What
// changes from one attempt of an SDK to the next has no part in it, nor what stands
// where a credential goes: the outbox sends the call without. It is made
// with the key, so that who reads the store cannot try bodies out without it.
func (b *Block) fingerprint(x *policy.Exchange, r *http.Request, body []byte) (f [32]byte) {
	p := parts{hmac.New(sha256.New, []byte(x.Key.Value))}
	kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	path := r.URL.EscapedPath()
	for _, s := range x.Plan.Slots {
		switch s.In {
		case policy.InPath:
			path = policy.DropSegment(path, s.Name)
		case policy.InBody:
			body = policy.DropMember(r.Header.Get("Content-Type"), body, s.Name)
		}
	}
	p.add(r.Method, r.URL.Host, path, kind, strings.ToLower(r.Header.Get("Content-Encoding")))
	for _, pair := range b.query(x, r.URL.RawQuery) {
		p.add(pair[0], pair[1])
	}
	sum := sha256.Sum256(unbounded(body, kind, params))
	p.add(string(sum[:]))
	p.Sum(f[:0])
	return f
}

// query is the query without the key and without what a credential replaces, its
// parameters in the order of their names.
func (b *Block) query(x *policy.Exchange, raw string) (pairs [][2]string) {
	for part := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(part, "=")
		name, value = plain(name), plain(value)
		if part == "" || name == b.Query || slices.ContainsFunc(x.Plan.Slots, func(s policy.Slot) bool { return s.In == policy.InQuery && s.Name == name }) {
			continue
		}
		pairs = append(pairs, [2]string{name, value})
	}
	slices.SortStableFunc(pairs, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return pairs
}

// plain is s decoded, or itself if it is not well escaped.
func plain(s string) string {
	if out, err := url.QueryUnescape(s); err == nil {
		return out
	}
	return s
}

// unbounded is a multipart body without its boundary, which every sending has anew.
func unbounded(body []byte, kind string, params map[string]string) []byte {
	boundary := params["boundary"]
	if !strings.HasPrefix(kind, "multipart/") || boundary == "" {
		return body
	}
	return []byte(strings.ReplaceAll(string(body), "--"+boundary, "--"))
}

// immaterial says why a call is none whose answer can be kept, "" if it can
// (pitfall P18): the answer depends on what the client has already, or is not all
// of one.
func immaterial(r *http.Request) string {
	switch {
	case r.Method == http.MethodHead:
		return "the answer to HEAD has no body"
	case r.Header.Get("Upgrade") != "":
		return "the call asks for another protocol"
	}
	for name := range r.Header {
		if name == "Range" || strings.HasPrefix(name, "If-") {
			return "the answer depends on " + name
		}
	}
	return ""
}
