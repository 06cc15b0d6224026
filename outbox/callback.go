package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/queue"
	"github.com/postern-proxy/postern/signing"
)

// transport calls the application: no proxy from the environment, no redirects
// (only RoundTrip is used), no decompression.
func transport(dial func(context.Context, string, string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialContext: dial, DisableCompression: true, MaxIdleConnsPerHost: 16, IdleConnTimeout: 60 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
	}
}

// callbackWithin is how long the application may take for its whole answer.
const callbackWithin = 10 * time.Second

// A told call, as it is posted to the application.
type message struct {
	Type string    `json:"type"` // call.done, call.failed, call.unknown
	At   time.Time `json:"timestamp"`
	Data View      `json:"data"`
}

// opaque hides what kind of reader a body is, so that the transport can never
// send it a second time by itself.
type opaque struct{ io.Reader }

func (opaque) Close() error { return nil }

// callback tells the application once what came of a call.
func (o *Outbox) callback(ctx context.Context, c *Call) (Move, *sent) {
	a := o.asyncBlock(c.Provider)
	if a == nil {
		return Move{To: Failed, Attempt: c.Attempt, Reason: "the policy has no callback any more"}, nil
	}
	req, err := o.post(ctx, c, a)
	if errors.Is(err, ErrNotFound) {
		return Move{To: Failed, Attempt: c.Attempt, Reason: "the call is not kept any more"}, nil
	}
	s := &sent{began: time.Now(), result: &Result{At: time.Now(), Outcome: policy.Unreachable, Executed: policy.Maybe, Attempts: 1}}
	if err == nil {
		s.ask(o.client, req)
	} else {
		s.result.Code, s.result.Detail, s.result.Outcome = policy.NotReady, err.Error(), policy.Unreachable
	}
	s.took = time.Since(s.began)
	s.interrupted = s.result.Status == 0 && errors.Is(context.Cause(ctx), queue.ErrDrain)
	m := judge(c, s, a, time.Now(), o.opt.Random)
	m.Doubt = time.Time{} // it may be told twice
	return m, s
}

// post is the request of a callback.
func (o *Outbox) post(ctx context.Context, c *Call, a *Policy) (*http.Request, error) {
	rec, err := o.opt.Store.Show(ctx, c.Of)
	if err != nil {
		return nil, err
	}
	view, err := o.view(rec)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(message{Type: "call." + string(rec.State), At: rec.Changed.UTC(), Data: *view})
	if err != nil {
		return nil, fmt.Errorf("word the callback: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.Callback, nil)
	if err != nil {
		return nil, errors.New("the callback's URL is not usable")
	}
	req.Body, req.ContentLength = opaque{bytes.NewReader(body)}, int64(len(body))
	req.Header = http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {"Postern"}, "Postern-Id": {c.Of}, "Postern-Attempt": {strconv.Itoa(c.Attempt)},
	}
	if a.Sign.IsZero() {
		return req, nil
	}
	key, err := signing.Key(a.Sign)
	if err != nil {
		return nil, fmt.Errorf("sign the callback: %w", err)
	}
	signing.Sign(req.Header, key, c.ID, time.Now(), body)
	return req, nil
}

// ask posts the callback. What the application's answer means is what it means
// for webhooks.
func (s *sent) ask(client *http.Transport, req *http.Request) {
	ctx, cancel := context.WithTimeout(req.Context(), callbackWithin)
	defer cancel()
	resp, err := client.RoundTrip(req.WithContext(ctx))
	if err != nil {
		s.result.Detail = "no answer"
		if errors.Is(err, context.DeadlineExceeded) {
			s.result.Detail = fmt.Sprintf("no answer within %v", callbackWithin)
		}
		s.result.Code = policy.CodeUnreachable
		return
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	s.result.Status = resp.StatusCode
	s.after = askedFor(nil, resp.Header, time.Now())
	switch code := resp.StatusCode; {
	case code >= 200 && code <= 299:
		s.result.Outcome = policy.OK
	case code == 400, code == 410, code == 413, code == 415, code == 422:
		s.result.Outcome = policy.Validation
	case code == 429:
		s.result.Outcome = policy.RateLimited
	default:
		s.result.Outcome = policy.ServerError
	}
}
