// Package idempotency is the stage that gives a call one key for all its
// attempts: the application's own comes first, then the policy's expression,
// then a random one.
package idempotency

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// maxKey is the longest key that is accepted, in bytes; providers that say so
// take 255 (Stripe) or less.
const maxKey = 255

// Feature returns the feature.
func Feature() policy.Feature {
	return policy.Feature{Name: "idempotency", New: func() policy.Block { return new(Block) }}
}

// Block is an idempotency block. One of Header, Query and Field says where the
// key goes.
type Block struct {
	Header   string      `hcl:"header,optional"`
	Query    string      `hcl:"query,optional"` // name of the parameter
	Field    string      `hcl:"field,optional"` // of a JSON body
	Methods  []string    `hcl:"methods,optional"`
	Key      *block.Expr `hcl:"key,optional" scope:"request"`
	Required bool        `hcl:"required,optional"` // refuse a call for which nobody has a key
	Final    []int       `hcl:"final,optional"`    // statuses that the provider saves for the key and only repeats
	Keep     string      `hcl:"keep,optional"`
}

// Default gives keys to POST.
func (b *Block) Default() { b.Methods = []string{http.MethodPost} }

// Check wants exactly one place.
func (b *Block) Check() error {
	places := 0
	for _, p := range []string{b.Header, b.Query, b.Field} {
		if p != "" {
			places++
		}
	}
	var errs []error
	if places != 1 {
		errs = append(errs, block.At("idempotency", "say where the key goes by one of header, query and field"))
	}
	if b.Keep != "" {
		errs = append(errs, block.At("keep", "keep is part of the policy language, but this version has no response store yet"))
	}
	if b.Header != "" {
		if err := policy.CheckHeader(b.Header); err != nil {
			errs = append(errs, block.At("header", "%w", err))
		}
	}
	errs = append(errs, b.checkKey())
	for _, m := range b.Methods {
		if m != strings.ToUpper(m) || m == "" {
			errs = append(errs, block.At("methods", "%q is not a method in capitals", m))
		}
	}
	for _, s := range b.Final {
		if s < 100 || s > 599 {
			errs = append(errs, block.At("final", "%d is not a status", s))
		}
	}
	return errors.Join(errs...)
}

// checkKey refuses a key that two genuine calls would share: then the provider
// makes one of them.
func (b *Block) checkKey() error {
	if b.Key == nil {
		return nil
	}
	if _, constant := b.Key.Constant(); constant {
		return block.At("key", "it is the same for every call, so that the provider would take all of them for one")
	}
	told := false
	for _, name := range []string{"request.header", "request.query", "request.path", "request.body"} {
		told = told || b.Key.Reads(name)
	}
	if !told {
		return block.At("key", "two genuine calls with the same body would get the same key: use a business id that the application sends, such as request.header[\"X-Order-Id\"]")
	}
	return nil
}

// Stage compiles the block.
func (b *Block) Stage(policy.Scope) (policy.Stage, error) {
	place := "header " + b.Header
	if b.Query != "" {
		place = "query " + b.Query
	} else if b.Field != "" {
		place = "JSON field " + b.Field
	}
	source := "the application's key, else a random one per call"
	if b.Key != nil {
		source = "the application's key, else " + b.Key.Source() + ", else a random one per call"
	}
	if b.Required {
		source = strings.Replace(source, ", else a random one per call", ", else refused", 1)
	}
	return policy.Stage{
		Summary: fmt.Sprintf("%s on %s: %s", place, strings.Join(b.Methods, " "), source),
		Admit:   b.admit,
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
				if err := b.admit(r); err != nil {
					return nil, err
				}
				return next.RoundTrip(r)
			})
		},
	}, nil
}

// admit settles the key of a call that is to have one.
func (b *Block) admit(r *http.Request) error {
	if !slices.Contains(b.Methods, r.Method) {
		return nil
	}
	return b.key(r)
}

// key decides on the call's key and puts it where the provider reads it.
func (b *Block) key(r *http.Request) error {
	x := policy.From(r.Context())
	k := policy.Key{Origin: policy.KeyApp, Final: b.Final}
	var err error
	if k.Value, err = b.given(x, r); err != nil {
		return err
	}
	if blank(k.Value) {
		k.Origin, k.Value = policy.KeyPolicy, ""
		if b.Key != nil {
			k.Value, _ = b.Key.String(x)
		}
	}
	if blank(k.Value) && b.Required {
		return b.required("neither the application nor the policy has one")
	}
	if blank(k.Value) {
		k.Origin, k.Value = policy.KeyRandom, uuid.NewString()
	}
	if len(k.Value) > maxKey || strings.ContainsFunc(k.Value, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return &policy.Denial{
			Code: policy.BadRequest, Stage: "idempotency", Detail: fmt.Sprintf("the idempotency key is longer than %d bytes or holds control characters", maxKey),
			Hint: "Use a key of visible characters, such as an order number or a UUID.",
		}
	}
	x.Key = k
	x.Note("idempotency", "key", string(k.Origin))
	if k.Origin == policy.KeyApp {
		return nil
	}
	return b.put(x, r, k.Value)
}

// blank reports whether a provider would take a key for none.
func blank(key string) bool { return strings.TrimSpace(key) == "" }

func (b *Block) required(why string) error {
	return &policy.Denial{
		Code: policy.IdempotencyRequired, Stage: "idempotency", Detail: "this call needs an idempotency key, and " + why,
		Hint: fmt.Sprintf("Send a key of your own in %s, the same for every repeat of this operation.", b.Header+b.Query+b.Field),
	}
}

// given is the application's own key. Which of several a provider reads cannot
// be known.
func (b *Block) given(x *policy.Exchange, r *http.Request) (string, error) {
	var keys []string
	switch {
	case b.Header != "":
		keys = policy.HeaderValues(r.Header, b.Header)
	case b.Query != "":
		keys = policy.QueryValues(r.URL.RawQuery, b.Query)
	default:
		body, err := b.json(x, r)
		if err != nil || body == nil {
			return "", err
		}
		members, _ := policy.Fields(body, b.Field)
		for _, m := range members {
			text, _ := m.Text()
			keys = append(keys, text)
		}
	}
	switch len(keys) {
	case 0:
		return "", nil
	case 1:
		return keys[0], nil
	}
	return "", &policy.Denial{
		Code: policy.BadRequest, Stage: "idempotency", Detail: "the request has more than one idempotency key",
		Hint: "Send " + b.Header + b.Query + b.Field + " once.",
	}
}

// put adds a key that the application did not send.
func (b *Block) put(x *policy.Exchange, r *http.Request, key string) error {
	switch {
	case b.Header != "":
		policy.SetHeader(r.Header, b.Header, key)
		return nil
	case b.Query != "":
		policy.SetQuery(r.URL, b.Query, key)
		return nil
	}
	body, err := b.json(x, r)
	if err != nil {
		return err
	}
	changed, ok := policy.SetField(body, b.Field, key)
	if !ok && b.Required {
		return b.required("it goes into a JSON object, which the body is not")
	}
	if !ok {
		x.Key = policy.Key{}
		x.Note("idempotency", "no_key", "the body is not a JSON object")
		return nil
	}
	x.Body.Replace(changed)
	return nil
}

// json returns the body if it may be a JSON object, which needs all of it.
func (b *Block) json(x *policy.Exchange, r *http.Request) ([]byte, error) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return nil, nil
	}
	body, err := x.Body.Bytes()
	if errors.Is(err, policy.ErrTooLarge) {
		return nil, &policy.Denial{
			Code: policy.BodyTooLarge, Stage: "idempotency", Detail: "the key of this provider is a field of the body, and the body is longer than retry.buffer",
			Hint: "Send a shorter body, or raise retry.buffer of this provider.", Err: err,
		}
	}
	return body, err
}
