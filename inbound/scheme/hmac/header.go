package hmac

import (
	"net/http"
	"strings"

	"github.com/postern-proxy/postern/inbound"
)

const (
	maxHeader     = 8 << 10 // bytes of a signature header
	maxElements   = 64      // in its list
	maxSignatures = 10      // among them
	maxID         = 256     // bytes of a signed event id
)

// presented is what a request claims.
type presented struct {
	signatures [][]byte // decoded; those that do not decode are left out
	timestamp  string
	id         string
}

// read reads what a request claims. Accepted means no more than that there is
// something to verify; a header that is sent twice is ambiguous and refused.
func (g *Grammar) read(h http.Header) (p presented, r inbound.Result) {
	values := h.Values(g.Header)
	switch {
	case len(values) == 0 || len(values) == 1 && strings.TrimSpace(values[0]) == "":
		return p, inbound.Unsigned
	case len(values) > 1 || len(values[0]) > maxHeader:
		return p, inbound.BadSignature
	}
	ok := g.readList(values[0], &p)
	if g.Timestamp != "" {
		ok = only(h, g.Timestamp, &p.timestamp) && ok
	}
	if g.ID != "" {
		// A dot is what divides a signed message: an id with one could be read
		// in two ways.
		ok = only(h, g.ID, &p.id) && len(p.id) <= maxID && !strings.Contains(p.id, ".") && ok
	}
	if !ok || len(p.signatures) == 0 || (g.Timestamp != "" || g.TimestampField != "") && p.timestamp == "" {
		return p, inbound.BadSignature
	}
	return p, inbound.Accepted
}

// readList reads the signature header; false if it is ambiguous or too much.
func (g *Grammar) readList(value string, p *presented) bool {
	if g.Separator == "" {
		return g.add(value, p)
	}
	elements := strings.SplitN(value, g.Separator, maxElements+1)
	if len(elements) > maxElements {
		return false
	}
	for _, e := range elements {
		e = strings.Trim(e, " \t")
		if g.Field == "" {
			if e != "" && !g.add(e, p) {
				return false
			}
			continue
		}
		switch name, v, ok := strings.Cut(e, g.Assign); {
		case !ok:
		case name == g.Field:
			if !g.add(v, p) {
				return false
			}
		case g.TimestampField != "" && name == g.TimestampField:
			if p.timestamp != "" {
				return false
			}
			p.timestamp = v
		}
	}
	return true
}

// add decodes one signature; false if there are too many.
func (g *Grammar) add(text string, p *presented) bool {
	coded, ok := strings.CutPrefix(text, g.Prefix)
	if !ok {
		return true
	}
	sum, err := g.Encoding.decode(coded)
	if err != nil || len(sum) != g.Algorithm.new().Size() {
		return true
	}
	p.signatures = append(p.signatures, sum)
	return len(p.signatures) <= maxSignatures
}

// only takes a header that is there exactly once.
func only(h http.Header, name string, into *string) bool {
	v := h.Values(name)
	if len(v) != 1 || v[0] == "" {
		return false
	}
	*into = v[0]
	return true
}
