// Package body is credential "body": values in fields of a JSON or form body,
// as the request is.
package body

import (
	"errors"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
)

// Feature returns the feature.
func Feature(live *credential.Live) policy.Feature {
	return policy.Feature{Name: "credential", Kind: "body", New: func() policy.Block { return &Block{live: live} }}
}

// Block is a credential "body" block.
type Block struct {
	Fields map[string]block.Secret `hcl:"fields"`

	live *credential.Live
}

// Check wants at least one field.
func (b *Block) Check() error {
	if len(b.Fields) == 0 {
		return block.At("fields", "at least one field is needed")
	}
	return nil
}

// Stage compiles the block. The body with the secrets in it is that of one
// attempt: what is kept of the call never has them.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	names := slices.Sorted(maps.Keys(b.Fields))
	k := credential.Kind{
		Name: "body", Summary: "values in body fields " + strings.Join(names, ", "),
		Values: []block.Secret{b.Fields[names[0]]},
		On:     []policy.Outcome{policy.Auth}, // there is one value, which may be replaced
		Put: func(r *http.Request, x *policy.Exchange, value string, also []string) error {
			return put(r, x, names, append([]string{value}, also...))
		},
	}
	for _, n := range names {
		k.Slots = append(k.Slots, policy.Slot{In: policy.InBody, Name: n})
	}
	for _, n := range names[1:] {
		k.Also = append(k.Also, b.Fields[n])
	}
	return b.live.Stage(s, k), nil
}

func put(r *http.Request, x *policy.Exchange, names, values []string) error {
	body, err := x.Outgoing().Bytes()
	if errors.Is(err, policy.ErrTooLarge) {
		return &policy.Denial{
			Code: policy.BodyTooLarge, Stage: "credential", Detail: "the credential of this provider goes into the body, and the body is longer than retry.buffer",
			Hint: "Send a shorter body, or raise retry.buffer of this provider.", Err: err,
		}
	}
	if err != nil {
		return err
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	out, ok := []byte(nil), false
	switch {
	case kind == "application/x-www-form-urlencoded":
		out, ok = form(string(body), names, values), true
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		out, ok = object(body, names, values)
	}
	if !ok {
		return &policy.Denial{
			Code: policy.BadRequest, Stage: "credential", Detail: "the credential of this provider goes into the body, and the body is neither a JSON object nor a form",
			Hint: "Send a JSON object or a form with its Content-Type.",
		}
	}
	x.Send = policy.NewBody(nil, 0, int64(len(out)))
	x.Send.Replace(out)
	return nil
}

func form(body string, names, values []string) []byte {
	for i, n := range names {
		body = policy.DropQuery(body, n)
		if body != "" {
			body += "&"
		}
		body += url.QueryEscape(n) + "=" + url.QueryEscape(values[i])
	}
	return []byte(body)
}

// object sets the fields, whatever stood there, also twice.
func object(body []byte, names, values []string) (out []byte, ok bool) {
	out = body
	for i, n := range names {
		if out, ok = policy.SetField(out, n, values[i]); !ok {
			return nil, false
		}
	}
	return out, true
}
