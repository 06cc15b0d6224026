package upstream

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
)

// upload streams a request body on a goroutine of its own, so that the response
// can be read before the body is out. The application may hold the goroutine in
// a read for longer than the attempt lasts; it touches nothing of the attempt
// after that. Methods of a nil upload are those of a body that went out with
// the head.
type upload struct {
	c       *conn
	src     io.Reader
	left    int64 // -1 is chunked
	trailer http.Header

	written  atomic.Int64
	reading  atomic.Bool // waiting for the application
	stopped  atomic.Bool // nobody wants the rest
	finished chan struct{}

	mu  sync.Mutex
	err error
	ok  bool // all of it is out
}

const (
	streamSize = 32 << 10
	sizeRoom   = 10 // for the size of a chunk and its line end
)

var streamBufs = sync.Pool{New: func() any { return new([sizeRoom + streamSize + 2]byte) }}

// send starts the upload of o's body.
func (c *conn) send(o *outgoing) *upload {
	u := &upload{c: c, src: o.src, left: o.length, trailer: o.req.Trailer, finished: make(chan struct{})}
	if len(o.req.Trailer) > 0 {
		u.left = -1
	}
	go u.run()
	return u
}

func (u *upload) run() {
	defer close(u.finished)
	buf := streamBufs.Get().(*[sizeRoom + streamSize + 2]byte)
	defer streamBufs.Put(buf)
	for u.left != 0 {
		most := int64(streamSize)
		if u.left > 0 {
			most = min(most, u.left)
		}
		u.reading.Store(true)
		n, err := u.src.Read(buf[sizeRoom : sizeRoom+most])
		u.reading.Store(false)
		if u.stopped.Load() {
			return
		}
		if n > 0 && !u.write(u.frame(buf[:], n)) {
			return
		}
		switch {
		case err == nil:
		case err == io.EOF && u.left <= 0:
			u.end()
			return
		default:
			u.fail(sourceError(err))
			u.c.cut()
			return
		}
	}
	u.end()
}

// frame wraps n bytes of the body that are in buf behind the room for their
// size.
func (u *upload) frame(buf []byte, n int) []byte {
	if u.left > 0 {
		u.left -= int64(n)
		return buf[sizeRoom : sizeRoom+n]
	}
	var size [sizeRoom]byte
	line := append(strconv.AppendInt(size[:0], int64(n), 16), "\r\n"...)
	start := sizeRoom - len(line)
	copy(buf[start:], line)
	copy(buf[sizeRoom+n:], "\r\n")
	return buf[start : sizeRoom+n+2]
}

func (u *upload) write(p []byte) bool {
	u.c.pace.progress()
	n, err := u.c.rw.Write(p)
	u.written.Add(int64(n))
	if err == nil {
		return true
	}
	u.fail(err)
	u.c.pace.hurry()
	return false
}

// end writes what comes after the last byte of the body.
func (u *upload) end() {
	if u.left < 0 {
		last := []byte("0\r\n")
		for name, values := range u.trailer {
			for _, v := range values {
				if !httpguts.ValidHeaderFieldValue(v) {
					u.fail(malformedRequest("The value of the trailer " + name))
					u.c.cut()
					return
				}
				last = appendField(last, name, v)
			}
		}
		if !u.write(append(last, "\r\n"...)) {
			return
		}
	}
	u.c.pace.sent()
	u.mu.Lock()
	u.ok = true // from here on the connection may be another request's
	u.mu.Unlock()
}

func (u *upload) fail(err error) {
	u.mu.Lock()
	u.err = err
	u.mu.Unlock()
}

// quit gives up the rest of the body. A write that is under way fails.
func (u *upload) quit() {
	if u == nil {
		return
	}
	u.stopped.Store(true)
	u.c.wire.SetWriteDeadline(time.Unix(1, 0))
}

// complete reports whether all of the request is out.
func (u *upload) complete() bool {
	if u == nil {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ok && !u.stopped.Load()
}

// settled is complete, after a moment for an upload that has only to return
// from its last write.
func (u *upload) settled() bool {
	if u == nil || u.complete() {
		return true
	}
	moment := time.NewTimer(5 * time.Millisecond)
	defer moment.Stop()
	select {
	case <-u.finished:
	case <-moment.C:
	}
	return u.complete()
}

// sent is how many bytes of the body were handed to the network.
func (u *upload) sent() int64 {
	if u == nil {
		return 0
	}
	return u.written.Load()
}

// blame finds out what the failure of a read was really about: the read, the
// upload, or the application.
func (u *upload) blame(err error, op Op) (Op, error) {
	if u == nil {
		return op, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.err != nil:
		return OpWrite, u.err
	case !u.ok && timedOut(err) && u.reading.Load() && op == OpHeaders && u.c.pace.idles():
		return OpWrite, sourceError(errStalled)
	case !u.ok && !u.stopped.Load() && op == OpHeaders:
		return OpWrite, err
	}
	return op, err
}

var errStalled = errors.New("nothing came for as long as the idle limit of the policy")
