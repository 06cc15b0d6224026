package fallback

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-proxy/postern/policy"
)

// ID stands for a call in its scope: client, provider, account, method, host, path,
// query, and what of its header may select an answer. It is a digest, so that nobody
// reads in the store what was asked for.
type ID [sha256.Size]byte

// Headers that never select an answer: who asks, and ids of the asking. Any other
// may, whether or not the answer says so by Vary: what a provider leaves out of
// Vary, such as the header that names a tenant, must not give one the answer of the other.
var unkeyed = map[string]bool{
	"User-Agent": true, "Date": true, "Connection": true, "Content-Length": true, "Cache-Control": true, "Pragma": true, "Via": true,
	"Traceparent": true, "Tracestate": true, "Baggage": true, "Sentry-Trace": true, "B3": true, "X-Cloud-Trace-Context": true, "X-Amzn-Trace-Id": true, "Uber-Trace-Id": true,
	"X-Request-Id": true, "Request-Id": true, "X-Correlation-Id": true, "Correlation-Id": true, "X-Client-Request-Id": true, "Client-Request-Id": true,
	"Idempotency-Key": true, "X-Priority": true, "Priority": true, "Amz-Sdk-Invocation-Id": true, "Amz-Sdk-Request": true,
}

// ignored reports whether a header never selects an answer.
func ignored(name string) bool {
	return unkeyed[name] || strings.HasPrefix(name, "X-Stainless-") || strings.HasPrefix(name, "X-B3-") || strings.HasPrefix(name, "X-Datadog-")
}

// idOf is the ID of a call; not ok if it is none whose answers are kept: one that
// is not safe, has a body, asks for a part or under a condition (RFC 9110 sections
// 13 and 14), or may be another method to the provider.
func idOf(provider string, x *policy.Exchange, r *http.Request) (id ID, ok bool) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || x.Body != nil && x.Body.Len() != 0 {
		return id, false
	}
	h := sha256.New()
	add(h, x.Client, provider, x.Account, r.Method, r.URL.Scheme, r.URL.Host, r.URL.EscapedPath(), r.URL.RawQuery)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		switch {
		case name == "Range", name == "Upgrade", strings.HasPrefix(name, "If-"), strings.Contains(name, "Method-Override"), name == "X-Http-Method":
			return id, false
		case name == "Cache-Control" && directive(r.Header, "no-store"):
			return id, false
		case !ignored(name):
			add(h, name)
			add(h, r.Header[name]...)
		}
	}
	return ID(h.Sum(nil)), true
}

// add feeds texts to h so that no other texts feed the same.
func add(h hash.Hash, texts ...string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(texts)))
	h.Write(n[:])
	for _, s := range texts {
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
}

// directive reports whether Cache-Control has a directive, with or without a value
// (RFC 9111 section 5.2).
func directive(h http.Header, name string) bool {
	for _, v := range h["Cache-Control"] {
		for d := range strings.SplitSeq(v, ",") {
			d, _, _ = strings.Cut(strings.TrimSpace(d), "=")
			if strings.EqualFold(d, name) {
				return true
			}
		}
	}
	return false
}

// keysOf lists the fingerprints of the keys that the policy has for its calls now.
func keysOf(p *policy.Plan) (all []string) {
	if p == nil {
		return nil
	}
	for i := range p.Stages {
		if p.Stages[i].Keys == nil {
			continue
		}
		for _, k := range p.Stages[i].Keys() {
			if k.State != policy.KeyReplaced && k.Fingerprint != "" {
				all = append(all, k.Fingerprint)
			}
		}
	}
	return all
}
