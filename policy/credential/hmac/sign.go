package hmac

import (
	"bytes"
	"crypto/hmac"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

const form = "application/x-www-form-urlencoded"

// sign puts everything that one attempt needs. First the application's own
// signature goes; then fields, query and headers are put, because the message may
// read them; then the signature itself.
func (a *attempt) sign(r *http.Request, x *policy.Exchange, secret string, also []string) error {
	defer func() { a.r, a.x, a.also = nil, nil, nil }()
	a.r, a.x, a.also, a.now, a.nonce, a.err = r, x, also, a.b.clock.Now(), a.nonce[:0], nil
	for i := range a.parts {
		a.parts[i].done = false
	}
	if err := a.read(secret); err != nil {
		return err
	}
	for _, p := range a.b.late {
		if p.in == policy.InQuery {
			r.URL.RawQuery = policy.DropQuery(r.URL.RawQuery, p.name)
		}
	}
	for _, p := range a.b.early {
		if err := a.put(p, policy.PutQuery); err != nil {
			return err
		}
	}
	if !a.open(&a.mac, a.b.Algorithm, a.b.Key, a.key) {
		return a.fault(nil)
	}
	if err := a.b.Message.WriteTo(a.mac, a); err != nil {
		return a.fault(err)
	}
	a.sum = a.mac.Sum(a.sum[:0])
	a.signature = a.b.Encoding.append(a.signature[:0], a.sum)
	for _, p := range a.b.late {
		if err := a.put(p, atEnd); err != nil {
			return err
		}
	}
	return nil
}

// read decodes the secret, if it is another one than before.
func (a *attempt) read(secret string) error {
	if a.secret == secret {
		return nil
	}
	key, err := a.b.SecretEncoding.Key(secret)
	if err != nil {
		if !a.b.Secret[0].StandsIn() {
			return &policy.Denial{
				Code: policy.CredentialUnavailable, Stage: "credential", Detail: "the secret of credential \"hmac\" cannot be used: " + err.Error(),
				Hint: "Put the secret there as the provider shows it, or correct secret_encoding.",
			}
		}
		key = []byte(secret)
	}
	a.secret, a.key = secret, key
	return nil
}

// open makes d ready: with the key of the template, or else the given one; no key
// makes a plain hash.
func (a *attempt) open(d *digest, alg Algorithm, template *block.Template, key []byte) bool {
	if template != nil {
		var made appender
		if err := template.WriteTo(&made, a); err != nil {
			return false
		}
		if key = made; len(key) == 0 { // an HMAC "works" with it
			a.err = &policy.Denial{Code: policy.CredentialUnavailable, Stage: "credential", Detail: "the key of credential \"hmac\" is empty"}
			return false
		}
	}
	switch {
	case d.Hash != nil && bytes.Equal(d.key, key):
		d.Reset()
	case key == nil:
		d.Hash = alg.new()
	default:
		d.Hash, d.key = hmac.New(alg.new, key), bytes.Clone(key)
	}
	return true
}

// fault is why a template could not be written.
func (a *attempt) fault(err error) error {
	if a.err != nil {
		return a.err
	}
	return err
}

// atEnd makes value the last parameter.
func atEnd(raw, name, value string) string {
	return policy.PutQuery(policy.DropQuery(raw, name), name, value)
}

// put writes a template and puts the result in its place. An empty one takes the
// application's own away.
func (a *attempt) put(p place, query func(raw, name, value string) string) error {
	a.written = a.written[:0]
	if err := p.text.WriteTo(&a.written, a); err != nil {
		return a.fault(err)
	}
	value := string(a.written)
	switch p.in {
	case policy.InBody:
		return a.putField(p.name, value)
	case policy.InQuery:
		if value == "" {
			a.r.URL.RawQuery = policy.DropQuery(a.r.URL.RawQuery, p.name)
			return nil
		}
		a.r.URL.RawQuery = query(a.r.URL.RawQuery, p.name, value)
		return nil
	}
	if !httpguts.ValidHeaderFieldValue(value) {
		return &policy.Denial{
			Code: policy.BadRequest, Stage: "credential", Detail: "what goes into the header " + p.name + " of a signed request holds a control character",
			Hint: "It is made of a header or a parameter of the request: send that without line breaks.",
		}
	}
	policy.SetHeader(a.r.Header, p.name, value)
	if value == "" {
		a.r.Header.Del(p.name)
	}
	return nil
}

// putField sets a field of the body, which is a form or a JSON object; where there
// is no body it becomes a form, unless the method has none. What is kept of the
// call does not have it.
func (a *attempt) putField(name, value string) error {
	body, ok := a.body()
	if !ok {
		return a.err
	}
	kind, _, _ := mime.ParseMediaType(a.r.Header.Get("Content-Type"))
	var out []byte
	switch {
	case len(body) == 0 && (a.r.Method == http.MethodGet || a.r.Method == http.MethodHead):
		return nil
	case kind == form, len(body) == 0 && kind == "":
		if kind == "" {
			a.r.Header["Content-Type"] = []string{form}
		}
		out = []byte(policy.PutQuery(string(body), name, value))
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		if len(body) == 0 {
			body = []byte("{}")
		}
		out, ok = policy.SetField(body, name, value)
	default:
		ok = false
	}
	if !ok {
		return &policy.Denial{
			Code: policy.BadRequest, Stage: "credential", Detail: "a signed request of this provider has " + name + " in its body, and the body is neither a JSON object nor a form",
			Hint: "Send a JSON object or a form with its Content-Type.",
		}
	}
	a.x.Send = policy.NewBody(nil, 0, int64(len(out)))
	a.x.Send.Replace(out)
	return nil
}

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }
