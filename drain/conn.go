package drain

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// phase is what a connection is at.
type phase int

const (
	fresh       phase = iota // its first request has not been read
	busy                     // a request is served
	waiting                  // for a further request
	multiplexed              // HTTP/2
	taken                    // from the server, by its handler
)

const (
	glance = 2 * time.Millisecond // for bytes that are here already
	linger = time.Second / 2      // for the other side to see the end
)

// A conn knows whether the server waits for a request on it.
//
// Its rule: once the server ends, a read that waits for the first byte of a
// request is woken and answers with a refusal. The server and the other side
// may both begin at that moment: the other side then takes the refusal for the
// answer to its request, which nobody has read.
type conn struct {
	net.Conn
	d     *Drain
	begun atomic.Bool // a byte was read since it is fresh or waiting

	mu       sync.Mutex
	phase    phase
	top      net.Conn  // what the server serves: this, or TLS over it
	known    bool      // whether HTTP/2 is spoken
	deadline time.Time // for reading, as the server wants it
}

func (c *conn) is() phase {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase
}

// begin is called when the server begins to serve top.
func (c *conn) begin(top net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.top, c.phase, c.known = top, fresh, false
	// Nobody can be answered before a handshake, and what is served out of a
	// tunnel has been read in part. Time limits end both.
	c.begun.Store(top != net.Conn(c))
	if c.d.ending.Load() {
		_ = c.arm()
	}
}

func (c *conn) become(p phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known && p != taken {
		c.known = true
		if overHTTP2(c.top) {
			c.phase = multiplexed
		}
	}
	if c.phase != multiplexed {
		c.phase = p
	}
	if p == waiting {
		c.begun.Store(false)
	}
	if c.d.ending.Load() {
		_ = c.arm()
	}
}

// idle reports whether nothing of a request has been read. Called with mu held.
func (c *conn) idle() bool {
	return (c.phase == fresh || c.phase == waiting) && !c.begun.Load()
}

// arm sets the deadline for reading that is right now. Called with mu held.
func (c *conn) arm() error {
	if c.d.ending.Load() && (c.idle() || c.d.hurried.Load() && (c.phase == fresh || c.phase == busy)) {
		return c.Conn.SetReadDeadline(time.Unix(1, 0))
	}
	return c.Conn.SetReadDeadline(c.deadline)
}

// SetReadDeadline implements [net.Conn].
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.arm()
}

// SetDeadline implements [net.Conn].
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// poke wakes a read that waits for a request.
func (c *conn) poke() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle() {
		_ = c.arm()
	}
}

// hurry fails reads of what has not come.
func (c *conn) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.arm()
}

// Read implements [net.Conn].
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.received()
		return n, err
	}
	if err == nil || !c.d.ending.Load() || !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	c.mu.Lock()
	idle := c.idle()
	c.mu.Unlock()
	if !idle {
		return n, err
	}
	// A deadline that is over hides what has arrived.
	_ = c.Conn.SetReadDeadline(time.Now().Add(glance))
	if n, err = c.Conn.Read(b); n > 0 {
		c.received()
		return n, err
	}
	c.refuse()
	return 0, io.EOF
}

// received notes that a request has begun.
func (c *conn) received() {
	if !c.begun.Load() {
		c.begun.Store(true)
	}
	if c.d.ending.Load() { // it may have been poked meanwhile
		c.mu.Lock()
		_ = c.arm()
		c.mu.Unlock()
	}
}

// refuse answers a request that was not read, if there is one. What arrives
// now is thrown away: closing over it would reset the connection, and the other
// side might not see the answer.
func (c *conn) refuse() {
	c.mu.Lock()
	top := c.top
	c.mu.Unlock()
	_ = c.Conn.SetWriteDeadline(time.Now().Add(linger))
	_, _ = top.Write(c.d.refusal())
	if half, ok := top.(interface{ CloseWrite() error }); ok && top != net.Conn(c) {
		_ = half.CloseWrite()
	}
	c.outwait()
}

// CloseWrite ends our direction.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// outwait ends our direction and waits until the other side has ended its own.
func (c *conn) outwait() {
	if c.CloseWrite() == nil {
		_ = c.Conn.SetReadDeadline(time.Now().Add(linger))
		_, _ = io.Copy(io.Discard, c.Conn)
	}
}

// Close implements [net.Conn]. While the server ends, an answer gets out also
// to somebody who goes on sending.
func (c *conn) Close() error {
	if c.is() == busy && c.d.closing.Load() && !c.d.cut.Load() {
		c.outwait()
	}
	c.d.forget(c)
	return c.Conn.Close()
}
