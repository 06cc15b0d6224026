package upstream

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"
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
	if err == nil {
		p.e.pace.progress()
	} else {
		p.e.pace.sent()
	}
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
			p.w.CloseWithError(p.finish())
		default:
			p.w.CloseWithError(sourceError(err))
		}
		return
	}
}

// finish fills in the trailers.
func (p *pump) finish() error {
	for name := range p.trailer {
		for _, v := range p.from[name] {
			if !httpguts.ValidHeaderFieldValue(v) {
				return malformedRequest("The value of the trailer " + name)
			}
		}
		p.trailer[name] = p.from[name]
	}
	return nil
}

// body2 is the body of an HTTP/2 response.
type body2 exchange2

func (b *body2) Read(p []byte) (int, error) {
	e := (*exchange2)(b)
	e.pace.progress()
	e.reading.Store(true)
	n, err := e.body.Read(p)
	if err == nil {
		e.reading.Store(false)
		return n, nil
	}
	e.x.Now.Whole = err == io.EOF
	if err != io.EOF {
		err = fault(e.ctx, OpBody, e.c.key.addr(), e.blame(err))
	}
	e.reading.Store(false)
	e.end()
	return n, err
}

// Close ends the stream. It does not wait for the request body.
func (b *body2) Close() error {
	(*exchange2)(b).end()
	return b.body.Close()
}
