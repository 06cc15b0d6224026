package look

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// Egress is the way to call a provider under its policy, on behalf of an account.
// Each call is an exchange of its own, and its answer bears Postern's headers.
type Egress func(provider, account string) func(*http.Request) (*http.Response, error)

// A Request is what is asked of the provider for the sake of a call.
type Request struct {
	Method string
	Target string      // path and query, percent-encoded
	Header http.Header // about Body
	Body   []byte      // nil for none
}

// An Answer is a whole answer to it. It answers the names of the scope
// "response": response.* is this answer, request.* the call for whose sake it
// was asked.
type Answer struct {
	Status  int
	Header  http.Header // without Postern's own
	Body    []byte
	ID      string // correlation id of the exchange
	Source  policy.AnswerSource
	Outcome policy.Outcome

	x policy.Exchange // what expressions read
}

// Lookup implements [block.Source].
func (a *Answer) Lookup(ref *block.Ref) block.Value { return a.x.Lookup(ref) }

// readable reports whether expressions can read the body: all of it, not just
// names that come out null.
func (a *Answer) readable() bool {
	body := a.x.Answer()
	return len(body) > 0 && (strings.Contains(a.Header.Get("Content-Type"), "x-www-form-urlencoded") || block.ValidJSON(body))
}

// Send sends one request by way of the provider's policy, and reads its answer,
// which has up to [policy.PeekLimit] bytes. It ends with the call, and counts as
// waiting.
func (e Egress) Send(ctx context.Context, x *policy.Exchange, provider string, q Request) (*Answer, error) {
	start := time.Now()
	defer func() { x.Waited += time.Since(start) }()
	ctx, cancel := apart(ctx, x.Total)
	defer cancel()
	r, err := request(ctx, x, q)
	if err != nil {
		return nil, err
	}
	resp, err := e(provider, x.Account)(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, policy.PeekLimit+1))
	switch {
	case err != nil:
		err = fmt.Errorf("read the answer: %w", err)
	case len(body) > policy.PeekLimit:
		err = fmt.Errorf("read the answer: it is longer than %d bytes", policy.PeekLimit)
	}
	return answer(x, resp, body), err
}

func answer(x *policy.Exchange, resp *http.Response, body []byte) *Answer {
	h := resp.Header
	a := &Answer{
		Status: resp.StatusCode, Header: h, Body: body, ID: h.Get("Postern-Id"),
		Source: policy.AnswerSource(h.Get("Postern-Source")), Outcome: policy.Outcome(h.Get("Postern-Outcome")),
	}
	for _, name := range []string{"Postern-Id", "Postern-Source", "Postern-Outcome", "Postern-Attempts", "Postern-Unretried"} {
		h.Del(name)
	}
	a.x = policy.Exchange{Request: x.Request, Body: x.Body, Account: x.Account, Client: x.Client}
	a.x.Response = &http.Response{StatusCode: resp.StatusCode, Header: h, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}
	return a
}

// apart returns a context that ends with ctx, and at the end of the call, and
// carries nothing of the call, such as whom to tell of informational responses.
func apart(ctx context.Context, until time.Time) (context.Context, context.CancelFunc) {
	out, end := context.WithCancelCause(context.Background())
	stop := context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })
	cancel := func() { stop(); end(nil) }
	if until.IsZero() {
		return out, cancel
	}
	out, late := context.WithDeadline(out, until)
	return out, func() { late(); cancel() }
}

// about are headers that are about the application's request and its answer
// alone, and none of another one's, such as how often an SDK has repeated it.
var about = []string{
	"Accept-Encoding", "Amz-Sdk-Invocation-Id", "Amz-Sdk-Request", "X-Stainless-Retry-Count", "Connection", "Content-Encoding", "Content-Length", "Content-Md5", "Content-Type", "Digest", "Content-Digest", "Expect",
	"If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Prefer", "Range", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// request is q with the headers of the call that it is for, without those that
// are about its body and without its idempotency key. It goes to the same host.
func request(ctx context.Context, x *policy.Exchange, q Request) (*http.Request, error) {
	u, err := url.Parse(q.Target)
	if err != nil {
		return nil, fmt.Errorf("make the URL: %w", err)
	}
	if at := x.Request.URL; at.Hostname() != policy.Nowhere {
		u.Scheme, u.Host = at.Scheme, at.Host
	}
	r, err := http.NewRequestWithContext(ctx, q.Method, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	for name, values := range x.Request.Header {
		if !slices.Contains(about, http.CanonicalHeaderKey(name)) && (x.Key.Value == "" || !slices.Contains(values, x.Key.Value)) {
			r.Header[name] = slices.Clone(values)
		}
	}
	if q.Body != nil {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(q.Body)), int64(len(q.Body))
		maps.Copy(r.Header, q.Header)
	}
	return r, nil
}
