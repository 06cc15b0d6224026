package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/postern-proxy/postern/policy"
)

// errNotTaken says that the connection went away before it was used.
var errNotTaken = errors.New("the connection takes no more requests")

// exchange2 is one request on an HTTP/2 connection.
type exchange2 struct {
	x      *policy.Exchange
	ctx    context.Context // the call's
	stream context.Context // ends with the stream
	cancel context.CancelCauseFunc
	traced traced
	trace  httptrace.ClientTrace
	c      *h2conn

	pace    pace
	timer   *time.Timer
	reading atomic.Bool // the response's body

	body           io.ReadCloser // of the response
	up             *pump         // nil if the request body is in memory
	headers        atomic.Bool   // have been written
	done           atomic.Bool   // all of the request has
	sent           atomic.Int64  // bytes of the request body
	telling        sync.Mutex    // held while an informational response is passed on
	informed, size int
	told           bool // nothing is passed on any more
}

// Why a stream is cut off although the application is still there.
var (
	errDeadline = fmt.Errorf("the deadline passed: %w", os.ErrDeadlineExceeded)
	errIdle     = fmt.Errorf("nothing moved for as long as the policy's idle limit: %w", os.ErrDeadlineExceeded)
)

func (c *h2conn) roundTrip(ctx context.Context, x *policy.Exchange, o *outgoing) (*http.Response, error) {
	e := &exchange2{x: x, ctx: ctx, c: c}
	e.stream, e.cancel = context.WithCancelCause(ctx)
	e.pace.on = (*alarm)(e)
	e.pace.begin(x.Until(), x.Idle, o.src != nil)
	resp, err := c.RoundTrip(e.request(o))
	e.telling.Lock()
	e.told, x.Now.Begun = true, e.informed > 0
	e.telling.Unlock()
	x.Now.Complete = e.done.Load()
	if e.headers.Load() || err != nil && e.stream.Err() != nil {
		x.Now.Written += frameHeader // also if it may be on its way while we leave
	}
	x.Now.Written += e.sent.Load()
	if err == nil && (resp.StatusCode < 200 || resp.StatusCode > 599) {
		err = errStatus
	}
	if err == nil {
		x.Now.Begun, x.Now.Answered, x.Now.Status = true, true, resp.StatusCode
		c.answered.Store(true)
		if resp.StatusCode == http.StatusMisdirectedRequest {
			c.retire() // another connection may serve (RFC 9110 §15.5.20)
		}
		e.pace.enter(receiving, e.up == nil || e.done.Load())
		e.body, resp.Body, resp.Request = resp.Body, (*body2)(e), o.req
		return resp, nil
	}
	cause := e.blame(err)
	e.end()
	if denial, ok := c.key.refusal(c.failure.err()); ok && !c.answered.Load() {
		x.Now.Refused = true
		return nil, fault(ctx, OpTLS, c.key.addr(), denial)
	}
	if x.Now.Written == 0 && err.Error() == "http2: client conn not usable" {
		return nil, errNotTaken
	}
	x.Now.Refused = refused(err)
	return nil, fault(ctx, e.op(), c.key.addr(), cause)
}

const frameHeader = 9

// request is o as golang.org/x/net/http2 wants it.
func (e *exchange2) request(o *outgoing) *http.Request {
	e.trace = httptrace.ClientTrace{
		WroteHeaders:   func() { e.headers.Store(true) },
		WroteRequest:   func(i httptrace.WroteRequestInfo) { e.done.Store(i.Err == nil) },
		Got1xxResponse: e.inform,
	}
	e.traced = traced{e.stream, httptrace.WithClientTrace(context.Background(), &e.trace)}
	r := o.req.WithContext(&e.traced)
	r.Host, r.ContentLength, r.GetBody, r.Body, r.Trailer = o.host, o.length, nil, nil, nil
	if r.URL.Scheme != e.c.key.scheme {
		u := *r.URL
		u.Scheme = e.c.key.scheme
		r.URL = &u
	}
	r.Header = headerFor2(r.Header)
	switch {
	case o.src != nil:
		e.up = newPump(e, o)
		r.Body, r.Trailer = e.up, e.up.trailer
	case len(o.body) > 0:
		r.Body = &counted{bytes.NewReader(bytes.Clone(o.body)), e}
	}
	return r
}

// inform passes on an informational response, within limits and not after
// roundTrip has returned: it runs on the goroutine that reads the connection.
func (e *exchange2) inform(code int, h textproto.MIMEHeader) error {
	e.telling.Lock()
	defer e.telling.Unlock()
	if e.told {
		return context.Canceled
	}
	e.informed++
	for name, values := range h {
		for _, v := range values {
			e.size += len(name) + len(v) + 32
		}
	}
	switch {
	case code == http.StatusSwitchingProtocols:
		return errUpgrade
	case e.informed > mostInformed:
		return errInformed
	case e.size > headLimit:
		return errHeadTooLarge
	}
	if t := httptrace.ContextClientTrace(e.ctx); t != nil && t.Got1xxResponse != nil {
		return t.Got1xxResponse(code, h)
	}
	return nil
}

// traced is a context with our trace instead of the call's.
type traced struct {
	context.Context
	trace context.Context
}

func (t *traced) Value(key any) any {
	if v := t.trace.Value(key); v != nil {
		return v
	}
	return t.Context.Value(key)
}

// headerFor2 leaves out what HTTP/2 says in other ways (RFC 9113 §8.2.2), and
// keeps golang.org/x/net/http2 from adding a User-Agent. It returns h itself if
// there is nothing to do.
func headerFor2(h http.Header) http.Header {
	_, change := h["User-Agent"]
	change = !change
	for name := range h {
		change = change || ours(name)
	}
	if !change {
		return h
	}
	out := make(http.Header, len(h)+1)
	for name, values := range h {
		if !ours(name) {
			out[name] = values
		}
	}
	if _, there := out["User-Agent"]; !there {
		out["User-Agent"] = nil
	}
	if httpguts.HeaderValuesContainsToken(h["Te"], "trailers") {
		out["Te"] = []string{"trailers"}
	}
	return out
}

// alarm is the clock of a stream: it cuts the stream off.
type alarm exchange2

// SetDeadline is for pace.
func (a *alarm) SetDeadline(end time.Time) error {
	switch wait := time.Until(end); {
	case a.timer == nil && !end.IsZero():
		a.timer = time.AfterFunc(wait, a.ring)
	case !end.IsZero():
		a.timer.Reset(wait)
	case a.timer != nil:
		a.timer.Stop()
	}
	return nil
}

func (a *alarm) ring() {
	if !a.pace.late(a.reading.Load()) {
		return
	}
	if a.pace.idles() {
		a.cancel(errIdle)
	} else {
		a.cancel(errDeadline)
	}
}

// end lets go of the stream.
func (e *exchange2) end() {
	e.pace.enter(released, false)
	e.cancel(nil)
}

// blame finds the cause behind a cancelled stream.
func (e *exchange2) blame(err error) error {
	cause := context.Cause(e.stream)
	switch {
	case cause == nil || !errors.Is(err, context.Canceled):
		return err
	case cause == errIdle && e.up != nil && e.up.reading.Load() && !e.reading.Load():
		return sourceError(errStalled)
	}
	return cause
}

// op is what was being done when no response came.
func (e *exchange2) op() Op {
	if !e.done.Load() {
		return OpWrite
	}
	return OpHeaders
}
