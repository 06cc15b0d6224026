package upstream

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// counted is a request body in memory.
type counted struct {
	io.Reader
	e *exchange2
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.e.sent.Add(int64(n))
	return n, err
}

func (c *counted) Close() error { return nil }

// pump is a request body that is streamed. The application may hold a read for
// longer than the attempt lasts, so reads happen on a goroutine of their own
// and Close does not wait for them.
type pump struct {
	e       *exchange2
	src     io.Reader
	left    int64       // -1 is unknown
	from    http.Header // trailers, complete once src has ended
	trailer http.Header // the copy that HTTP/2 sends

	once    sync.Once
	r       *io.PipeReader
	w       *io.PipeWriter
	reading atomic.Bool // waiting for the application
}

func newPump(e *exchange2, o *outgoing) *pump {
	p := &pump{e: e, src: o.src, left: o.length, from: o.req.Trailer}
	if len(p.from) > 0 {
		p.trailer = make(http.Header, len(p.from))
		for name := range p.from {
			p.trailer[name] = nil
		}
	}
	p.r, p.w = io.Pipe()
	return p
}

// Read starts the pump: not before the headers are written, because they list
// the trailers that the pump fills in.
func (p *pump) Read(b []byte) (int, error) {
	p.once.Do(func() { go p.run() })
	n, err := p.r.Read(b)
	p.e.sent.Add(int64(n))
	if err != nil {
		p.e.out.stop()
	}
	p.e.out.progress()
	p.e.in.progress()
	return n, err
}

func (p *pump) Close() error { return p.r.Close() }

func (p *pump) run() {
	buf := streamBufs.Get().(*[sizeRoom + streamSize + 2]byte)
	defer streamBufs.Put(buf)
	for {
		p.reading.Store(true)
		n, err := p.src.Read(buf[:streamSize])
		p.reading.Store(false)
		if n > 0 {
			if p.left >= 0 {
				p.left -= int64(n)
			}
			if _, err := p.w.Write(buf[:n]); err != nil {
				return
			}
		}
		switch {
		case err == nil:
			continue
		case err == io.EOF && p.left <= 0:
			for name := range p.trailer {
				p.trailer[name] = p.from[name]
			}
			p.w.Close()
		default:
			p.w.CloseWithError(sourceError(err))
		}
		return
	}
}

// body2 is the body of an HTTP/2 response.
type body2 struct {
	io.ReadCloser
	e   *exchange2
	ctx context.Context // the stream's
}

// receive puts resp's body under the limits of the exchange.
func (e *exchange2) receive(rctx context.Context, resp *http.Response, o *outgoing) {
	e.stop()
	resp.Request = o.req
	resp.Body = &body2{resp.Body, e, rctx}
}

func (b *body2) Read(p []byte) (int, error) {
	b.e.in.start()
	n, err := b.ReadCloser.Read(p)
	b.e.in.stop()
	if err == nil {
		return n, nil
	}
	if err != io.EOF {
		err = fault(b.e.ctx, OpBody, b.e.c.key.addr(), b.e.blame(b.ctx, err))
	}
	b.e.cancel(nil)
	return n, err
}

// Close ends the stream. It does not wait for the request body.
func (b *body2) Close() error {
	b.e.cancel(nil)
	return b.ReadCloser.Close()
}

// idler calls a function when nothing has moved for a while. A nil one never
// does.
type idler struct {
	limit time.Duration
	mu    sync.Mutex
	timer *time.Timer
	until time.Time // zero is stopped
}

func newIdler(limit time.Duration, f func()) *idler {
	if limit <= 0 {
		return nil
	}
	i := &idler{limit: limit}
	i.timer = time.AfterFunc(limit, func() {
		i.mu.Lock()
		late := !i.until.IsZero() && !time.Now().Before(i.until)
		i.mu.Unlock()
		if late {
			f()
		}
	})
	i.timer.Stop()
	return i
}

// start begins to wait.
func (i *idler) start() { i.set(true, true) }

// stop ends the wait.
func (i *idler) stop() { i.set(true, false) }

// progress begins it again, if it was started.
func (i *idler) progress() { i.set(false, true) }

func (i *idler) set(always, wait bool) {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case !always && i.until.IsZero():
	case wait:
		i.until = time.Now().Add(i.limit)
		i.timer.Reset(i.limit)
	default:
		i.until = time.Time{}
		i.timer.Stop()
	}
}
