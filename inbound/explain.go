package inbound

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrNoWebhook says that no webhook is meant by a request that is to be explained.
var ErrNoWebhook = errors.New("no webhook has this path; name one")

// Step is one step of a verification. It tells nothing that is secret: no key, no
// signature, and no token.
type Step struct {
	Name string `json:"step"`
	Text string `json:"result"`
}

// Explanation is a verification step by step.
type Explanation struct {
	Webhook string
	Steps   []Step
	Verdict Verdict
	Hints   []string // what is probably wrong, and what to do
}

func (e *Explanation) step(name, format string, args ...any) {
	e.Steps = append(e.Steps, Step{name, fmt.Sprintf(format, args...)})
}

// Explain verifies a request as the inbox would, and says what it went by. uri is
// path and query as sent; webhook "" is the one that has the path. Nothing is
// stored and nobody is told.
func (s *Set) Explain(ctx context.Context, req *Request, uri, webhook string) (*Explanation, error) {
	path, query, _ := strings.Cut(uri, "?")
	hook := s.byPath[path]
	if webhook != "" {
		hook = s.byName[webhook]
	}
	if hook == nil {
		return nil, ErrNoWebhook
	}
	req.Path, req.Query, req.URL = path, query, s.config.publicURL(uri)
	e := &Explanation{Webhook: hook.Name}
	e.step("webhook", "%q at %s, verify %q", hook.Name, hook.Path, hook.Verify[0].Kind)
	if path != hook.Path && path != "" {
		e.step("path", "%s is not its path: the inbox would not have taken this request for it", path)
	}
	if hook.check.NeedsURL {
		e.step("url", "%s is what the signature has to cover, by public_url of the inbound block", req.URL)
	}
	e.step("body", "%d bytes, sha256 %x", len(req.Body), sha256.Sum256(req.Body))
	if int64(len(req.Body)) > int64(hook.MaxBody) {
		e.step("size", "larger than max_body, which is %d bytes: answered 413", hook.MaxBody)
	}
	for _, h := range hook.candidates(req, nil) {
		e.step("handshake", "it looks like %q, which is answered before anything is verified", h.Name)
	}
	e.keys(hook)
	e.headers(hook, req)
	e.verify(ctx, hook, req)
	return e, nil
}

// keys says which keys can be used, by fingerprint.
func (e *Explanation) keys(hook *Webhook) {
	if hook.check.Ready != nil {
		if err := hook.check.Ready(); err != nil {
			e.step("secrets", "cannot all be used: %v", err)
		}
	}
	if hook.check.Keys == nil {
		return
	}
	keys, _ := hook.check.Keys()
	var prints []string
	for _, k := range keys {
		prints = append(prints, Fingerprint(k))
		for _, api := range []string{"sk_", "rk_", "pk_"} {
			if bytes.HasPrefix(k, []byte(api)) {
				e.Hints = append(e.Hints, fmt.Sprintf("the secret with the fingerprint %s begins as an API key does (%s...): a webhook has a secret of its own", Fingerprint(k), api))
			}
		}
		if hook.Verify[0].Kind == "stripe" && !bytes.HasPrefix(k, []byte("whsec_")) {
			e.Hints = append(e.Hints, fmt.Sprintf("the secret with the fingerprint %s does not begin with whsec_, which is a part of every secret of Stripe's endpoints", Fingerprint(k)))
		}
	}
	if len(prints) > 0 {
		e.step("keys", "%s", strings.Join(prints, ", "))
	}
}

// headers says which of the headers that carry the signature are there.
func (e *Explanation) headers(hook *Webhook, req *Request) {
	for _, name := range hook.check.Headers {
		switch v := req.Header.Values(name); {
		case len(v) == 0:
			e.step("header", "%s is not there", name)
		case len(v) > 1:
			e.step("header", "%s is there %d times: which one counts would be anybody's guess", name, len(v))
		case v[0] == "":
			e.step("header", "%s is empty", name)
		default:
			e.step("header", "%s has %d characters", name, len(v[0]))
		}
	}
}

// verify runs the very verification, and words its verdict.
func (e *Explanation) verify(ctx context.Context, hook *Webhook, req *Request) {
	traced := *req
	traced.Trace = func(name, text string) { e.step(name, "%s", text) }
	v := hook.verify(ctx, &traced)
	e.Verdict = v
	if v.Timestamp != "" {
		e.step("timestamp", "%.64q", v.Timestamp)
	}
	if !v.Proof.Signed.IsZero() {
		skew, side := req.Received.Sub(v.Proof.Signed).Round(time.Millisecond), "before"
		if skew < 0 {
			side = "after"
		}
		e.step("skew", "signed %s, %s %s %s", v.Proof.Signed.UTC().Format(time.RFC3339), skew.Abs(), side, req.Received.UTC().Format(time.RFC3339))
	}
	switch {
	case v.Proof.Key != "":
		e.step("key", "%s has signed it", v.Proof.Key)
	case v.Result == BadSignature:
		e.step("key", "none has signed it")
	}
	text := v.Result.String()
	if v.Why != "" {
		text += ": " + v.Why
	}
	if v.Err != nil {
		text += ": " + v.Err.Error()
	}
	e.step("verdict", "%s", text)
	if v.Result == Accepted {
		for _, h := range hook.candidates(req, &v) {
			e.step("handshake", "it looks like %q: no event is stored then", h.Name)
		}
	}
	if v.Result == Accepted && hook.check.Handshake != nil {
		if _, ok := hook.check.Handshake(req); ok {
			e.step("handshake", "it is one, and is answered as such: no event is stored")
		}
	}
	e.hint(ctx, hook, req)
}

// hint says what is probably wrong.
func (e *Explanation) hint(ctx context.Context, hook *Webhook, req *Request) {
	switch e.Verdict.Result {
	case Stale:
		off := req.Received.Sub(e.Verdict.Proof.Signed)
		if off < 0 {
			e.Hints = append(e.Hints, fmt.Sprintf("the signer's clock is %s ahead of this one: if other senders' are too, it is this host's that is slow", -off.Round(time.Second)))
		} else {
			e.Hints = append(e.Hints, "the signature is right, and old: a saved request is judged as of its own time with --at; otherwise it is a replay, a queue on the way, or this host's clock is fast")
		}
	case Unsigned:
		e.Hints = append(e.Hints, "no signature came: the endpoint has no secret at the provider, or a proxy on the way drops the header")
		for name := range req.Header {
			if l := strings.ToLower(name); (strings.Contains(l, "signature") || strings.Contains(l, "hmac")) && !slices.ContainsFunc(hook.check.Headers, func(h string) bool { return strings.EqualFold(h, name) }) {
				e.Hints = append(e.Hints, name+" is there, which this scheme does not look at: is it another provider's, or an older scheme's?")
			}
		}
	case BadSignature:
		e.Hints = append(e.Hints, e.changed(ctx, hook, req)...)
	}
}

// variant is a request as it may have been before something changed it.
type variant struct {
	what string
	make func(r *Request) bool // false if it would be the same
}

var variants = []variant{
	{"without the newline at the end of its body, which an editor or a tool has added", func(r *Request) bool {
		b := bytes.TrimRight(r.Body, "\r\n")
		changed := len(b) != len(r.Body)
		r.Body = b
		return changed
	}},
	{"with a newline at the end of its body, which was cut off", func(r *Request) bool { r.Body = append(bytes.Clone(r.Body), '\n'); return true }},
	{"with LF for CRLF in its body", func(r *Request) bool {
		b := bytes.ReplaceAll(r.Body, []byte("\r\n"), []byte("\n"))
		changed := len(b) != len(r.Body)
		r.Body = b
		return changed
	}},
	{"with its JSON written without white space: somebody has printed it prettily", func(r *Request) bool {
		var out bytes.Buffer
		if json.Compact(&out, r.Body) != nil || out.Len() == len(r.Body) {
			return false
		}
		r.Body = out.Bytes()
		return true
	}},
	{"with & < and > in its JSON written as they are: a library has escaped them", func(r *Request) bool {
		b := r.Body
		for esc, c := range map[string]string{`\u0026`: "&", `\u003c`: "<", `\u003e`: ">"} {
			b = bytes.ReplaceAll(b, []byte(esc), []byte(c))
		}
		changed := len(b) != len(r.Body)
		r.Body = b
		return changed
	}},
	{"with https for http in its URL: public_url names the wrong one", swapped("http://", "https://")},
	{"with http for https in its URL: public_url names the wrong one", swapped("https://", "http://")},
	{"with a slash at the end of its URL, which a proxy has cut off", func(r *Request) bool { r.URL += "/"; return !strings.HasSuffix(r.URL, "//") }},
	{"without the query in its URL, which something on the way has added", func(r *Request) bool {
		url, _, had := strings.Cut(r.URL, "?")
		r.URL = url
		return had
	}},
}

func swapped(from, to string) func(*Request) bool {
	return func(r *Request) bool {
		rest, had := strings.CutPrefix(r.URL, from)
		r.URL = to + rest
		return had
	}
}

// changed tries what is usually changed on the way, and otherwise names the usual
// causes.
func (e *Explanation) changed(ctx context.Context, hook *Webhook, req *Request) (hints []string) {
	for _, v := range variants {
		other := *req
		other.kind = bodyKind{}
		if !v.make(&other) || !hook.check.NeedsURL && other.URL != req.URL {
			continue
		}
		if got := hook.verify(ctx, &other); got.Result == Accepted || got.Result == Stale {
			return []string{"the signature is right for this request " + v.what}
		}
	}
	hints = []string{
		"the secret may be that of another endpoint, or of the test mode: each has its own",
		"the body may have been read and written anew on the way: a signature is of the very bytes, so verify before anything parses them",
	}
	if hook.check.NeedsURL {
		hints = append(hints, "the URL that is signed is the one that the provider calls: public_url has to name it as it is seen from outside, a port and a slash at its end included")
	}
	return hints
}
