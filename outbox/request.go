package outbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/seal"
)

// Request is a call without any credential.
type Request struct {
	Method string `json:"method"`
	URL    []byte `json:"url"` // the provider's
	Header octets `json:"header,omitempty"`
	Body   []byte `json:"body,omitempty"`
	Tags   string `json:"tags,omitempty"`
	// Key is the idempotency key, which is part of the request too unless the
	// provider is not told of it.
	Key    string           `json:"key,omitempty"`
	Origin policy.KeyOrigin `json:"origin,omitempty"`
	Told   bool             `json:"told,omitempty"` // the provider knows a repeat by it
}

// Result is what came of a call, and how that is known.
type Result struct {
	At        time.Time           `json:"at"`
	Status    int                 `json:"status,omitempty"`
	Header    octets              `json:"header,omitempty"`
	Body      []byte              `json:"body,omitempty"`
	Truncated bool                `json:"truncated,omitempty"` // Body is the beginning only, or was not read
	Source    policy.AnswerSource `json:"source,omitempty"`
	Outcome   policy.Outcome      `json:"outcome"`
	Code      policy.Code         `json:"code,omitempty"`   // of a refusal or failure here
	Detail    string              `json:"detail,omitempty"` // and what it says
	Executed  policy.Executed     `json:"executed"`
	Attempts  int                 `json:"attempts"` // within this sending
	Waited    time.Duration       `json:"waited,omitempty"`
	Trail     []policy.Try        `json:"trail,omitempty"`
	Evidence  Evidence            `json:"evidence"` // of the last of them

	ProviderCode, ProviderMessage, ProviderRequestID, Hint string
}

// octets is a header in JSON, of which the values are bytes and no text (RFC 9110
// section 5.5): JSON alone would change what is not UTF-8.
type octets http.Header

// MarshalJSON implements [json.Marshaler].
func (o octets) MarshalJSON() ([]byte, error) {
	out := make(map[string][][]byte, len(o))
	for name, values := range o {
		for _, v := range values {
			out[name] = append(out[name], []byte(v))
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (o *octets) UnmarshalJSON(text []byte) error {
	var in map[string][][]byte
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	*o = make(octets, len(in))
	for name, values := range in {
		for _, v := range values {
			(*o)[name] = append((*o)[name], string(v))
		}
	}
	return nil
}

// Evidence is what is known of the last attempt.
type Evidence struct {
	Connected bool  `json:"connected,omitempty"`
	Written   int64 `json:"written,omitempty"`
	Complete  bool  `json:"complete,omitempty"`
	Refused   bool  `json:"refused,omitempty"`
	Answered  bool  `json:"answered,omitempty"`
}

// unkept are headers that are not the provider's: they concern a connection, or
// tie calls together inside the application's own systems.
var unkept = []string{
	"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Content-Length", "Host",
	"Traceparent", "Tracestate", "Baggage", "Http2-Settings",
}

// uncredentialed is what may be kept of a call as it is on its way to a plan.
func uncredentialed(x *policy.Exchange, r *http.Request, body []byte) *Request {
	h := http.Header{}
	for name, values := range r.Header {
		if len(values) > 0 && !slices.Contains(unkept, name) && !strings.HasPrefix(name, "Proxy-") && !strings.HasPrefix(name, "Postern-") {
			h[name] = slices.Clone(values)
		}
	}
	u := *r.URL
	body = slices.Clone(body)
	for _, slot := range x.Plan.Slots {
		switch slot.In {
		case policy.InHeader:
			policy.DropHeader(h, slot.Name)
		case policy.InQuery:
			u.RawQuery = policy.DropQuery(u.RawQuery, slot.Name)
		case policy.InPath:
			policy.SetPath(&u, policy.DropSegment(u.EscapedPath(), slot.Name))
		case policy.InBody:
			body = policy.DropMember(h.Get("Content-Type"), body, slot.Name)
		}
	}
	return &Request{Method: r.Method, URL: []byte(u.String()), Header: octets(h), Body: body, Tags: x.Tags, Key: x.Key.Value, Origin: x.Key.Origin, Told: x.Keyed()}
}

// request is the call for another sending.
func (k *Request) request() (*http.Request, error) {
	r, err := http.NewRequest(k.Method, string(k.URL), nil)
	if err != nil {
		return nil, err
	}
	if r.URL.Hostname() == policy.Nowhere { // the account says where it is then
		r.URL.Scheme, r.URL.Host, r.Host = "", "", ""
	}
	r.Header = http.Header(k.Header).Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if len(k.Body) > 0 {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(k.Body)), int64(len(k.Body))
	}
	if _, ok := r.Header["User-Agent"]; !ok {
		r.Header["User-Agent"] = nil // net/http would name itself
	}
	return r, nil
}

// digest is one of several texts, each behind its length.
func digest(parts ...string) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

// scopeOf is within what calls can be the same: provider, client and account, and
// whatever else the application says about on whose behalf it calls.
func scopeOf(x *policy.Exchange, r *http.Request, of string) []string {
	parts := []string{of, x.Plan.Provider, x.Client, x.Account}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if !policy.Behalf(name) || slices.ContainsFunc(x.Plan.Slots, func(s policy.Slot) bool { return s.In == policy.InHeader && s.Name == name }) {
			continue
		}
		for _, v := range r.Header[name] {
			if v == x.Key.Value {
				continue // the key is no scope
			}
			parts = append(parts, name, policy.Principal(v))
		}
	}
	for _, pair := range policy.BehalfQuery(r.URL.RawQuery, x.Plan.Slots) {
		if pair[1] != x.Key.Value {
			parts = append(parts, "?"+pair[0], pair[1])
		}
	}
	return append(parts, "")
}

// keyOf is the digest of a call's key in its scope, nil if it has none that
// anybody could repeat.
func keyOf(x *policy.Exchange, r *http.Request) []byte {
	if x.Key.Value == "" || x.Key.Origin == policy.KeyRandom {
		return nil
	}
	return digest(append(scopeOf(x, r, "key"), x.Key.Value)...)
}

// printOf is the digest of what a call asks for in its scope. A random key is left
// out: it may be in the query or in the body, and another one is there the next
// time. One that the policy makes is part of it: with another, it is another call.
func printOf(x *policy.Exchange, r *http.Request, body []byte) []byte {
	query, text, own := r.URL.RawQuery, string(body), ""
	switch k := x.Key.Value; {
	case x.Key.Origin == policy.KeyPolicy:
		own = k
	case k != "" && x.Key.Origin == policy.KeyRandom:
		query, text = strings.ReplaceAll(query, url.QueryEscape(k), ""), strings.ReplaceAll(text, k, "")
	}
	pairs := strings.Split(query, "&")
	slices.Sort(pairs)
	return digest(append(scopeOf(x, r, "print"), own, r.Method, r.URL.Host, r.URL.EscapedPath(), strings.Join(pairs, "&"), text)...)
}

// What is sealed is bound to the call and to whom it is for: what was moved to
// another row, or whose row was changed, cannot be opened.
func bound(c *Call, column string) []string {
	return []string{"outbox", c.ID, string(c.Kind), c.Provider, c.Client, c.Account, column}
}

func sealed(ring *seal.Ring, c *Call, column string, what any) ([]byte, error) {
	text, err := json.Marshal(what)
	if err != nil {
		return nil, fmt.Errorf("write the %s of a call: %w", column, err)
	}
	return ring.Seal(text, bound(c, column)...), nil
}

func opened(ring *seal.Ring, c *Call, column string, sealed []byte, into any) error {
	text, err := ring.Open(sealed, bound(c, column)...)
	if err != nil {
		return fmt.Errorf("open the %s of the call %s: %w", column, c.ID, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read the %s of the call %s: %w", column, c.ID, err)
	}
	return nil
}

// resultOf is what is known when a plan has been gone through.
func resultOf(x *policy.Exchange, resp *http.Response, err error, now time.Time) *Result {
	a := &x.Now
	res := &Result{
		At: now, Outcome: outcomeOf(x, resp, err), Source: x.Source, Executed: policy.No, Attempts: x.Attempts, Waited: x.Waited, Trail: slices.Clone(x.Trail),
		Evidence:     Evidence{a.Connected, a.Written, a.Complete, a.Refused, a.Answered},
		ProviderCode: x.ProviderCode, ProviderMessage: x.ProviderMessage, ProviderRequestID: x.ProviderRequestID, Hint: x.Hint,
	}
	if x.Attempts > 0 {
		res.Executed = a.Executed()
	}
	if x.Done {
		res.Executed = policy.Yes
	}
	if resp != nil {
		res.Status, res.Header = resp.StatusCode, octets(resp.Header.Clone())
		delete(res.Header, "Set-Cookie")
		return res
	}
	d := denialOf(err)
	if d.Executed != "" && res.Executed == policy.No {
		res.Executed = d.Executed
	}
	res.Source, res.Code, res.Detail = policy.FromPostern, d.Code, d.Detail
	if d.Hint != "" {
		res.Hint = d.Hint
	}
	return res
}

// laneOf names what calls of an account are in order with.
func laneOf(provider, account, by string) string {
	return hex.EncodeToString(digest("lane", provider, account, by))
}
