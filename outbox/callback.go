package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/postern-proxy/postern/application"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/queue"
	"github.com/postern-proxy/postern/signing"
)

// callbackWithin is how long the application may take for its whole answer.
const callbackWithin = 10 * time.Second

// A told call, as it is posted to the application.
type message struct {
	Type string    `json:"type"` // call.done, call.failed, call.unknown
	At   time.Time `json:"timestamp"`
	Data View      `json:"data"`
}

// callback tells the application once what came of a call.
func (o *Outbox) callback(ctx context.Context, c *Call) (Move, *sent) {
	a := o.asyncBlock(c.Provider)
	if a == nil {
		return Move{To: Failed, Attempt: c.Attempt, Reason: "the policy has no callback any more"}, nil
	}
	call, err := o.post(ctx, c, a)
	if errors.Is(err, ErrNotFound) {
		return Move{To: Failed, Attempt: c.Attempt, Reason: "the call is not kept any more"}, nil
	}
	s := &sent{began: time.Now(), result: &Result{At: time.Now(), Outcome: policy.Unreachable, Executed: policy.Maybe, Attempts: 1}}
	if err == nil {
		s.ask(ctx, o.client, call)
	} else {
		s.result.Code, s.result.Detail, s.result.Outcome = policy.NotReady, err.Error(), policy.Unreachable
	}
	s.took = time.Since(s.began)
	s.interrupted = s.result.Status == 0 && errors.Is(context.Cause(ctx), queue.ErrDrain)
	m := judge(c, s, a, time.Now(), o.opt.Random)
	m.Doubt = time.Time{} // it may be told twice
	return m, s
}

// post is the call of a callback.
func (o *Outbox) post(ctx context.Context, c *Call, a *Policy) (*application.Call, error) {
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
	header := http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {"Postern"}, "Postern-Id": {c.Of}, "Postern-Attempt": {strconv.Itoa(c.Attempt)},
	}
	keys, err := signing.Keys(a.Sign)
	if err != nil {
		return nil, fmt.Errorf("sign the callback: %w", err)
	}
	signing.Sign(header, keys, c.ID, time.Now(), body)
	return &application.Call{To: a.callback, TLS: a.TLS, Header: header, Body: body, Timeout: callbackWithin}, nil
}

// ask posts the callback. What the application's answer means is what it means
// for webhooks.
func (s *sent) ask(ctx context.Context, client *application.Client, call *application.Call) {
	answer := client.Post(ctx, call)
	s.app, s.unsent = true, answer.Err != nil && !answer.Sent
	if answer.Status == 0 {
		s.result.Detail = "no answer"
		if answer.Late {
			s.result.Detail = fmt.Sprintf("no answer within %v", callbackWithin)
		}
		s.result.Code = policy.CodeUnreachable
		return
	}
	s.result.Status = answer.Status
	s.after = askedFor(nil, answer.Header, time.Now())
	switch code := answer.Status; {
	case code >= 200 && code <= 299:
		s.result.Outcome = policy.OK
	case application.Refuses(code):
		s.result.Outcome = policy.Validation
	case code == 429:
		s.result.Outcome = policy.RateLimited
	default:
		s.result.Outcome = policy.ServerError
	}
}
