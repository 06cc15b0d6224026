package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// headLimit is how many bytes the response headers may have, informational
// responses included, and the trailers once more.
const headLimit = 64 << 10

// conn is an HTTP/1.1 connection. One request at a time uses it.
type conn struct {
	t     *Transport
	key   key
	entry *entry
	round int // of the pool
	rw    net.Conn
	wire  *wire
	tls   *tls.ConnectionState

	br     *bufio.Reader
	tp     textproto.Reader
	budget int64 // bytes that may still be read, while a head is; else negative

	served    int  // responses read to their end
	heard     bool // something came since the request began
	idleSince time.Time
	pace      pace

	cut  func() // closes at once
	stop func() bool
}

func newConn(t *Transport, k key, e *entry, rw net.Conn, round int) *conn {
	c := &conn{t: t, key: k, entry: e, round: round, rw: rw, budget: -1}
	switch n := rw.(type) {
	case *tls.Conn:
		state := n.ConnectionState()
		c.tls = &state
		c.wire = n.NetConn().(*wire)
	case *wire:
		c.wire = n
	}
	c.br = bufio.NewReader(c)
	c.tp.R = c.br
	c.pace.on = c.wire.Conn
	c.cut = func() { c.wire.Conn.Close() }
	return c
}

// Read is for br.
func (c *conn) Read(p []byte) (int, error) {
	if c.budget == 0 {
		return 0, errHeadTooLarge
	}
	if c.budget > 0 {
		p = p[:min(int64(len(p)), c.budget)]
	} else if !c.wire.probing {
		c.pace.progress()
	}
	n, err := c.rw.Read(p)
	c.heard = c.heard || n > 0
	if c.budget >= 0 {
		c.budget -= int64(n)
	}
	return n, err
}

// alive reports whether an unused connection is still open and silent. It does
// not wait. A connection on which something was said unasked is of no use.
func (c *conn) alive() bool {
	if c.br.Buffered() > 0 {
		return false
	}
	c.wire.probing = true
	_, err := c.br.Peek(1)
	c.wire.probing = false
	return errors.Is(err, nothing{})
}

// close ends an unused connection politely.
func (c *conn) close() { c.rw.Close() }

// done ends a request that went well: the connection is kept if it can be.
func (c *conn) done(reusable bool) {
	c.served++
	if !c.stop() || !reusable || c.br.Buffered() > 0 || !c.t.pool.put(c) {
		c.cut()
	}
}

// fail ends a request that did not.
func (c *conn) fail() {
	c.stop()
	c.cut()
}

// roundTrip sends one request and reads the head of its response.
func (c *conn) roundTrip(ctx context.Context, x *policy.Exchange, o *outgoing) (*http.Response, error) {
	c.pace.begin(x.Until(), x.Idle, o.src != nil)
	c.stop, c.heard = context.AfterFunc(ctx, c.cut), false
	o.head = o.appendHead(o.head[:0])
	if o.src == nil {
		o.head = append(o.head, o.body...)
	}
	n, err := c.rw.Write(o.head)
	x.Now.Written += int64(n)
	x.Now.Complete = err == nil && o.src == nil
	if err != nil {
		c.fail()
		return nil, fault(ctx, OpWrite, c.key.addr(), err)
	}
	var up *upload
	if o.src != nil {
		up = c.send(o)
	}
	resp, err := c.readHead(ctx, o)
	if x.Now.Begun = c.heard; err != nil {
		x.Now.Complete = up.settled() // its last write may be returning just now
	} else {
		x.Now.Complete = up.complete()
	}
	x.Now.Written += up.sent()
	if err != nil {
		op, cause := up.blame(err, OpHeaders) // before failing it gives the upload an error of its own
		if denial, ok := c.key.refusal(err); ok && c.served == 0 {
			x.Now.Refused, cause = true, denial
		}
		c.fail()
		return nil, fault(ctx, op, c.key.addr(), cause)
	}
	x.Now.Answered, x.Now.Status = true, resp.StatusCode
	c.receive(ctx, x, resp, o, up)
	return resp, nil
}
