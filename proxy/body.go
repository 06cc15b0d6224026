package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
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
	ended func() // called at the end of a whole body
	read  atomic.Int64
	fault atomic.Pointer[error] // what reading failed with

	mu    sync.Mutex
	conn  deadliner     // nil when it is not the call's any more, or cannot do it
	limit time.Duration // without progress; 0 is none
	armed time.Time     // when the deadline was last moved; zero if there is none
	whole bool          // the body was read to its end
}

func (b *inflow) Read(p []byte) (int, error) {
	b.arm()
	n, err := b.src.Read(p)
	b.read.Add(int64(n))
	switch {
	case err == io.EOF:
		b.finish()
		if b.ended != nil {
			b.ended()
		}
	case err != nil:
		b.fault.Store(&err)
	}
	return n, err
}

// arm demands progress from now on. Moving a deadline costs; a quarter of the
// limit is near enough.
func (b *inflow) arm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn == nil || b.limit <= 0 {
		return
	}
	if now := time.Now(); now.Sub(b.armed) > b.limit/4 {
		b.armed = now
		b.conn.SetReadDeadline(now.Add(b.limit))
	}
}

// finish ends the demand for progress at the end of the body: what is read
// next on the connection is not ours.
func (b *inflow) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.whole = true
	if b.conn != nil && !b.armed.IsZero() {
		b.conn.SetReadDeadline(time.Time{})
	}
}

// relax changes the limit, also for a read that is under way.
func (b *inflow) relax(limit time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
	if b.conn == nil || b.whole || b.armed.IsZero() {
		return
	}
	if limit <= 0 {
		b.armed = time.Time{}
		b.conn.SetReadDeadline(b.armed)
		return
	}
	b.armed = time.Now()
	b.conn.SetReadDeadline(b.armed.Add(limit))
}

// close is called when the handler returns. In HTTP/1.1 net/http then reads
// what is left of the body, and does not wait for it longer than this says.
func (b *inflow) close(r *http.Request, rest time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil && !b.whole && r.ProtoMajor == 1 {
		b.conn.SetReadDeadline(time.Now().Add(rest))
	}
	b.conn = nil
}

// bodyless reports a request that announces no body.
func bodyless(r *http.Request) bool {
	return r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody
}

// expectBody prepares for a body that may be slow or never come, whether it is
// going to be read or not.
func (c *call) expectBody() {
	if bodyless(c.r) {
		return
	}
	c.body.conn, _ = c.w.(deadliner)
	c.body.limit = c.h.Stall
	if c.r.ProtoMajor == 1 {
		// Otherwise net/http would read the rest of the body before an early
		// answer goes out, and the provider would get half of it.
		http.NewResponseController(c.w).EnableFullDuplex()
	}
}

// openBody gives the exchange the application's body.
func (c *call) openBody(buffer int64) {
	if bodyless(c.r) {
		c.x.Body = policy.NewBody(nil, 0, buffer)
		return
	}
	c.body.src = c.r.Body
	c.x.Body = policy.NewBody(&c.body, c.r.ContentLength, buffer)
}

// keepOrClose sees to it that what may be left of the body is never taken for
// a request: if an answer starts before the end of the body, the connection
// ends with it. A refusal skips a short body that is there already.
func (c *call) keepOrClose(h http.Header, skip bool) {
	if c.r.ProtoMajor != 1 || bodyless(c.r) {
		return
	}
	b := &c.body
	b.mu.Lock()
	whole := b.whole
	skip = skip && !whole && b.conn != nil && !c.head.expects
	if skip {
		b.armed = time.Now()
		b.conn.SetReadDeadline(b.armed.Add(skipTime))
	}
	b.mu.Unlock()
	if skip {
		n, err := io.CopyN(io.Discard, c.r.Body, skipSize)
		b.read.Add(n)
		if whole = err == io.EOF; whole {
			b.finish()
		}
	}
	if !whole {
		h["Connection"] = []string{"close"}
	}
}

// What is skipped of a refused call's body, so that its connection can be kept.
const (
	skipTime = 20 * time.Millisecond
	skipSize = 64 << 10
)

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
