package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// deadliner is what net/http's response writers can do for progress.
type deadliner interface {
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// inflow reads the application's body: it counts, demands progress, and takes
// over trailers. The transport may still read when the handler has returned.
type inflow struct {
	src   io.Reader
	conn  deadliner
	limit atomic.Int64 // nanoseconds without progress; 0 is none
	armed time.Time    // when the deadline was last moved
	ended func()       // called at the end of a whole body
	read  atomic.Int64
	fault atomic.Pointer[error] // what reading failed with
}

func (b *inflow) Read(p []byte) (int, error) {
	limit := time.Duration(b.limit.Load())
	if limit > 0 {
		// Moving a deadline costs; a quarter of it is near enough.
		if now := time.Now(); now.Sub(b.armed) > limit/4 {
			b.armed = now
			b.conn.SetReadDeadline(now.Add(limit))
		}
	}
	n, err := b.src.Read(p)
	b.read.Add(int64(n))
	if err == nil {
		return n, nil
	}
	if !b.armed.IsZero() {
		b.conn.SetReadDeadline(time.Time{})
	}
	if err != io.EOF {
		b.fault.Store(&err)
	} else if b.ended != nil {
		b.ended()
	}
	return n, err
}

// openBody gives the exchange the application's body.
func (c *call) openBody(buffer int64) {
	r := c.r
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		c.x.Body = policy.NewBody(nil, 0, buffer)
		return
	}
	c.body.src = r.Body
	if d, ok := c.w.(deadliner); ok {
		c.body.conn = d
		c.body.limit.Store(int64(c.h.Stall))
	}
	if r.ProtoMajor == 1 {
		// Otherwise net/http would swallow the rest of the body when an
		// early answer starts, and the provider would get half of it.
		http.NewResponseController(c.w).EnableFullDuplex()
	}
	c.x.Body = policy.NewBody(&c.body, r.ContentLength, buffer)
}

// blame returns the error of a call that failed with err, which may be due to
// the application's body.
func (c *call) blame(err error) error {
	fault := c.body.fault.Load()
	if fault == nil {
		return err
	}
	stalled := errors.Is(*fault, os.ErrDeadlineExceeded)
	if !stalled && c.r.Context().Err() != nil {
		return fmt.Errorf("%w: %w", context.Canceled, *fault)
	}
	d := &policy.Denial{Code: policy.BadRequest, Stage: stage, Detail: "the request body broke off or is malformed", Err: *fault}
	if c.x.Attempts > 0 {
		d.Executed = c.x.Now.Executed()
	}
	if stalled {
		d.Detail = "the request body made no progress for " + c.h.Stall.String()
	}
	return d
}

// copyBody streams the answer. What the provider cut short ends as an aborted
// response, never as a whole one.
func (c *call) copyBody(resp *http.Response) error {
	buf := c.h.copies.Get().(*[copySize]byte)
	defer c.h.copies.Put(buf)
	conn, _ := c.w.(deadliner)
	flusher, _ := c.w.(http.Flusher)
	if !streams(resp) {
		flusher = nil
	}
	limit := c.x.Idle
	if limit <= 0 {
		limit = c.h.Stall
	}
	var armed time.Time
	for {
		n, err := resp.Body.Read(buf[:])
		if n > 0 {
			if now := time.Now(); conn != nil && now.Sub(armed) > limit/4 {
				armed = now
				conn.SetWriteDeadline(now.Add(limit))
			}
			m, werr := c.w.Write(buf[:n])
			c.result.Out += int64(m)
			if werr != nil {
				return &clientGone{werr}
			}
			if flusher != nil {
				flusher.Flush()
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// clientGone says that writing to the application failed.
type clientGone struct{ err error }

func (e *clientGone) Error() string { return "write to the application: " + e.err.Error() }
func (e *clientGone) Unwrap() error { return e.err }
