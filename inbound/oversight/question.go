package oversight

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
)

// answerLimit is how long an answer may be, answerWithin how long it may take, the
// waits and retries of the policy included.
const (
	answerLimit  = 32 << 20
	answerWithin = 2 * time.Minute
)

// address is where a question goes.
type address struct {
	Method string      `json:"method"`
	Host   string      `json:"host,omitempty"`
	Target string      `json:"target"` // path and query
	Header http.Header `json:"header,omitempty"`
	JSON   []byte      `json:"json,omitempty"`
}

// key tells a question from another.
func (to *address) key() string {
	text, _ := json.Marshal(to) // of strings
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// answer is what a provider said. It answers the names of expressions about it.
type answer struct {
	status int
	header http.Header
	body   []byte
	valid  bool // body is JSON
}

// failure is an answer that is none of what was asked for.
type failure struct {
	status  int
	outcome string
}

func (f *failure) Error() string {
	return fmt.Sprintf("it was answered %d (%s)", f.status, f.outcome)
}

// gone reports whether err says that what is asked for is not there.
func gone(err error) bool {
	var f *failure
	return errors.As(err, &f) && (f.status == http.StatusNotFound || f.status == http.StatusGone)
}

// refused reports whether err says that the question is wrong, so that another try
// of the same would be answered no better.
func refused(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.status >= 400 && f.status < 500 && f.status != 401 && f.status != 403 && f.status != 408 && f.status != 429
}

// ask asks a provider. What is no success of the provider itself is an error; a
// [failure] comes with the answer.
func (r *Runner) ask(ctx context.Context, provider, account string, to *address) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	req, err := to.request(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := r.opt.Egress(provider, account)(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	if err == nil && len(body) > answerLimit {
		err = fmt.Errorf("it is longer than %d bytes", answerLimit)
	}
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if source := resp.Header.Get("Postern-Source"); source != "" && source != "provider" {
		return nil, fmt.Errorf("it was not answered by the provider, but from what is kept (%s)", source)
	}
	a := &answer{status: resp.StatusCode, header: resp.Header, body: body, valid: block.ValidJSON(body)}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return a, &failure{resp.StatusCode, resp.Header.Get("Postern-Outcome")}
	}
	return a, nil
}

func (to *address) request(ctx context.Context) (*http.Request, error) {
	target := to.Target
	if to.Host != "" {
		target = "https://" + to.Host + target
	}
	var body io.Reader
	if to.JSON != nil {
		body = bytes.NewReader(to.JSON)
	}
	req, err := http.NewRequestWithContext(ctx, to.Method, target, body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	for name, values := range to.Header {
		req.Header[name] = values
	}
	if to.JSON != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	return req, nil
}

// Lookup reads a name below response.
func (a *answer) lookup(ref *block.Ref) block.Value {
	if a == nil {
		return block.Value{}
	}
	switch ref.Name {
	case "response.status":
		return block.Value{Kind: block.Number, Str: fmt.Sprint(a.status)}
	case "response.header":
		if ref.Key == "" {
			return block.ObjectValue(a.header)
		}
		if v := a.header.Values(ref.Key); len(v) > 0 {
			return text(strings.Join(v, ", "))
		}
	case "response.body":
		if a.valid {
			return block.JSONField(a.body, ref.Path)
		}
	}
	return block.Value{}
}

func text(s string) block.Value { return block.Value{Kind: block.String, Str: s} }

// names answer what expressions of reconcile and subscription name.
type names struct {
	account, since, cursor, until string
	params                        map[string]string
	response                      *answer
	last, item                    []byte // JSON, nil for none
}

// Lookup implements [block.Source].
func (n *names) Lookup(ref *block.Ref) block.Value {
	orNull := func(s string) block.Value {
		if s == "" {
			return block.Value{}
		}
		return text(s)
	}
	switch ref.Name {
	case "account":
		return orNull(n.account)
	case "since":
		return orNull(n.since)
	case "cursor":
		return orNull(n.cursor)
	case "until":
		return orNull(n.until)
	case "params":
		return orNull(n.params[ref.Key])
	case "last":
		return field(n.last, ref.Path)
	case "item":
		return field(n.item, ref.Path)
	}
	return n.response.lookup(ref)
}

// field reads a value of a JSON text that was valid as a part of a whole.
func field(valid []byte, path string) block.Value {
	if valid == nil {
		return block.Value{}
	}
	return block.JSONField(valid, path)
}

// headers evaluates the headers of a question or of an event; null leaves one out.
func headers(all map[string]*block.Expr, n *names) http.Header {
	h := http.Header{}
	for name, x := range all {
		if v, ok := x.String(n); ok {
			h.Set(name, v)
		}
	}
	return h
}

// target is the path and query that x yields: as written, or of a whole URL, as
// providers give them for the next page. Its host does not matter: it is asked
// where the page before was.
func target(attr string, x *block.Expr, n *names) (string, error) {
	v, err := x.Eval(n)
	if err != nil {
		return "", fmt.Errorf("%s: %w", attr, err)
	}
	s, ok := v.Text()
	if !ok {
		return "", nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Opaque != "" || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//"):
		return "", fmt.Errorf("%s yields %q, which is neither a path nor a URL", attr, clip(s))
	case path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/") && u.Path != "/":
		return "", fmt.Errorf("%s yields %q, whose path can be read as another", attr, clip(s))
	}
	return u.RequestURI(), nil
}

func clip(s string) string { return s[:min(len(s), 200)] }

// first is where the first page is.
func first(b *inbound.Reconcile, n *names) (*address, error) {
	to, err := target("list", b.List, n)
	if err == nil && to == "" {
		err = errors.New("list has no value")
	}
	if err != nil {
		return nil, err
	}
	return located(b, n, to)
}

// located completes the address of a page.
func located(b *inbound.Reconcile, n *names, to string) (*address, error) {
	a := &address{Method: b.Method, Target: to, Header: headers(b.Header, n)}
	var err error
	if a.Host, err = host(b.Host, n); err != nil {
		return nil, err
	}
	if b.JSON != nil {
		a.JSON, err = object("json", b.JSON, n)
	}
	return a, err
}

// host is where the provider has several.
func host(x *block.Expr, n *names) (string, error) {
	if x == nil {
		return "", nil
	}
	s, ok := x.String(n)
	if !ok || s == "" || strings.ContainsAny(s, "/?#@ \\") {
		return "", fmt.Errorf("host yields %q, which is none", clip(s))
	}
	return s, nil
}

// object is the JSON that x yields, without what is null in it.
func object(attr string, x *block.Expr, n *names) ([]byte, error) {
	v, err := x.Eval(n)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", attr, err)
	}
	var tree any
	d := json.NewDecoder(strings.NewReader(v.Str))
	d.UseNumber()
	if v.Kind != block.JSON || d.Decode(&tree) != nil {
		return nil, fmt.Errorf("%s yields no JSON object", attr)
	}
	out, err := json.Marshal(dense(tree))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", attr, err)
	}
	return out, nil
}

// dense leaves out the members of objects that are null.
func dense(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, m := range v {
			if m == nil {
				delete(v, name)
				continue
			}
			v[name] = dense(m)
		}
	case []any:
		for i := range v {
			v[i] = dense(v[i])
		}
	}
	return v
}
