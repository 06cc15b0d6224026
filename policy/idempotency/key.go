package idempotency

import (
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

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

// key decides on the call's key and puts it where the provider reads it. A call
// has none where only Postern would know it and the policy does not say it.
func (b *Block) key(r *http.Request) error {
	x := policy.From(r.Context())
	k := policy.Key{Origin: policy.KeyApp, Final: b.Final, Local: b.local()}
	given, err := b.given(x, r)
	if err != nil {
		return err
	}
	var quoted bool
	if k.Value, quoted = given, false; b.Header != "" {
		k.Value, quoted = bare(given)
	}
	if blank(k.Value) {
		k.Origin, k.Value = policy.KeyPolicy, ""
		if b.Key != nil {
			k.Value, _ = b.Key.String(x)
		}
	}
	switch {
	case !blank(k.Value):
	case b.Required:
		return b.required("neither the application nor the policy has one")
	case k.Local:
		x.Note("idempotency", "no_key", "the policy has none for this call")
		return nil
	default:
		k.Origin, k.Value = policy.KeyRandom, b.random()
	}
	if !b.takes(k.Value) {
		return b.unfit(k.Value)
	}
	x.Key = k
	x.Note("idempotency", "key", string(k.Origin))
	if k.Local || k.Origin == policy.KeyApp && quoted == b.Quoted {
		return nil
	}
	return b.put(x, r, k.Value)
}

// blank reports whether a provider would take a key for none.
func blank(key string) bool { return strings.TrimSpace(key) == "" }

func (b *Block) required(why string) error {
	hint := "Send a key of your own in " + b.place() + ", the same for every repeat of this operation."
	if b.local() {
		hint = "Send what " + b.Key.Source() + " is made of, the same for every repeat of this operation."
	}
	return &policy.Denial{Code: policy.IdempotencyRequired, Stage: "idempotency", Detail: "this call needs an idempotency key, and " + why, Hint: hint}
}

// bare is the key that a header's value names: of a String of RFC 9651 §3.3.3 what
// stands between its quotes (draft-ietf-httpapi-idempotency-key-header-07 §2.1),
// otherwise the value itself.
func bare(value string) (key string, quoted bool) {
	inner, ok := strings.CutPrefix(value, `"`)
	if !ok {
		return value, false
	}
	if inner, ok = strings.CutSuffix(inner, `"`); !ok {
		return value, false
	}
	var out strings.Builder
	for i := 0; i < len(inner); i++ {
		c := inner[i]
		if c == '\\' {
			if i++; i == len(inner) || inner[i] != '"' && inner[i] != '\\' {
				return value, false
			}
			c = inner[i]
		} else if c == '"' || c < ' ' || c > '~' {
			return value, false
		}
		out.WriteByte(c)
	}
	return out.String(), true
}

// inQuotes is a key as a String of RFC 9651.
func inQuotes(key string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
}

// given is the application's own key. Which of several a provider reads cannot
// be known.
func (b *Block) given(x *policy.Exchange, r *http.Request) (string, error) {
	var keys []string
	switch {
	case b.local():
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
		Hint: "Send " + b.place() + " once.",
	}
}

// put adds a key that the application did not send, or sent in another form.
func (b *Block) put(x *policy.Exchange, r *http.Request, key string) error {
	switch {
	case b.Header != "":
		if b.Quoted {
			key = inQuotes(key)
		}
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
