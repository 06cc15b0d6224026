package inbound

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// contentHeaders describe the body and are always kept.
var contentHeaders = []string{"Content-Type", "Content-Encoding", "Content-Language"}

// refusedHeaders are never kept, whatever a policy says.
var refusedHeaders = []string{
	"Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "Connection", "Keep-Alive", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Host", "Content-Length", "Expect", "Date",
	"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature",
}

func keepable(name string) bool {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	for _, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-') {
			return false
		}
	}
	return name != "" && !slices.Contains(refusedHeaders, canonical) && !strings.HasPrefix(canonical, "Postern-") && !strings.HasPrefix(canonical, "Proxy-")
}

// kept returns the headers of h that are stored and delivered.
func (w *Webhook) kept(h http.Header) http.Header {
	out := http.Header{}
	for _, list := range [][]string{contentHeaders, w.Keep} {
		for _, name := range list {
			if v := h.Values(name); len(v) > 0 {
				out[textproto.CanonicalMIMEHeaderKey(name)] = slices.Clone(v)
			}
		}
	}
	return out
}
