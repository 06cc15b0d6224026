package hmac

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/postern-proxy/postern/inbound"
)

const (
	maxHeader     = 8 << 10 // bytes of all that holds signatures
	maxElements   = 64      // in its list
	maxSignatures = 10      // among them
	maxID         = 256     // bytes of a signed event id
	maxNumbered   = 100     // X-Signature-1 to -100
)

// group is a timestamp and the signatures that cover it.
type group struct {
	timestamp  string
	fields     [][2]string // the other elements of the list, if the message holds one
	signatures [][]byte    // decoded; those that do not decode are left out
}

// presented is what a request claims.
type presented struct {
	groups []group
	id     string
	total  int // of signatures
}

// refusal is why a request is not taken.
type refusal struct {
	result inbound.Result
	why    string
}

func bad(format string, args ...any) *refusal {
	return &refusal{inbound.BadSignature, fmt.Sprintf(format, args...)}
}

// read reads what a request claims. nil means no more than that there is something
// to verify; what is sent twice is ambiguous and refused.
func (g *Grammar) read(r *inbound.Request) (p presented, no *refusal) {
	texts, where, no := g.texts(r)
	if no != nil {
		return p, no
	}
	for _, text := range texts {
		for _, list := range g.groups(text) {
			if no := g.readList(list, &p); no != nil {
				return p, no
			}
		}
	}
	if p.total == 0 {
		return p, bad("%s holds no signature of %d bytes in %s%s", where, g.Algorithm.Size(), g.Encoding, g.shape())
	}
	if g.Timestamp != "" {
		stamp := ""
		if !only(r.Header, g.Timestamp, &stamp) {
			return p, bad("%s is not there exactly once", g.Timestamp)
		}
		for i := range p.groups {
			p.groups[i].timestamp = stamp
		}
	}
	if g.ID != "" && (!only(r.Header, g.ID, &p.id) || len(p.id) > maxID) {
		return p, bad("%s is not there exactly once, or is longer than %d bytes", g.ID, maxID)
	}
	if g.TimestampField != "" {
		for _, c := range p.groups {
			if c.timestamp == "" && len(c.signatures) > 0 {
				return p, bad("%s has no %s", where, g.TimestampField)
			}
		}
	}
	return p, nil
}

// shape says what is expected around a signature.
func (g *Grammar) shape() (s string) {
	if g.Field != "" {
		s += fmt.Sprintf(" as an element %q", g.Field+g.Assign)
	}
	if g.Prefix != "" {
		s += fmt.Sprintf(" after %q", g.Prefix)
	}
	return s
}

// texts returns what holds the signatures, and what to call it.
func (g *Grammar) texts(r *inbound.Request) (texts []string, where string, no *refusal) {
	if g.Signature != nil {
		where = g.Signature.Source()
		text, _ := g.Signature.String(&inbound.Names{Request: r})
		if text != "" {
			texts = []string{text}
		}
	} else if g.Header != "" {
		where = g.Header
		if texts, no = take(r.Header, g.Header, nil); no != nil {
			return nil, where, no
		}
	} else {
		where = strings.Join(g.Headers, " and ")
		for _, name := range g.names() {
			if texts, no = take(r.Header, name, texts); no != nil {
				return nil, where, no
			}
		}
	}
	size := 0
	for _, t := range texts {
		size += len(t)
	}
	switch {
	case len(texts) == 0:
		return nil, where, &refusal{inbound.Unsigned, where + " is not there, or empty"}
	case size > maxHeader:
		return nil, where, bad("%s is longer than %d bytes", where, maxHeader)
	}
	return texts, where, nil
}

// names lists the headers that may hold signatures.
func (g *Grammar) names() (names []string) {
	if g.Header != "" {
		return []string{g.Header}
	}
	for _, h := range g.Headers {
		numbered, ok := strings.CutSuffix(h, "*")
		if !ok {
			names = append(names, h)
			continue
		}
		for i := range maxNumbered {
			names = append(names, numbered+strconv.Itoa(i+1))
		}
	}
	return names
}

// take adds the value of a header, if it is there.
func take(h http.Header, name string, to []string) ([]string, *refusal) {
	switch values := h.Values(name); {
	case len(values) > 1:
		return nil, bad("%s came %d times", name, len(values))
	case len(values) == 1 && strings.TrimSpace(values[0]) != "":
		return append(to, values[0]), nil
	}
	return to, nil
}

func (g *Grammar) groups(text string) []string {
	if g.Group == "" {
		return []string{text}
	}
	return strings.SplitN(text, g.Group, maxSignatures+2)
}

// readList reads one list of signatures into a group of its own.
func (g *Grammar) readList(value string, p *presented) *refusal {
	p.groups = append(p.groups, group{})
	c := &p.groups[len(p.groups)-1]
	if g.Separator == "" {
		return g.add(value, c, p)
	}
	if strings.Count(value, g.Separator) >= maxElements {
		return bad("there are more than %d elements in the list of signatures", maxElements)
	}
	for e := range strings.SplitSeq(value, g.Separator) {
		e = strings.Trim(e, " \t")
		if g.Field == "" {
			if e != "" {
				if no := g.add(e, c, p); no != nil {
					return no
				}
			}
			continue
		}
		if no := g.element(e, c, p); no != nil {
			return no
		}
	}
	return nil
}

// element reads one name and value of a list.
func (g *Grammar) element(e string, c *group, p *presented) *refusal {
	name, v, ok := strings.Cut(e, g.Assign)
	switch {
	case !ok:
	case name == g.Field:
		return g.add(v, c, p)
	case g.TimestampField != "" && name == g.TimestampField:
		if c.timestamp != "" {
			return bad("the list of signatures has two %s", name)
		}
		c.timestamp = v
	case g.Message != nil && g.Message.Reads("field"):
		c.fields = append(c.fields, [2]string{name, v})
	}
	return nil
}

// add decodes one signature. One of another form is passed over.
func (g *Grammar) add(text string, c *group, p *presented) *refusal {
	coded, ok := strings.CutPrefix(text, g.Prefix)
	if !ok {
		return nil
	}
	sum, err := g.Encoding.decode(coded)
	if err != nil || len(sum) != g.Algorithm.Size() {
		return nil
	}
	c.signatures = append(c.signatures, sum)
	if p.total++; p.total > maxSignatures {
		return bad("there are more than %d signatures", maxSignatures)
	}
	return nil
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
