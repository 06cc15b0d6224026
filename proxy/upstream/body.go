package upstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"

	"github.com/postern-proxy/postern/policy"
)

// receive gives resp its body and, if there is none, the connection back.
func (c *conn) receive(ctx context.Context, x *policy.Exchange, resp *http.Response, o *outgoing, up *upload) {
	resp.TLS = c.tls
	if resp.StatusCode == http.StatusSwitchingProtocols {
		up.quit()
		c.pace.enter(released, false)
		resp.Body = &tunnel{c: c}
		return
	}
	if resp.StatusCode >= 300 && !up.settled() {
		up.quit() // it does not want the rest
	}
	b := &body{ctx: ctx, x: x, c: c, up: up, resp: resp, reusable: o.keep && !resp.Close && resp.StatusCode != http.StatusMisdirectedRequest}
	switch {
	case bodiless(resp.StatusCode, o.req.Method), resp.ContentLength == 0:
		resp.Body, x.Now.Whole = http.NoBody, true
		b.finish()
		return
	case resp.TransferEncoding != nil:
		b.src, b.chunked = httputil.NewChunkedReader(c.br), true
	case resp.ContentLength > 0:
		b.left = resp.ContentLength
	default:
		b.left = -1
	}
	c.pace.enter(receiving, up.complete())
	resp.Body = b
}

// body is the body of an HTTP/1.1 response.
type body struct {
	ctx      context.Context
	x        *policy.Exchange
	c        *conn
	up       *upload
	resp     *http.Response
	reusable bool

	over atomic.Bool // the connection is given back, or closed

	mu      sync.Mutex
	src     io.Reader // if chunked
	chunked bool
	ended   bool  // the last chunk was read, what follows it was not
	left    int64 // if not; -1 is until the connection ends
	err     error // of all reads from now on
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	n, err := b.read(p)
	if err == nil && b.left == 0 && !b.chunked {
		err = io.EOF
	}
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		b.err, b.x.Now.Whole = io.EOF, true
		b.finish()
	default:
		op, err := b.up.blame(err, OpBody)
		b.drop()
		b.err = fault(b.ctx, op, b.c.key.addr(), err)
	}
	return n, b.err
}

// read returns io.EOF only at the end of the whole body.
func (b *body) read(p []byte) (int, error) {
	switch {
	case b.chunked:
		n := 0
		if !b.ended {
			var err error
			if n, err = b.src.Read(p); err != io.EOF {
				return n, err
			}
			b.ended = true
		}
		if n > 0 && !b.closing() {
			return n, nil // the trailers may take their time
		}
		return n, b.readTrailer()
	case b.left < 0:
		return b.c.br.Read(p)
	}
	n, err := b.c.br.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err == io.EOF && b.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// closing reports whether the end of a body without trailers is here.
func (b *body) closing() bool {
	if b.c.br.Buffered() < 2 {
		return false
	}
	next, _ := b.c.br.Peek(2)
	return string(next) == "\r\n"
}

// readTrailer reads what follows the last chunk. It returns io.EOF if that is
// in order.
func (b *body) readTrailer() error {
	if _, err := b.c.br.Peek(2); err != nil {
		return headError(err)
	}
	if b.closing() {
		b.c.br.Discard(2)
		return io.EOF
	}
	block, err := b.readLines()
	if err != nil {
		return err
	}
	h, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(block))).ReadMIMEHeader()
	if err != nil {
		return errTrailer
	}
	if !validFields(h) {
		return errTrailer
	}
	for name, values := range h {
		if !httpguts.ValidTrailerHeader(name) {
			return errTrailer
		}
		if b.resp.Trailer == nil {
			b.resp.Trailer = make(http.Header)
		}
		b.resp.Trailer[name] = values
	}
	return io.EOF
}

// readLines reads up to an empty line, where every line ends as it has to: a
// message that ends at a bare LF for one reader goes on for another.
func (b *body) readLines() (block []byte, err error) {
	b.c.budget = headLimit
	defer func() { b.c.budget = -1 }()
	for !bytes.HasSuffix(block, []byte("\r\n\r\n")) {
		line, err := b.c.br.ReadBytes('\n')
		switch {
		case errors.Is(err, errHeadTooLarge):
			return nil, errTrailer
		case err != nil:
			return nil, headError(err)
		case !bytes.HasSuffix(line, []byte("\r\n")):
			return nil, errTrailer
		}
		block = append(block, line...)
	}
	return block, nil
}

// finish gives the connection back after the last byte.
func (b *body) finish() {
	if !b.over.CompareAndSwap(false, true) {
		return
	}
	whole := b.up.settled()
	if !whole {
		b.up.quit()
	}
	b.c.done(b.reusable && whole)
}

// drop closes the connection, unless it is somebody else's already.
func (b *body) drop() {
	if b.over.CompareAndSwap(false, true) {
		b.up.quit()
		b.c.fail()
	}
}

// Close ends the response. The connection survives if the rest of the body has
// arrived already; Close does not wait for more.
func (b *body) Close() error {
	if !b.mu.TryLock() {
		b.drop() // the read that is under way fails
		return nil
	}
	defer b.mu.Unlock()
	if b.err != nil {
		return nil
	}
	b.err = http.ErrBodyReadAfterClose
	if !b.chunked && b.left > 0 && b.left <= int64(b.c.br.Buffered()) {
		b.c.br.Discard(int(b.left))
		b.finish()
		return nil
	}
	b.drop()
	return nil
}

// tunnel is the body of a 101: the connection itself.
type tunnel struct{ c *conn }

func (t *tunnel) Read(p []byte) (int, error)  { return t.c.br.Read(p) }
func (t *tunnel) Write(p []byte) (int, error) { return t.c.rw.Write(p) }

// CloseWrite says that nothing more will be written.
func (t *tunnel) CloseWrite() error {
	if h, ok := t.c.rw.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	if h, ok := t.c.wire.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}

// Close ends both directions at once.
func (t *tunnel) Close() error {
	t.c.fail()
	return nil
}
