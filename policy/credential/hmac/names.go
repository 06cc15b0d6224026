package hmac

import (
	"errors"
	"hash"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// attempt is what the templates of one attempt read. It is used again for others.
type attempt struct {
	b *Block
	r *http.Request
	x *policy.Exchange

	secret string // as the key was decoded from
	key    []byte
	also   []string // values and key id
	now    time.Time
	nonce  []byte
	parts  []made
	mac    digest
	err    error // what a name could not be answered for

	signature, scratch, sum []byte
	written                 appender // what is put somewhere
}

// made is a part.
type made struct {
	digest
	done bool
	text []byte
}

// digest is a hash, with the key it was made for.
type digest struct {
	hash.Hash
	key []byte
}

func newAttempt(b *Block) *attempt { return &attempt{b: b, parts: make([]made, len(b.Parts))} }

// Bytes answers a name. What the request does not have is empty. The result holds
// until the next call.
func (a *attempt) Bytes(ref *block.Ref) ([]byte, bool) {
	switch ref.Name {
	case "request.raw_body":
		return a.body()
	case "request.sorted_form":
		return a.form()
	case "secret":
		return a.key, true
	case "key_id":
		return a.text(a.also[len(a.b.names)]), true
	case "values":
		return a.text(a.also[slices.Index(a.b.names, ref.Key)]), true
	case "timestamp":
		a.scratch = a.b.Unit.append(a.scratch[:0], a.now)
		return a.scratch, true
	case "expires":
		a.scratch = a.b.Unit.append(a.scratch[:0], a.now.Add(a.b.Expires.Duration))
		return a.scratch, true
	case "nonce":
		return a.once(), true
	case "part":
		return a.part(slices.IndexFunc(a.b.Parts, func(p *Part) bool { return p.Name == ref.Key }))
	case "signature":
		return a.signature, true
	}
	return a.text(a.ofRequest(ref)), true
}

// ofRequest is the request as it leaves.
func (a *attempt) ofRequest(ref *block.Ref) string {
	u := a.r.URL
	switch ref.Name {
	case "request.method":
		return a.r.Method
	case "request.host":
		return a.host()
	case "request.path":
		if path := u.EscapedPath(); path != "" {
			return path
		}
		return "/"
	case "request.target":
		return u.RequestURI()
	case "request.raw_query":
		return u.RawQuery
	case "request.decoded_query":
		return decodedQuery(u.RawQuery)
	case "request.sorted_query":
		return sortedQuery(u.RawQuery, true)
	case "request.sorted_decoded_query":
		return sortedQuery(u.RawQuery, false)
	case "request.query":
		if v := policy.QueryValues(u.RawQuery, ref.Key); len(v) > 0 {
			return v[0]
		}
	case "request.header":
		if strings.EqualFold(ref.Key, "Host") {
			return a.host()
		}
		return strings.Join(a.r.Header.Values(ref.Key), ", ")
	}
	return ""
}

func (a *attempt) host() string {
	if a.r.Host != "" {
		return a.r.Host
	}
	return a.r.URL.Host
}

func (a *attempt) text(s string) []byte {
	a.scratch = append(a.scratch[:0], s...)
	return a.scratch
}

// body is the body as it leaves, whole.
func (a *attempt) body() ([]byte, bool) {
	p, err := a.x.Outgoing().Bytes()
	if errors.Is(err, policy.ErrTooLarge) {
		err = &policy.Denial{
			Code: policy.BodyTooLarge, Stage: "credential", Detail: "this provider wants the body signed, and the body is longer than retry.buffer",
			Hint: "Send a shorter body, or raise retry.buffer of this provider.", Err: err,
		}
	}
	a.err = err
	return p, err == nil
}

func (a *attempt) form() ([]byte, bool) {
	kind, _, _ := mime.ParseMediaType(a.r.Header.Get("Content-Type"))
	if kind != form {
		return nil, true
	}
	p, ok := a.body()
	return a.text(sortedQuery(string(p), true)), ok
}

// once is the nonce, one for the attempt.
func (a *attempt) once() []byte {
	if len(a.nonce) == 0 {
		if a.b.Nonce == Rising {
			n := a.b.clock.Rising(a.b.Unit.count(a.now))
			a.nonce = appendInt(a.nonce, n)
		} else {
			a.nonce = append(a.nonce, a.b.live.NewNonce()...)
		}
	}
	return a.nonce
}

// part makes a part when it is first needed.
func (a *attempt) part(i int) ([]byte, bool) {
	p, m := a.b.Parts[i], &a.parts[i]
	if m.done {
		return m.text, true
	}
	m.text, m.done = m.text[:0], true
	if len(p.Methods) > 0 && !slices.Contains(p.Methods, a.r.Method) {
		return m.text, true
	}
	if p.WithBody && a.x.Outgoing().Len() <= 0 {
		if a.x.Outgoing().Len() == 0 {
			return m.text, true
		}
		if body, ok := a.body(); !ok || len(body) == 0 {
			return m.text, ok
		}
	}
	if p.Algorithm.new == nil {
		var raw appender
		if err := p.Message.WriteTo(&raw, a); err != nil {
			return nil, false
		}
		m.text = p.Encoding.append(m.text, raw)
		return m.text, true
	}
	if !a.open(&m.digest, p.Algorithm, p.Key, nil) {
		return nil, false
	}
	var to io.Writer = m.Hash
	if p.Most > 0 {
		to = &first{m.Hash, int(p.Most)}
	}
	if err := p.Message.WriteTo(to, a); err != nil {
		return nil, false
	}
	a.sum = m.Sum(a.sum[:0])
	m.text = p.Encoding.append(m.text, a.sum)
	return m.text, true
}

// appender is a writer into memory.
type appender []byte

func (p *appender) Write(b []byte) (int, error) {
	*p = append(*p, b...)
	return len(b), nil
}

// first writes the first n bytes, and drops the others.
type first struct {
	w io.Writer
	n int
}

func (f *first) Write(b []byte) (int, error) {
	take := b[:min(len(b), f.n)]
	f.n -= len(take)
	if _, err := f.w.Write(take); err != nil {
		return 0, err
	}
	return len(b), nil
}
