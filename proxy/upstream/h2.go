package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"

	"github.com/postern-proxy/postern/policy"
)

// h2conn is an HTTP/2 connection. Many requests at a time use it.
type h2conn struct {
	*http2.ClientConn
	t      *Transport
	key    key
	round  int
	served atomic.Int64
}

// newHTTP2 is the protocol without its pool and its retries: connections are
// made with NewClientConn, and used one by one.
func newHTTP2(opt Options) *http2.Transport {
	t1 := &http.Transport{
		DisableCompression:     true,
		MaxResponseHeaderBytes: headLimit,
		IdleConnTimeout:        opt.IdleTimeout,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream: 1 << 20, // what a slow application costs
			SendPingTimeout:           30 * time.Second,
			PingTimeout:               10 * time.Second,
		},
	}
	t2, err := http2.ConfigureTransports(t1)
	if err != nil {
		panic(err) // only if it had been configured before
	}
	return t2
}

// reserve takes a stream on a connection that has one left. Called with the
// pool's mutex held.
func (e *entry) reserve() *h2conn {
	for i, c := range e.multi {
		if c.ReserveNewRequest() {
			if i > 0 {
				e.prune()
			}
			return c
		}
	}
	e.prune()
	return nil
}

// prune forgets connections that take no more requests. They end by themselves.
func (e *entry) prune() {
	keep := e.multi[:0]
	for _, c := range e.multi {
		if s := c.State(); !s.Closed && !s.Closing {
			keep = append(keep, c)
		}
	}
	clear(e.multi[len(keep):])
	e.multi = keep
}

// retire closes the connection once nobody uses it.
func (c *h2conn) retire() {
	c.SetDoNotReuse()
	if s := c.State(); s.StreamsActive+s.StreamsReserved == 0 {
		c.Close()
	}
}

// errNotTaken says that the connection went away before it was used.
var errNotTaken = errors.New("the connection takes no more requests")

// exchange2 is one request on an HTTP/2 connection.
type exchange2 struct {
	ctx     context.Context // the call's
	cancel  context.CancelCauseFunc
	c       *h2conn
	up      *pump        // nil if the body is in memory
	timer   *time.Timer  // until the response headers; nil is no deadline
	out, in *idler       // while the request body, and the response body, streams
	headers atomic.Bool  // have been written
	sent    atomic.Int64 // bytes of the body
	done    atomic.Bool  // all of the request is out
}

// Why a request is cut off although the application is still there.
var (
	errDeadline = fmt.Errorf("the deadline passed: %w", os.ErrDeadlineExceeded)
	errIdle     = fmt.Errorf("nothing moved for as long as the policy's idle limit: %w", os.ErrDeadlineExceeded)
)

func (c *h2conn) roundTrip(ctx context.Context, x *policy.Exchange, o *outgoing) (*http.Response, error) {
	rctx, cancel := context.WithCancelCause(ctx)
	e := &exchange2{ctx: ctx, cancel: cancel, c: c}
	idle := func() { cancel(errIdle) }
	e.in = newIdler(x.Idle, idle)
	if o.src != nil {
		e.out = newIdler(x.Idle, idle)
		e.out.start()
	}
	if until := x.Until(); !until.IsZero() {
		e.timer = time.AfterFunc(time.Until(until), func() { cancel(errDeadline) })
	}
	req := e.request(rctx, x, o)
	resp, err := c.RoundTrip(req)
	x.Now.Complete = e.done.Load()
	if e.headers.Load() || err != nil && rctx.Err() != nil {
		x.Now.Written += frameHeader // also if it may be on its way while we leave
	}
	x.Now.Written += e.sent.Load()
	if err == nil {
		err = acceptable(resp)
	}
	if err == nil {
		x.Now.Answered = true
		e.receive(rctx, resp, o)
		return resp, nil
	}
	e.stop()
	cause := e.blame(rctx, err)
	cancel(nil)
	if x.Now.Written == 0 && err.Error() == "http2: client conn not usable" {
		return nil, errNotTaken
	}
	x.Now.Refused = refused(err)
	return nil, fault(ctx, e.op(), c.key.addr(), cause)
}

const frameHeader = 9

// request is o as golang.org/x/net/http2 wants it.
func (e *exchange2) request(ctx context.Context, x *policy.Exchange, o *outgoing) *http.Request {
	r := o.req.WithContext(&traced{ctx, httptrace.WithClientTrace(context.Background(), e.trace())})
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

// trace follows what is written, and passes on what is informational.
func (e *exchange2) trace() *httptrace.ClientTrace {
	informed, size := 0, 0
	return &httptrace.ClientTrace{
		WroteHeaders: func() { e.headers.Store(true) },
		WroteRequest: func(i httptrace.WroteRequestInfo) { e.done.Store(i.Err == nil) },
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			informed++
			for name, values := range h {
				size += len(name) + len(strings.Join(values, "")) + 32*len(values)
			}
			switch {
			case code == http.StatusSwitchingProtocols:
				return errUpgrade
			case informed > mostInformed:
				return errInformed
			case size > headLimit:
				return errHeadTooLarge
			}
			if t := httptrace.ContextClientTrace(e.ctx); t != nil && t.Got1xxResponse != nil {
				return t.Got1xxResponse(code, h)
			}
			return nil
		},
	}
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

// acceptable refuses what HTTP/1 would not let through either.
func acceptable(resp *http.Response) error {
	if resp.StatusCode < 200 || resp.StatusCode > 599 {
		return errStatus
	}
	return nil
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

// stop lifts the limits up to the response headers.
func (e *exchange2) stop() {
	if e.timer != nil {
		e.timer.Stop()
	}
	e.out.stop()
}

// blame finds the cause behind a cancelled stream.
func (e *exchange2) blame(rctx context.Context, err error) error {
	cause := context.Cause(rctx)
	switch {
	case cause == nil || !errors.Is(err, context.Canceled):
		return err
	case cause == errIdle && e.up != nil && e.up.reading.Load():
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

// refused reports whether the provider says that it did not process the
// request (RFC 9113 §8.7): it refused the stream, or went away before it.
func refused(err error) bool {
	var stream http2.StreamError
	if errors.As(err, &stream) {
		return stream.Code == http2.ErrCodeRefusedStream
	}
	text := err.Error()
	return text == "http2: Transport received Server's graceful shutdown GOAWAY" ||
		strings.HasPrefix(text, "http2: Transport received GOAWAY from server")
}
