package upsert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/postern-proxy/postern/backoff"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/look"
)

// note writes into the journal what a look came to.
func (u *upsert) note(res look.Result) look.Result {
	u.x.Note("upsert", "look", res.Words())
	return res
}

// update sends the update of what was found, and gives its answer. It sets what
// the call says: sent twice, it has the effect of one, so that it is sent again
// when nobody knows what became of it.
func (u *upsert) update(found *look.Answer) (*http.Response, error) {
	q, err := u.request(found)
	if err != nil {
		return nil, err
	}
	u.x.Note("upsert", "update", q.Method)
	wait := u.Wait.Duration
	for n := 1; ; n++ {
		a, err := u.send(q)
		if !unknown(a, err) || n == u.Tries || !u.x.Total.IsZero() && time.Until(u.x.Total) <= wait {
			return u.result(a, err)
		}
		if err := u.x.Sleep(u.ctx, wait); err != nil {
			return nil, err
		}
		wait *= 2
	}
}

// request is the update of what was found.
func (u *upsert) request(found *look.Answer) (q look.Request, err error) {
	q.Method = u.Update.Method
	target, ok := u.Update.Path.String(found)
	if path, _, _ := strings.Cut(target, "?"); !ok || policy.Ambiguous(path) {
		return q, u.fail("the object is there, and `path` of the update block has no value for it that is a path")
	}
	q.Target, q.Header = target, http.Header{}
	if u.Update.Body != nil {
		v, err := u.Update.Body.Eval(found)
		text, ok := v.Text()
		if err != nil || !ok {
			return q, u.fail("the object is there, and `body` of the update block has no value for it")
		}
		q.Body = []byte(text)
		if kind := u.x.Request.Header.Get("Content-Type"); kind != "" && v.Kind == block.String && !block.ValidJSON(q.Body) {
			q.Header.Set("Content-Type", kind)
		} else {
			q.Header.Set("Content-Type", "application/json")
		}
		return q, nil
	}
	for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Md5", "Content-Digest", "Digest"} {
		if v := u.x.Request.Header[name]; v != nil {
			q.Header[name] = v
		}
	}
	if q.Body, err = u.x.Body.Bytes(); errors.Is(err, policy.ErrTooLarge) {
		err = &policy.Denial{
			Code: policy.BodyTooLarge, Stage: "upsert", Detail: "the object is there already, and the body, which is longer than retry.buffer, would be sent again as its update",
			Hint: "Send a shorter body, or raise retry.buffer of this provider.", Executed: u.x.Now.Executed(),
		}
	}
	return q, err
}

// send makes one attempt. It counts as one of the call's.
func (u *upsert) send(q look.Request) (*look.Answer, error) {
	x := u.x
	earlier := x.Now.Executed() != policy.No
	x.Began()
	x.Now = policy.Attempt{Start: time.Now(), Earlier: earlier}
	x.Unretried, x.Hint, x.Response, x.ProviderCode, x.ProviderMessage, x.ProviderRequestID = "", "", nil, "", "", ""
	a, err := u.look.Egress.Send(u.ctx, x, u.look.Provider, q)
	var d *policy.Denial
	x.Now.Err = err
	switch {
	case a != nil:
		x.Now.Connected, x.Now.Written, x.Now.Complete, x.Now.Answered = true, int64(len(q.Body)), true, true
		x.Ended(a.Status, a.Outcome)
	case errors.As(err, &d):
		x.Now.Connected, x.Now.Written = d.Executed != policy.No, 1
		x.Ended(0, d.Code.Outcome())
	default:
		x.Now.Connected, x.Now.Written = true, 1
		x.Ended(0, policy.Timeout)
	}
	return a, err
}

// unknown reports whether nobody knows what became of an update.
func unknown(a *look.Answer, err error) bool {
	var d *policy.Denial
	switch {
	case errors.As(err, &d):
		return d.Executed == policy.Maybe
	case err != nil:
		return !errors.Is(err, context.Canceled)
	}
	return a.Outcome == policy.ServerError || a.Outcome == policy.Timeout || a.Outcome == policy.Unreachable
}

// result gives the answer to the update as that of the call.
func (u *upsert) result(a *look.Answer, err error) (*http.Response, error) {
	x := u.x
	var d *policy.Denial
	switch {
	case errors.As(err, &d):
		failure := *d
		if failure.Executed == policy.No {
			failure.Executed = x.Now.Executed() // the create may have been
		}
		return nil, &failure
	case err != nil && u.ctx.Err() != nil:
		return nil, context.Cause(u.ctx)
	case err != nil && a != nil:
		return nil, &policy.Denial{Code: policy.CodeUnreachable, Stage: "upsert", Detail: fmt.Sprintf("the provider answered the update with %d, and the answer broke off", a.Status), Executed: x.Now.Executed(), Hint: again, Err: err}
	case err != nil:
		return nil, &policy.Denial{Code: policy.UpstreamTimeout, Stage: "upsert", Detail: "the update took longer than the call may", Executed: policy.Maybe, Hint: again, Err: err}
	}
	if a.Source != policy.FromProvider {
		x.Source = a.Source
	}
	a.Header.Set("Content-Length", strconv.Itoa(len(a.Body)))
	if a.Status == http.StatusNoContent {
		a.Header.Del("Content-Length") // RFC 9110 §8.6
	}
	x.Response = &http.Response{
		Status: strconv.Itoa(a.Status) + " " + http.StatusText(a.Status), StatusCode: a.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.Body)), ContentLength: int64(len(a.Body)), Request: x.Request,
	}
	return x.Response, nil
}

const again = "Make the call again: it looks first, and updates what is there."

// refuse says why it is not known whether to create or to update.
func (u *upsert) refuse(res *look.Result) error {
	if u.ctx.Err() != nil {
		return context.Cause(u.ctx)
	}
	executed := policy.No
	if u.x.Unsure {
		executed = policy.Maybe // not now, but by an earlier call with the same key
	}
	if res.Unasked {
		return &policy.Denial{Code: policy.BadRequest, Stage: "upsert", Detail: res.Why, Executed: executed, Hint: "Send what `lookup` of this route's upsert block reads: " + u.Lookup.Source()}
	}
	d := policy.Denial{Code: policy.CodeUnreachable, Stage: "upsert", Err: res.Err}
	var before *policy.Denial
	if errors.As(res.Err, &before) {
		d.Code, d.Hint, d.RetryAfter = before.Code, before.Hint, before.RetryAfter
	}
	d.Executed, d.Detail = executed, "it cannot be told whether to create or to update: "+res.Why
	if a := res.Answer; a != nil {
		d.RetryAfter, _ = backoff.RetryAfter(a.Header, time.Now(), 24*time.Hour)
	}
	return &d
}

// given is the failure of a create after which nothing was found.
func (u *upsert) given(resp *http.Response, err error, res *look.Result) (*http.Response, error) {
	hint := "No look-up found the object, but it may still show up. " + again
	if res.Finding == look.Unclear {
		hint = "Whether the object is there now cannot be told: " + res.Why + ". " + again
	}
	var d *policy.Denial
	if !errors.As(err, &d) {
		u.x.Hint = hint
		return resp, err
	}
	failure := *d
	failure.Hint = hint
	return resp, &failure
}

// fail says that the policy cannot make the update.
func (u *upsert) fail(why string) error {
	return &policy.Denial{Code: policy.CodeUnreachable, Stage: "upsert", Detail: why, Executed: u.x.Now.Executed(), Hint: "Correct the upsert block of this route."}
}
